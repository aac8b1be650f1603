"""From facts to stays, and a late transfer that takes half a day from one patient to another."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from hashlib import sha256
from itertools import chain
from pathlib import Path
from uuid import uuid4

import msgspec
import numpy as np
import psycopg

from benchmarks.databases import drop_database
from benchmarks.pipeline import Bench
from clinical.beds import BedRegistry, bed_key
from clinical.identity import AdtSource
from emr_store import attribution, patients, places
from emr_store.attribution_site import AttributionSite
from emr_store.connect import open_store
from emr_store.instants import moment
from emr_store.partitions import Partitions
from schemas.adt import GROUP_CODE, AdtGroup, Identifier, SentBed, Visit, encode_group
from schemas.report import Kind, Lane, device_id

T0_US, SECOND_US = 1_790_000_000_000_000, 1_000_000
BEDS = 40
LONG_ENCOUNTER = 2_000  # facts
GROUPS_A_BATCH = 40
HALF_DAY_S = 12 * 3600
MONITOR = "bench/PV1-3=ICU^^00"


def measure(quick: bool) -> dict[str, float]:
    """The figures, on a database of their own."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), edges=1)
        try:
            bench.make_database()
            return measure_on(bench.database, 1_000 if quick else 4_000)
        finally:
            drop_database(bench.server, bench.name)


def measure_on(database: str, visits: int) -> dict[str, float]:
    """`visits`: of three messages each, beside the long encounter. Raises RuntimeError where an answer is wrong."""
    site = _site()
    groups = list(chain(_long_encounter(), *map(_visit, range(visits))))
    with open_store(database) as conn:
        put(conn, groups)
        facts, spent_s = take_all(conn, site)
        if facts != len(groups):
            raise RuntimeError(f"{facts} facts of {len(groups)} messages")
        return {"adt_messages_per_s": facts / spent_s, "reattribute_12h_s": _reattribute(conn, site)}


def admit(conn: psycopg.Connection, visit: str, at_us: int) -> str:
    """Somebody into a bed; the key of the encounter."""
    put(conn, [_group("A01", (at_us - T0_US) // SECOND_US, visit, bed=2)])
    take_all(conn, _site())
    return f"visit:{visit}^B"


def take_all(conn: psycopg.Connection, site: AttributionSite) -> tuple[int, float]:
    """Everything that waits for the attributor: facts that were new, and seconds."""
    began, facts = time.perf_counter(), 0
    while True:
        taken = attribution.take_chunk(conn, site)
        facts += taken.facts
        if not taken.worked:
            return facts, time.perf_counter() - began


def _reattribute(conn: psycopg.Connection, site: AttributionSite) -> float:
    """Half a day ago the patient left the bed, says a message that comes now."""
    device = device_id(MONITOR)
    conn.execute("INSERT INTO device (uuid, claim, edge) VALUES (%s, %s, %s)", (device, MONITOR, uuid4()))
    places.assign(conn, str(device), "00", since=moment(T0_US))
    put(conn, [_group("A01", 0, "late", bed=0)])
    take_all(conn, site)
    began = time.perf_counter()
    put(conn, [_group("A02", 2 * HALF_DAY_S, "late", bed=1, happened_s=HALF_DAY_S)])
    take_all(conn, site)
    spent_s = time.perf_counter() - began
    before, after = (
        patients.whose_at(conn, device, moment(T0_US) + timedelta(seconds=HALF_DAY_S + s)) for s in (-1, 1)
    )
    if before is None or before.whose.encounter != "visit:late^B" or after is None or after.whose.encounter is not None:
        raise RuntimeError("the late transfer did not move the values")
    return spent_s


def _site() -> AttributionSite:
    keys = {f"{n:02}": bed_key(facility="B", ward="ICU", bed=f"{n:02}") for n in range(BEDS)}
    return AttributionSite(
        read_identifiers=lambda _: (),
        sources={"bench": AdtSource(name="bench", authority="B")},
        beds=BedRegistry(keys.values()),
        bed_by_label=keys,
    )


def _long_encounter() -> Iterator[AdtGroup]:
    """A patient who is moved again and again, in beds of its own."""
    yield _group("A01", 0, "long", bed=2)
    for number in range(1, LONG_ENCOUNTER):
        yield _group("A02", number * 60, "long", bed=2 + number % 3)


def _visit(number: int) -> Iterator[AdtGroup]:
    """One after the other in each bed: an hour, moved once."""
    bed, begin_s = 5 + number % (BEDS - 6), 200_000 + number // (BEDS - 6) * 3600
    yield _group("A01", begin_s, f"v{number}", bed=bed)
    yield _group("A02", begin_s + 1800, f"v{number}", bed=bed + 1)
    yield _group("A03", begin_s + 1801, f"v{number}", bed=bed + 1)


def _group(event: str, second: int, visit: str, *, bed: int, happened_s: int | None = None) -> AdtGroup:
    group = AdtGroup(
        event=event,
        control=f"{visit}.{second}",
        digest=b"",
        group=0,
        groups=1,
        facility="B",
        processing_id="P",
        sent_at_us=T0_US + second * SECOND_US,
        recorded_at_us=T0_US + second * SECOND_US,
        happened_at_us=None if happened_s is None else T0_US + happened_s * SECOND_US,
        patients=(Identifier(value=f"p{visit}"),),
        visit=Visit(patient_class="I", bed=SentBed(ward="ICU", bed=f"{bed:02}"), number=Identifier(value=visit)),
    )
    return msgspec.structs.replace(group, digest=sha256(encode_group(group).encode()).digest())


def put(conn: psycopg.Connection, groups: Sequence[AdtGroup], source: str = "bench") -> None:
    """As the writer leaves them: batches of the lane ADT, a row a group."""
    claim = f"adt:{source}"
    row = conn.execute(
        "INSERT INTO device (uuid, claim, edge) VALUES (%s, %s, %s)"
        " ON CONFLICT (uuid, edge) DO UPDATE SET claim = excluded.claim RETURNING device",
        (device_id(claim), claim, device_id("edge")),
    ).fetchone()
    assert row is not None
    with conn.transaction():
        Partitions.of(conn).ensure(conn, np.array([time.time_ns() // 1000]))
        for start in range(0, len(groups), GROUPS_A_BATCH):
            _put_batch(conn, row[0], groups[start : start + GROUPS_A_BATCH])


def _put_batch(conn: psycopg.Connection, device: int, groups: Sequence[AdtGroup]) -> None:
    batch_id = sha256(b"".join(group.digest for group in groups)).digest()
    conn.execute(
        "INSERT INTO batch SELECT nextval('batch_number'), %(edge)s, %(edge)s, %(lane)s, 1, %(id)s, 1, 0, now(),"
        " %(count)s, %(count)s",
        {"edge": device_id("edge"), "lane": int(Lane.ADT), "id": batch_id, "count": len(groups)},
    )
    conn.execute("INSERT INTO attribution_batch VALUES (currval('batch_number'), %s)", (int(Lane.ADT),))
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO report (observed_at, received_at, device, channel_set, kind, flags, sequence, batch, leaf,"
            " value, texts) VALUES (now(), %s, %s, 1, %s, 0, 1, currval('batch_number'), %s, '{}', %s)",
            [
                (moment(group.sent_at_us or 0), device, int(Kind.CONTEXT), leaf, _texts(group))
                for leaf, group in enumerate(groups)
            ],
        )


def _texts(group: AdtGroup) -> str:
    text = {"record": 0, "system": "vitalwire", "code": GROUP_CODE, "text": encode_group(group)}
    return msgspec.json.encode([text]).decode()
