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
import uuid
from collections import defaultdict
from statistics import median, quantiles
from threading import Event, Thread

import psycopg

from benchmarks.page import SpeakingWard, own_database, serving
from benchmarks.signed_in import Person, hire, sign_in
from emr_store import acts
from emr_store.connect import open_store
from gateway.access.words import Role

VIEWERS, CONFIRMING, DEVICES_A_WARD = 200, 20, 4
ENTRIES = 40  # that one confirms at once: some ten minutes of a chart
MARK = 7_000_000  # a value beyond all others: this, and which second it was
_MARKED = re.compile(rb"[\[,](7\d{6})[,\]]")
_WARDS_SQL = """
WITH at AS (SELECT device, uuid, 'h^w' || device %% %(wards)s AS ward, 'B' || device AS label FROM device),
    named AS (INSERT INTO bed_name SELECT ward || '^^' || device, label FROM at),
    stay AS (INSERT INTO encounter_bed SELECT 'visit:V' || device || '^H', ward || '^^' || device,
        '[2026-01-01,)', '[2026-01-01,)', 'fact', NULL, false FROM at),
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
        self._seen: dict[int, set[int]] = defaultdict(set)
        for number, cookie in enumerate(cookies):
            viewer = socket.create_connection(("127.0.0.1", port), 60)
            viewer.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode())
            self._selector.register(viewer, selectors.EVENT_READ, number)

    def run(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                now_s, data = time.monotonic(), key.fileobj.recv(1 << 20)
                for mark in set(_MARKED.findall(data)):
                    second = int(mark) - MARK
                    if second not in self._seen[key.data]:
                        self._seen[key.data].add(second)
                        self.came_s[second].append(now_s)

    def stop(self) -> None:
        """End the thread and hang up."""
        self._ending.set()
        self.join(10)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()


class _Confirming:
    """A nurse at her chart: she confirms what it proposes, forty entries at a time."""

    def __init__(self, port: int, person: SignedInPerson, entries: list[str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {
            "Origin": f"http://127.0.0.1:{port}", "Content-Type": "application/json", "Cookie": person.cookie,
            "X-CSRF-Token": person.csrf,
        }  # fmt: skip
        self._left = entries

    def confirm(self) -> float:
        """Milliseconds from the POST to its answer. Raises RuntimeError for a refusal."""
        now, self._left = self._left[:ENTRIES], self._left[ENTRIES:]
        wish = {"act": "confirm", "entries": [{"entry": entry, "version": 1} for entry in now]}
        began_s = time.perf_counter()
        self._connection.request("POST", "/chart-act", json.dumps(wish), self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != 204:
            raise RuntimeError(f"confirm: {answer.status} {said!r}")
        return (time.perf_counter() - began_s) * 1000
