"""A hospital's pages: 200 people of as many wards look on while 20 of them confirm what their charts propose.

One process of the gateway serves them all. Each second every device says another value, in which stands which second it
was: a viewer's delay is from the COMMIT of the values to the moment when they come over the viewer's socket.
"""

from __future__ import annotations

import http.client
import json
import re
import selectors
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from threading import Event, Thread

import psycopg

from benchmarks.page import SpeakingWard, own_database, serving
from benchmarks.signed_in import ADDRESS, LASTS
from emr_store import acts, staff
from emr_store.connect import open_store
from emr_store.login_sessions import NewSession
from emr_store.staff import StaffRow
from gateway.access.viewer import Licence
from gateway.access.words import Role
from gateway.people.cookies import CSRF_HEADER, csrf_token
from gateway.people.sessions import COOKIE, Factor, Sessions

VIEWERS, CONFIRMING, DEVICES_A_WARD = 200, 20, 4
ENTRIES = 40  # that one confirms at once: some ten minutes of a chart
MARK = 7_000_000  # a value beyond all others: this, and which second it was
_MARKED = re.compile(rb"[\[,](7\d{6})[,\]]")
_WARDS_SQL = """
WITH at AS (SELECT device, uuid, 'h^w' || device %% %(wards)s AS ward, 'B' || device AS label FROM device),
    named AS (INSERT INTO bed_name SELECT ward || '^^' || device, label FROM at),
    stay AS (UPDATE encounter_bed b SET bed = ward || '^^' || device FROM at
        WHERE b.encounter = 'visit:V' || device || '^H'),
    registered AS (INSERT INTO registered_device (uuid, registered_at, act_id)
        SELECT uuid, now(), %(act_id)s FROM at RETURNING registered_device, uuid)
INSERT INTO device_bed SELECT registered_device, label, '[2026-01-01,)', '[2026-01-01,)', %(act_id)s
FROM registered JOIN at USING (uuid)
"""
_ENTRIES_SQL = """
INSERT INTO chart_entry
SELECT gen_random_uuid(), 1, %(encounter)s, 'MDC_PULS_OXIM_SAT_O2',
    date_trunc('day', now()) - i * interval '5 min', 1, 'preliminary', 'device', 97, '', '%%', 0,
    date_trunc('day', now()) - i * interval '5 min', ARRAY['batch'::bytea], ARRAY[0], ARRAY[0], '', NULL, false, now()
FROM generate_series(1, %(count)s) AS i RETURNING entry
"""


@dataclass(frozen=True)
class Nurse:
    """One of a ward of her own, signed in."""

    secret: str

    @property
    def cookie(self) -> str:
        """The header."""
        return f"{COOKIE}={self.secret}"


class MarkedWard(SpeakingWard):
    """Its devices say in their first value which second it is; `spoken_s` has when that was committed."""

    def __init__(self, database: str) -> None:
        super().__init__(database, VIEWERS * DEVICES_A_WARD)
        self.spoken_s: dict[int, float] = {}

    def speak(self, conn: psycopg.Connection) -> None:
        """As it is, with the mark."""
        number = len(self.spoken_s) + 1
        with conn.transaction():
            super().speak(conn)
            conn.execute("UPDATE latest SET value[1] = %s", (float(MARK + number),))
        self.spoken_s[number] = time.monotonic()


