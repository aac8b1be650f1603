"""Charts for tests of deliveries: versions of entries written at once, without a device or a policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from emr_store import chart_sequence, deliver
from emr_store.deliver import Accepted, Delivered, Made, Message
from tests.adt import group, visit_of
from tests.attributing import Hospital
from tests.storing import Store

SPO2_ID = "MDC_PULS_OXIM_SAT_O2"
FIRST_SLOT = datetime(2026, 9, 21, 14, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Said:
    """A version of an entry: of a visit's slot (by its number), and when it was recorded."""

    entry: int
    version: int = 1
    status: str = "final"
    visit: str = "V1"
    slot: int = 0
    item: str = SPO2_ID
    value: float = 97.0
    ordinal: int = 1
    age_s: float = 0.0


def uuid_of(entry: int) -> UUID:
    return UUID(int=entry)


def slot_of(number: int) -> datetime:
    return FIRST_SLOT + timedelta(minutes=5 * number)


def say(conn: psycopg.Connection, *versions: Said) -> None:
    """Write these versions in one statement, and give them their place in the order."""
    conn.execute(_SAY_SQL, (
        [uuid_of(each.entry) for each in versions], [each.version for each in versions],
        [visit_of(each.visit) for each in versions], [each.item for each in versions],
        [slot_of(each.slot) for each in versions], [each.ordinal for each in versions],
        [each.status for each in versions], [float(each.value) for each in versions],
        [float(each.age_s) for each in versions],
    ))  # fmt: skip
    while chart_sequence.sequence(conn):
        pass


def admit(store: Store, *visits: str) -> None:
    """Each of these visits is of a patient of its own: V7 of P7."""
    hospital = Hospital(store)
    hospital.emit(*(
        group("A01", at, visit=visit, patient=visit.replace("V", "P"), bed="") for at, visit in enumerate(visits)
    ))  # fmt: skip
    hospital.attribute()


def take_all(conn: psycopg.Connection, destination: int, *, preliminary: bool = False) -> None:
    while deliver.take(conn, destination, preliminary=preliminary):
        pass


def made(message: Message) -> Made:
    """Bytes that name what the message says."""
    body = " ".join(f"{entry.int}.{number}" for entry, number in zip(message.entries, message.versions, strict=True))
    return Made(
        delivery=message.delivery, control_id=body, body=body.encode(), entries=message.entries,
        versions=message.versions, said=message.entries, said_versions=message.versions,
    )  # fmt: skip


def accepted(message: Message) -> Accepted:
    had = [Delivered(entry, number, "") for entry, number in zip(message.entries, message.versions, strict=True)]
    return Accepted(message.delivery, "AA", had)


def words(messages: Iterable[Message]) -> list[str]:
    """What messages say: "7.1 8.1" for the first versions of entries 7 and 8."""
    return [made(each).body.decode() for each in messages]


_SAY_SQL = """
INSERT INTO chart_entry (entry, version, encounter, item, slot, ordinal, status, origin, value, text, unit, decimals,
    observed_at, source_batch, source_leaf, source_record, reason, by_time, recorded_at)
SELECT e, v, n, i, s, o, t, 'device', w, '', '%%', 0, s, '{a}', '{0}', '{0}', '', false,
    clock_timestamp() - a * interval '1 s'
FROM unnest(%s::uuid[], %s::int4[], %s::text[], %s::text[], %s::timestamptz[], %s::int4[], %s::text[], %s::float8[],
    %s::float8[]) WITH ORDINALITY AS u(e, v, n, i, s, o, t, w, a, k) ORDER BY k
"""
