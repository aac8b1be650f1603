"""The first page of 24 hours of one patient's heart rate, over HTTP: what is charted, and what no policy charted.

On the fixture, with the places of benchmarks/whose_day.py and a day of entries beside them. Both are written in one
transaction that is never committed, so the API reads over the connection that wrote them; each request opens one of its
own all the same, for that is what it costs. Who asks is a nurse of the patients' ward. Looks are noted in a database of
their own on the same server: of the fixture's nothing may remain.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from random import Random
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import numpy as np
import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks import chart, fixture
from benchmarks.databases import drop_database
from benchmarks.whose_day import ASKED, ASKED_QUICK, DAY, last_ward, patient_key, put_places
from clinical.charted import resource_id
from emr_store.connect import open_store
from emr_store.instants import moment
from emr_store.migrate import migrate
from emr_store.visible_stays import Sight
from gateway.access.decision import Decision
from gateway.access.viewer import Viewer
from gateway.access.words import Action, DataClass, Role
from gateway.asking import Asking
from gateway.fhir.parameters import COUNT_DEFAULT
from gateway.fhir.routes import fhir_routes
from gateway.looks import Looks, Seen

HEART_RATE = "8867-4"
SLOT_S = 300
PATIENCE_S = 60.0
WARD_HEADER = "Bench-Ward"  # of the nurse who asks


def measure(quick: bool) -> dict[str, float]:
    """The slower one of the two pages, of as many patients as `whose_day` asks for; and what access and audit add.

    `audit_overhead`: how many times as long the charted page takes as with a sight of everything and no note, in the
    median of pairs asked one after the other; `audit_overhead_ms`: the difference.
    """
    made = fixture.make(fixture.QUICK if quick else fixture.FULL)
    until = moment(made.ends_us)
    since = max(moment(made.begins_us), until - DAY)
    asked = Random(1).sample(range(fixture.DEVICES), ASKED_QUICK if quick else ASKED)
    with open_store(made.address) as conn, conn.transaction(force_rollback=True):
        put_places(conn, since, until, fixture.DEVICES)
        _put_batch(conn)
        put_entries(conn, since, until, [patient_key(number) for number in asked])
        with looks_database() as clerk, served(made.address, conn, clerk) as port:
            taken_ms = [
                [page_ms(port, number, since, until, tag) for number in asked] for tag in ("", "device")
            ]  # fmt: skip
            with served(made.address, conn, None) as open_port:
                pairs = [
                    (page_ms(port, number, since, until, ""), page_ms(open_port, number, since, until, ""))
                    for number in asked
                ]  # fmt: skip
    return {
        "fhir_search_day_p95_ms": max(float(np.percentile(each, 95)) for each in taken_ms),
        "audit_overhead": float(np.median([guarded / bare for guarded, bare in pairs])),
        "audit_overhead_ms": float(np.median([guarded - bare for guarded, bare in pairs])),
    }


def page_ms(
    port: int, number: int, since: datetime, until: datetime, tag: str, devices: int = fixture.DEVICES
) -> float:  # fmt: skip
    """Over a new connection. Raises RuntimeError where the page is not full."""
    pairs = [("patient", resource_id("Patient", patient_key(number))), ("code", HEART_RATE)]
    pairs += [("date", f"ge{since.isoformat()}"), ("date", f"lt{until.isoformat()}")]
    pairs += [("_tag", tag)] if tag else []
    began_s = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(
        "GET", f"/fhir/Observation?{urlencode(pairs)}", headers={WARD_HEADER: last_ward(number, devices)}
    )
    answer = connection.getresponse()
    body = answer.read()
    spent_s = time.perf_counter() - began_s
    connection.close()
    found = json.loads(body)
    expected = min(COUNT_DEFAULT, int((until - since).total_seconds()) // SLOT_S) if not tag else COUNT_DEFAULT
    if len(found.get("entry", ())) < expected:
        got = len(found.get("entry", ()))
        raise RuntimeError(f"{answer.status}: a page with {got} of {expected} observations, {found.get('issue', '')}")
    return spent_s * 1000


class _Unguarded(Asking):
    """As before anybody was asked who he is."""

    def sight(self, action: Action, data_class: DataClass) -> Sight:
        """Of everything."""
        return replace(super().sight(action, data_class), everything=True)

    def note(self, action: Action, decision: Decision, seen: Seen) -> None:
        """Nothing."""


@contextmanager
def looks_database() -> Iterator[str]:
    """Where looks are written while the block lasts."""
    server = os.environ["VITALWIRE_DATABASE"]
    name = f"looks_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}".encode())
    try:
        address = urlsplit(server)._replace(path=f"/{name}").geturl()
        migrate(address)
        yield address
    finally:
        drop_database(server, name)


@contextmanager
def served(address: str, conn: psycopg.Connection, clerk: str | None) -> Iterator[int]:
    """The API over what this connection sees; its port. `clerk`: where looks are noted; None: unguarded."""

    @contextmanager
    def connect() -> Iterator[psycopg.Connection]:
        with open_store(address):
            yield conn

    looks = Looks(clerk or address)
    kind = Asking if clerk else _Unguarded

    def asked_by_nurse(app: ASGIApp) -> ASGIApp:
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            wards = frozenset({Headers(scope=scope)[WARD_HEADER]})
            nurse = Viewer("N1", "bench", Role.NURSE, wards=wards)
            scope.setdefault("state", {})["asking"] = kind(nurse, "127.0.0.1", time.time_ns() // 1000, looks)
            await app(scope, receive, send)

        return call

    app = asked_by_nurse(Starlette(routes=list(fhir_routes(connect))))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        give_up_s = time.monotonic() + PATIENCE_S
        while not server.started:
            if time.monotonic() > give_up_s:
                raise TimeoutError("the API does not begin")
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


# --- what is read ----------------------------------------------------------------------------------------------------


def _put_batch(conn: psycopg.Connection) -> None:
    """The one that the fixture's rows without batches name."""
    conn.execute(
        "INSERT INTO batch SELECT 0, edge, edge, 1, 0, sha256('fixture'), 0, 0, now(), 1, 1 FROM edge LIMIT 1"
        " ON CONFLICT DO NOTHING"
    )


