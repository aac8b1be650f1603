"""The page with 20 viewers while 1,000 devices of 12 values speak each second and every value changes each time.

What it costs is the CPU of the page's own process, the reading of the store included; what a viewer gets is counted as
it comes over the socket. `latest` is updated by SQL: how rows get there is the pipeline's figure.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from urllib.parse import urlsplit

import numpy as np
import psycopg

from benchmarks.databases import drop_database
from benchmarks.signed_in import sign_in
from emr_store.connect import open_store
from emr_store.migrate import migrate
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID
from vitalwire.embedded import EmbeddedServices
from vitalwire.embedded.services import free_port

DEVICES, VALUES, VIEWERS = 1000, 12, 20
HANDOVER_EVERY_S = 5  # a hospital of a thousand beds has some thousand changes of place a day; this is ten times that
START_LIMIT_S = 60.0
_OK = b"HTTP/1.1 200 OK"
_CHANNELS = [m for m in METRICS if m.short][:VALUES]
_SPEAK_SQL = """
INSERT INTO latest (device, channel_set, observed_at, received_at, stored_at, flags, batch, leaf, value, decimals)
SELECT d, %(channel_set)s, now(), now(), now(), 0, %(batch)s, d,
    (%(values)s::float8[])[(d - 1) * %(width)s + 1 : d * %(width)s], %(decimals)s
FROM generate_series(1, %(devices)s) AS d
ON CONFLICT (device, channel_set) DO UPDATE SET observed_at = excluded.observed_at,
    received_at = excluded.received_at, stored_at = excluded.stored_at, batch = excluded.batch, value = excluded.value
"""


# Each device is somebody's, whose visit and name are known.
_ADMIT_SQL = """
WITH person AS (INSERT INTO patient_person
        SELECT 'P' || device || '^H^MR', 'Zhang', 'San', '', '', '', now(), '' FROM device RETURNING patient),
    visit AS (INSERT INTO encounter
        SELECT 'visit:V' || device || '^H', 'P' || device || '^H^MR', ARRAY['P' || device || '^H^MR'],
            '{[2026-01-01,)}', '{}', NULL, NULL, '{"absences":[]}', '[2026-01-01,)' FROM device RETURNING encounter),
    stay AS (INSERT INTO encounter_bed
        SELECT 'visit:V' || device || '^H', 'H^ICU^^' || device, '[2026-01-01,)', '[2026-01-01,)', '', NULL, false
        FROM device RETURNING encounter)
INSERT INTO whose SELECT uuid, '[2026-01-01,)', '[2026-01-01,)', 'attributed', 'visit:V' || device || '^H',
    'P' || device || '^H^MR', 'bed', NULL, ARRAY['fact'::bytea] FROM device
"""
# The next device's values are believed to be the next patient's from now on.
_HAND_OVER_SQL = """
WITH ended AS (UPDATE whose w SET recorded = tstzrange(lower(recorded), now()) FROM device d
    WHERE d.device = %(device)s AND w.device = d.uuid AND upper_inf(recorded) AND upper_inf(valid) RETURNING w.*)
INSERT INTO whose SELECT w.device, v.valid, tstzrange(now(), NULL), state, v.encounter, v.patient, basis, NULL, facts
FROM ended w CROSS JOIN LATERAL (VALUES (tstzrange(lower(w.valid), now()), w.encounter, w.patient),
    (tstzrange(now(), NULL), 'visit:V1^H', 'P1^H^MR')) AS v (valid, encounter, patient)
