"""A patient's day with 20 handovers, on the fixture with 50,000 changes of place.

The places are written to the fixture in one transaction that is never committed: what is measured on it elsewhere stays
as it was made. Each of the fixture's monitors stands at a bed of its own, and all patients change beds at once, so that
the values of everybody's day come from 21 monitors.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from uuid import UUID

import msgspec
import numpy as np
import psycopg
from psycopg.types.range import TimestamptzRange

from benchmarks import fixture
from benchmarks.asking import asking
from clinical.attribution import Basis, State
from clinical.beds import BedRegistry, bed_key
from clinical.encounter import Stay
from clinical.facts import AdtFact, make_fact
from clinical.identity import AdtSource, patient_keys, visit_key
from clinical.stays import compute_stays, encounter_links, patient_links
from clinical.wards import ward_of_bed
from emr_store import adt_facts, attribution, places, stays
from emr_store.adt_facts import StoredGroup
from emr_store.connect import open_store
from emr_store.instants import moment, us_of
from gateway.access.words import Role
from gateway.asking import Asking
from gateway.pages import patient
from schemas.adt import AdtGroup, Identifier, SentBed, Visit, encode_group
from schemas.report import device_id

DAY = timedelta(days=1)
HANDOVERS = 20  # of each patient within the day
EARLIER = 30  # before it, one a day
STRIDE = 7  # beds from one place to the next, which no patient comes back to within the day
ASKED, ASKED_QUICK = 100, 20  # patients, each once
OFF_MINUTE = timedelta(seconds=17.5)  # handovers keep to no minute
WARD_BEDS = 50
SOURCE = AdtSource(name="bench", authority="B")


def measure(quick: bool) -> dict[str, float]:
    """All values of a patient's day, as rows; and its trends, as the patient's page asks for them."""
    made = fixture.make(fixture.QUICK if quick else fixture.FULL)
    until = moment(made.ends_us)
    since = max(moment(made.begins_us), until - DAY)
    asked = Random(1).sample(range(fixture.DEVICES), ASKED_QUICK if quick else ASKED)
    who = asking(made.address, Role.MACHINE)
    with open_store(made.address) as conn, conn.transaction(force_rollback=True):
        put_places(conn, since, until, fixture.DEVICES)
        trend_ms = [_trend_ms(conn, who, patient_key(number), until) for number in asked]
        values_ms = [_values_ms(conn, patient_key(number), since, until) for number in asked]
    return {
        "whose_day_p95_ms": float(np.percentile(values_ms, 95)),
        "whose_day_trend_p95_ms": float(np.percentile(trend_ms, 95)),
    }


def _values_ms(conn: psycopg.Connection, key: str, since: datetime, until: datetime) -> float:
    """All values as rows. Raises RuntimeError where they are not from all monitors of the day."""
    began = time.perf_counter()
    with conn.cursor(binary=True) as cursor:
        found = cursor.execute(_VALUES_SQL, (key, since, until)).fetchall()
    spent_s = time.perf_counter() - began
    if len({row[0] for row in found}) != HANDOVERS + 1:
        raise RuntimeError(f"{len(found)} values of a day, not from {HANDOVERS + 1} monitors")
    return spent_s * 1000


def _trend_ms(conn: psycopg.Connection, who: Asking, key: str, until: datetime) -> float:
    began = time.perf_counter()
    found = patient.trend(conn, who, key, 24, now=until)
    spent_s = time.perf_counter() - began
    if found is None or len(found["series"]) != fixture.VALUES:
        raise RuntimeError("a day without its trends")
    return spent_s * 1000


_VALUES_SQL = "SELECT device, observed_at, code, channel, value, unit FROM observations_of(%s, %s, %s)"


# --- the places ------------------------------------------------------------------------------------------------------


def put_places(conn: psycopg.Connection, since: datetime, until: datetime, devices: int) -> None:
    """Each monitor at its bed, each patient's facts, encounter and stays, and whose the values are; as many patients as
    devices. In a transaction."""
    began = since - timedelta(days=EARLIER + 1)
    with conn.cursor() as cursor:
        for number in range(devices):
            places.assign(conn, str(_device(number)), _bed(number), since=began)
        registry = BedRegistry(_key(number) for number in range(devices))
        groups = list(_groups(since, until, devices))
        stored = [
            StoredGroup(batch_id=sha256(group.digest).digest(), leaf=0, source=SOURCE.name, group=group, person=None,
                        fact=make_fact(group, SOURCE, registry, group.recorded_at_us or 0))
            for group in groups
        ]  # fmt: skip
        recorded_at = attribution.begin(conn)
        facts = adt_facts.write_facts(conn, stored, recorded_at)
        _put_stays(conn, facts, devices, recorded_at)
        cursor.execute("ANALYZE whose, encounter, encounter_bed, adt_fact, registered_device, device_bed, device_edge")


def _put_stays(conn: psycopg.Connection, facts: Sequence[AdtFact], devices: int, recorded_at: datetime) -> None:
    links = patient_links(facts)
    computed = compute_stays(facts, links, encounter_links(facts))
    stays.write(conn, computed, links, set(computed.encounters), recorded_at)
    device_at = {_key(number): _device(number) for number in range(devices)}
    patients = {encounter.key: encounter.patients[0] for encounter in computed.encounters.values()}
    with conn.cursor() as cursor, cursor.copy("COPY whose FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["uuid", "tstzrange", "tstzrange", "text", "text", "text", "text", "text", "bytea[]"])
        for stay in computed.stays:
            valid = TimestamptzRange(moment(stay.from_us), moment(stay.until_us))
            copy.write_row((device_at[stay.bed], valid, TimestamptzRange(recorded_at, None), State.ATTRIBUTED.value,
                            stay.encounter, patients[stay.encounter], Basis.BED.value, None, _facts(stay)))  # fmt: skip


def _facts(stay: Stay) -> list[bytes]:
    return [fact for fact in (stay.from_fact, stay.until_fact) if fact is not None]


def _groups(since: datetime, until: datetime, devices: int) -> Iterator[AdtGroup]:
    """Each patient is admitted and then moved with all the others, a bed each."""
    turns = [since - timedelta(days=days) + OFF_MINUTE for days in range(EARLIER, -1, -1)]
    every = (until - since) / (HANDOVERS + 1)
    turns += [since + every * turn + OFF_MINUTE for turn in range(1, HANDOVERS + 1)]
    turns[EARLIER] = since  # in the bed when the day begins
    for turn, at in enumerate(turns):
        for number in range(devices):
            yield _group("A02" if turn else "A01", number, (number + turn * STRIDE) % devices, us_of(at))


def _group(event: str, number: int, bed: int, at_us: int) -> AdtGroup:
    group = AdtGroup(
        event=event,
        control=f"{number}.{at_us}",
        digest=b"",
        group=0,
        groups=1,
        facility="B",
        processing_id="P",
        sent_at_us=at_us,
        recorded_at_us=at_us,
        patients=(_number(number),),
        visit=Visit(patient_class="I", bed=SentBed(ward=_ward(bed), bed=_bed(bed)), number=_visit(number)),
    )
    return msgspec.structs.replace(group, digest=sha256(encode_group(group).encode()).digest())


def patient_key(number: int) -> str:
    """Of one of the patients of `put_places`."""
    (key,) = patient_keys([_number(number)], SOURCE)
    return key


def visit_of(number: int) -> str:
    """The key of this patient's encounter."""
    key = visit_key(_visit(number), (), SOURCE)
    assert key is not None
    return key


def _visit(number: int) -> Identifier:
    return Identifier(value=f"V{number:04}")


def _number(number: int) -> Identifier:
    return Identifier(value=f"P{number:04}")


def last_ward(number: int, devices: int) -> str:
    """The key of the ward that this patient is on in the end."""
    return ward_of_bed(_key((number + (EARLIER + HANDOVERS) * STRIDE) % devices))


def _ward(number: int) -> str:
    return f"ICU{number // WARD_BEDS}"


def _bed(number: int) -> str:
    return f"F-{number:04}"


def _key(number: int) -> str:
    return bed_key(facility=SOURCE.authority, ward=_ward(number), bed=_bed(number))


def _device(number: int) -> UUID:
    return device_id(f"fixture:{number}")