def put_entries(conn: psycopg.Connection, since: datetime, until: datetime, patients: list[str]) -> None:
    """Of their encounters every five minutes what the monitor measured, as the charter writes it: by slot.

    Beside what other measurements left there.
    """
    named = {"since": since, "until": until, "patients": patients, "metrics": chart.metrics(), "slot_s": SLOT_S}
    conn.execute("ALTER TABLE chart_entry DISABLE TRIGGER USER")
    conn.execute(_ENTRIES_SQL, named)
    conn.execute("ALTER TABLE chart_entry ENABLE TRIGGER USER")
    conn.execute("ANALYZE chart_entry")


_ENTRIES_SQL = """
INSERT INTO chart_entry
SELECT (lpad(to_hex((extract(epoch FROM s.slot) * 1000)::int8), 12, '0') || '7000' || '8'
    || substr(md5(e.encounter || m.metric), 1, 15))::uuid, 1, e.encounter, m.metric, s.slot, 1,
    'preliminary', 'device', 97.5, '', '/min', 0, s.slot - interval '7 s', ARRAY[sha256(s.n::text::bytea)],
    ARRAY[e.n::int4], ARRAY[0], 'median of 60 values of the last minute', NULL, false, s.slot
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - interval '1 us', %(slot_s)s * interval '1 s')
        WITH ORDINALITY AS s(slot, n),
    (SELECT encounter, row_number() OVER (ORDER BY encounter) AS n FROM encounter
        WHERE patient = ANY(%(patients)s) AND upper_inf(recorded)) AS e,
    unnest(%(metrics)s::text[]) AS m(metric)
ON CONFLICT DO NOTHING
"""