class _Viewers(Thread):
    """They take what comes, and note when each second's values came to each of them."""

    def __init__(self, port: int, cookies: list[str]) -> None:
        super().__init__(daemon=True)
        self._ending, self._selector = Event(), selectors.DefaultSelector()
        self.came_s: defaultdict[int, list[float]] = defaultdict(list)
        self._newest: defaultdict[int, int] = defaultdict(int)  # second that a viewer was shown
        for number, cookie in enumerate(cookies):
            viewer = socket.create_connection(("127.0.0.1", port), 60)
            viewer.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
            self._selector.register(viewer, selectors.EVENT_READ, number)

    def run(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                now_s, data = time.monotonic(), key.fileobj.recv(1 << 20)
                newest = max((int(mark) - MARK for mark in _MARKED.findall(data)), default=0)
                # Who is shown a second's values is shown nothing older: those that they replaced came with them.
                for second in range(self._newest[key.data] + 1, newest + 1):
                    self.came_s[second].append(now_s)
                self._newest[key.data] = max(newest, self._newest[key.data])

    def stop(self) -> None:
        """End the thread and hang up."""
        self._ending.set()
        self.join(10)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()


class _Confirming:
    """A nurse at her chart: she confirms what it proposes, forty entries at a time."""

    def __init__(self, port: int, nurse: Nurse, entries: Sequence[str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {
            "Origin": f"http://127.0.0.1:{port}", "Content-Type": "application/json", "Cookie": nurse.cookie,
            CSRF_HEADER: csrf_token(nurse.secret),
        }  # fmt: skip
        self.left = list(entries)

    def confirm(self) -> float:
        """Milliseconds from the POST to its answer. Raises RuntimeError for a refusal."""
        now, self.left = self.left[:ENTRIES], self.left[ENTRIES:]
        wish = {"act": "confirm", "entries": [{"entry": entry, "version": 1} for entry in now]}
        body = json.dumps(wish)
        began_s = time.perf_counter()
        self._connection.request("POST", "/chart-act", body, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        self._connection.close()  # the server does, after five idle seconds
        if answer.status != 204:
            raise RuntimeError(f"confirm: {answer.status} {said!r}")
        return (time.perf_counter() - began_s) * 1000


class _ConfirmingWard(Thread):
    """Twenty of them, one after the other, each again when all have."""

    def __init__(self, nurses: Sequence[_Confirming]) -> None:
        super().__init__(daemon=True)
        self._nurses, self._ending, self.failed = nurses, Event(), ""
        self.confirmed = 0

    def run(self) -> None:
        try:
            while not self._ending.wait(0.05):
                nurse = self._nurses[self.confirmed % len(self._nurses)]
                if nurse.left:
                    nurse.confirm()
                self.confirmed += 1
        except (RuntimeError, OSError, http.client.HTTPException) as error:
            self.failed = str(error)

    def stop(self) -> None:
        """End the thread."""
        self._ending.set()
        self.join(10)


def _settle(conn: psycopg.Connection, database: str) -> list[Nurse]:
    """Each device stands on a ward, on which one nurse works; all are signed in."""
    with conn.transaction():
        act_id = acts.record(conn, acts.act("device.assign", None, acts.now(conn)))
        conn.execute(_WARDS_SQL, {"wards": VIEWERS, "act_id": act_id})
    rows = [
        StaffRow(f"n{ward}", f"nurse {ward}", Role.NURSE, Licence.HERE, wards=(f"h^w{ward}",))
        for ward in range(VIEWERS)
    ]
    staff.add(conn, rows)
    sessions, ends_at = Sessions(database, database), acts.now(conn) + LASTS
    return [
        Nurse(sessions.begin(NewSession(row.staff, Factor.DEMO_LINK, "bench", ADDRESS, "bench", None, ends_at)))
        for row in rows
    ]


def _propose(conn: psycopg.Connection, ward: int, columns: int) -> list[str]:
    """Entries of one stay of a ward that nobody confirmed, `columns` times forty."""
    rows = conn.execute(_ENTRIES_SQL, {"encounter": f"visit:V{ward}^H", "count": columns * ENTRIES}).fetchall()
    return [str(row[0]) for row in rows]


def measure(quick: bool) -> dict[str, float]:
    """Alone: what a confirmation takes. Then all at once: when the values of a second came to each viewer."""
    seconds, alone = (20, 10) if quick else (60, 30)
    with own_database() as database:
        ward = MarkedWard(database)
        with open_store(database) as conn:
            nurses = _settle(conn, database)
            proposed = [_propose(conn, number, alone + seconds) for number in range(1, CONFIRMING + 1)]
        with serving(database) as (_, port):
            confirming = [_Confirming(port, nurses[number], entries) for number, entries in enumerate(proposed, 1)]
            confirmed_ms = [confirming[0].confirm() for _ in range(alone)]
            ward.start()
            viewers = _Viewers(port, [nurse.cookie for nurse in nurses])
            viewers.start()
            time.sleep(10)
            first = len(ward.spoken_s) + 1
            busy = _ConfirmingWard(confirming)
            busy.start()
            time.sleep(seconds)
            last = len(ward.spoken_s) - 2
            busy.stop()
            ward.stop()
            viewers.stop()
    if busy.failed:
        raise RuntimeError(busy.failed)
    delays_ms = [
        (came_s - ward.spoken_s[second]) * 1000
        for second in range(first, last + 1) for came_s in viewers.came_s[second]
    ]  # fmt: skip
    missed = VIEWERS * (last - first + 1) - len(delays_ms)
    if missed:
        raise RuntimeError(f"{missed} updates came to nobody, {len(delays_ms)} came")
    return {"confirm_40_ms": median(confirmed_ms), "viewers_200_p99_ms": quantiles(delays_ms, n=100)[98]}