"""


class SpeakingWard(Thread):
    """Every device speaks each second, from `speak` on; patients come and go."""

    def __init__(self, database: str, devices: int = DEVICES) -> None:
        super().__init__(daemon=True)
        self._database, self._devices, self._ending, self._batch = database, devices, Event(), 0
        self._random = np.random.default_rng(1)
        units = [UNIT_BY_REFERENCE_ID[m.unit].code for m in _CHANNELS]
        migrate(database)
        with open_store(database) as conn:
            conn.execute(
                "INSERT INTO device (uuid, claim, edge) SELECT gen_random_uuid(), 'monitor-' || i, %s"
                " FROM generate_series(1, %s) AS i",
                (uuid.uuid4(), devices),
            )
            row = conn.execute(
                "INSERT INTO channel_set (channels, digest, code, unit, channel) VALUES ('', '', %s, %s, %s)"
                " RETURNING channel_set",
                ([m.code for m in _CHANNELS], units, [0] * VALUES),
            ).fetchone()
            conn.execute(_ADMIT_SQL)
        self._channel_set = row[0] if row else 0

    def speak(self, conn: psycopg.Connection) -> None:
        """Each device says twelve other values than before."""
        self._batch += 1
        values = self._random.integers(100, 1000, self._devices * VALUES) // 2 * 2 + self._batch % 2
        conn.execute(_SPEAK_SQL, {
            "channel_set": self._channel_set, "batch": self._batch, "values": (values / 1.0).tolist(),
            "width": VALUES, "decimals": bytes([128] * VALUES), "devices": self._devices,
        })  # fmt: skip
        if self._batch % HANDOVER_EVERY_S == 0:
            conn.execute(_HAND_OVER_SQL, {"device": self._batch % self._devices + 1})

    def run(self) -> None:
        with open_store(self._database) as conn:
            due = time.monotonic()
            while not self._ending.wait(max(0.0, due - time.monotonic())):
                self.speak(conn)
                due += 1.0

    def stop(self) -> None:
        """End the thread."""
        self._ending.set()
        self.join(10)


class _Viewers(Thread):
    """As many browsers as look on: they take what comes, count it, and look at nothing.

    Raises RuntimeError where the page refuses them.
    """

    def __init__(self, port: int, cookie: str) -> None:
        super().__init__(daemon=True)
        self.bytes, self._ending, self._selector = 0, Event(), selectors.DefaultSelector()
        for _ in range(VIEWERS):
            viewer = socket.create_connection(("127.0.0.1", port), START_LIMIT_S)
            viewer.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
            answer = viewer.recv(len(_OK), socket.MSG_WAITALL)
            if answer != _OK:
                raise RuntimeError(f"the page answers {answer!r}")
            self._selector.register(viewer, selectors.EVENT_READ)

    def run(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                self.bytes += len(key.fileobj.recv(1 << 20))

    def stop(self) -> None:
        """End the thread and hang up."""
        self._ending.set()
        self.join(10)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()


@contextmanager
def own_database() -> Iterator[str]:
    """A fresh one: on the real server where one is named, else on the embedded one."""
    with TemporaryDirectory() as folder:
        if server := os.environ.get("VITALWIRE_DATABASE"):
            with _fresh(server) as database:
                yield database
        else:
            with EmbeddedServices(Path(folder)) as addresses, _fresh(addresses.database) as database:
                yield database


@contextmanager
def _fresh(server: str) -> Iterator[str]:
    name = f"bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        drop_database(server, name)


@contextmanager
def serving(database: str) -> Iterator[tuple[int, int]]:
    """The page's process: its id and its port."""
    port = free_port()
    run = [sys.executable, "-m", "vitalwire", "page", "--port", str(port), "--database", database]
    page = subprocess.Popen(run, stdout=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(port)
        yield page.pid, port
    finally:
        page.terminate()
        page.wait(30)


def _wait_until_it_listens(port: int) -> None:
    give_up = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


def _cpu_s(pid: int) -> float:
    """What this process has used, of user and kernel, its threads included (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(quick: bool) -> dict[str, float]:
    """The page's figures, from its tenth second on: viewers have come, and it knows each channel's cadence."""
    seconds = 10 if quick else 40
    with own_database() as database:
        ward = SpeakingWard(database)
        with serving(database) as (pid, port):
            ward.start()
            viewers = _Viewers(port, sign_in(database))
            viewers.start()
            time.sleep(10)
            began, cpu_s, came = time.monotonic(), _cpu_s(pid), viewers.bytes
            time.sleep(seconds)
            spent, cpu_s, came = time.monotonic() - began, _cpu_s(pid) - cpu_s, viewers.bytes - came
            viewers.stop()
            ward.stop()
    return {"page_cpu_ms_per_s_1000": cpu_s / spent * 1000, "page_bytes_per_s_1000": came / spent / VIEWERS}
