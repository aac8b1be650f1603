"""The entries of charts as rows: a version each, appended and never changed.

Pages read what an encounter's chart says now with `summaries`, and one entry with its versions with `entry_with_id` or
`find_entry`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryLoader

from clinical.chart import Entry, EntryKey, EntrySummary, Origin, Source, Status, Version
from emr_store.instants import moment, us_of
from emr_store.rows import POSTGRES_EPOCH_US
from schemas.errors import VitalwireError

_COLUMNS = (
    "entry, version, encounter, item, slot, ordinal, status, origin, value, text, unit, decimals, observed_at,"
    " source_batch, source_leaf, source_record, reason, act_id, by_time, recorded_at"
)
_TYPES = (
    "uuid", "int4", "text", "text", "timestamptz", "int4", "text", "text", "float8", "text", "text", "int2",
    "timestamptz", "bytea[]", "int4[]", "int4[]", "text", "bytea", "bool", "timestamptz",
)  # fmt: skip
_STATUS = {status.value: status for status in Status}
_ORIGIN = {origin.value: origin for origin in Origin}
_entry_of_row = itemgetter(0)
_BEGINNING = re.compile("(?=.{8})[0-9a-f]{1,8}(-?[0-9a-f]{1,4}){0,3}(-?[0-9a-f]{1,12})?")  # of an id


@dataclass(frozen=True)
class NewVersion:
    """A version to be written, or read by itself; `ordinal` says which entry of its slot it belongs to."""

    entry: str
    key: EntryKey
    ordinal: int
    version: Version


class Kept(msgspec.Struct, frozen=True, gc=False):
    """An entry as it stands in the store."""

    entry: Entry
    ordinal: int


class _Microseconds(Loader):
    """A timestamptz as the record counts it, without a datetime between: a day of a chart has ten thousand of them."""

    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        """PostgreSQL's own form: microseconds since 2000, signed."""
        return int.from_bytes(data, "big", signed=True) + POSTGRES_EPOCH_US


def _read(conn: psycopg.Connection, sql: str, named: Mapping[str, object]) -> list[Kept]:
    """Entries of rows of _READ, the versions of each one after the other."""
    return _kept(_rows(conn, sql, named))


def _rows(conn: psycopg.Connection, sql: str, named: Mapping[str, object]) -> list[tuple[Any, ...]]:
    cursor = conn.cursor(binary=True)
    cursor.adapters.register_loader("timestamptz", _Microseconds)
    return cursor.execute(sql.encode(), named).fetchall()


def new_entry_id() -> str:
    """A UUID of version 7 (RFC 9562, 5.7): those that are made one after the other lie side by side in the index."""
    at_ms = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10)) & ((1 << 74) - 1)
    return str(UUID(int=at_ms << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & ((1 << 62) - 1)))


# --- reading ---------------------------------------------------------------------------------------------------------


def summaries(conn: psycopg.Connection, encounter: str, since: datetime, until: datetime) -> list[EntrySummary]:
    """What the entries of an encounter whose slots end in [since, until) say now, by slot and item.

    Those that were entered in error are among them, before the one that stands in the same slot.
    """
    named = {"encounter": encounter, "since": since, "until": until}
    cursor = conn.cursor(binary=True)
    cursor.adapters.register_loader("timestamptz", Int8BinaryLoader)  # psycopg's own, in C: _Microseconds is not
    rows = cursor.execute(_SUMMARIES_SQL.encode(), named).fetchall()
    rows.reverse()
    return [
        EntrySummary(
            entry=entry,
            item=item,
            at_us=slot + POSTGRES_EPOCH_US,
            number=number,
            status=_STATUS[status],
            origin=_ORIGIN[origin],
            value=value,
            text=text,
            decimals=decimals,
            act_id=act_id,
            by_time=by_time,
        )
        for entry, item, slot, number, status, origin, value, text, decimals, act_id, by_time in rows
    ]


def flowsheet(conn: psycopg.Connection, encounter: str, since: datetime, until: datetime) -> list[Entry]:
    """The entries of an encounter whose slots end in [since, until), by slot and item, with all of their versions.

    Those that were entered in error are among them, before the one that stands in the same slot.
    """
    named = {"encounter": encounter, "since": since, "until": until}
    return [kept.entry for kept in _read(conn, _FLOWSHEET_SQL, named)]


def hours(conn: psycopg.Connection, encounter: str, since: datetime, until: datetime) -> list[Entry]:
    """Likewise, but of each item and hour the first that stands, and all that a person had a hand in.

    What paper shows, which has slots of hours: a stay of months is read in a moment.
    """
    named = {"encounter": encounter, "since": since, "until": until}
    return [kept.entry for kept in _read(conn, _HOURS_SQL, named)]


def entries_at(conn: psycopg.Connection, keys: Collection[EntryKey]) -> dict[EntryKey, Kept]:
    """Of each slot that ever had an entry the last one, in one query."""
    if not keys:
        return {}
    encounters, items, slots = zip(*keys, strict=True)
    named = {"encounters": list(encounters), "items": list(items), "slots": [moment(slot) for slot in slots]}
    return {kept.entry.key: kept for kept in _read(conn, _AT_SQL, named)}  # of several ordinals the last


def versions_of(conn: psycopg.Connection, wanted: Sequence[tuple[UUID, int]]) -> list[NewVersion]:
    """These versions (entry, number), in the order asked, in one query.

    Raises VitalwireError where one is not there.
    """
    named = {"entries": [entry for entry, _ in wanted], "versions": [number for _, number in wanted]}
    found = [_by_itself(row) for row in _rows(conn, _VERSIONS_SQL, named)]
    if len(found) != len(wanted):
        there = {(UUID(each.entry), each.version.number) for each in found}
        entry, number = next(each for each in wanted if each not in there)
        raise VitalwireError(
            f"the chart has no version {number} of an entry {entry}: `vitalwire chart show ENCOUNTER --json` has"
            " those that are"
        )
    return found


def newest_in_slots(conn: psycopg.Connection, slots: Sequence[tuple[str, int]]) -> list[NewVersion]:
    """The newest version of every entry of these slots (encounter, end of the slot), by slot, item and ordinal.

    All items, and the entries of a slot that were entered in error too; slots in the order asked, each once.
    """
    each_once = list(dict.fromkeys(slots))
    named = {
        "encounters": [encounter for encounter, _ in each_once],
        "slots": [moment(at_us) for _, at_us in each_once],
    }
    return [_by_itself(row) for row in _rows(conn, _NEWEST_SQL, named)]


def _by_itself(row: tuple[Any, ...]) -> NewVersion:
    entry, _, encounter, item, slot_us, ordinal, *_ = row
    return NewVersion(entry, EntryKey(encounter, item, slot_us), ordinal, _version(row))


# Most versions have one source: arrays are slower to read than what is in them.
_SOURCES = "source_batch", "source_leaf", "source_record"
_READ = "c.entry::text, c." + _COLUMNS.removeprefix("entry, ").replace(", ", ", c.")
for _name in _SOURCES:
    _READ = _READ.replace(f"c.{_name}", f"c.{_name}[1]")
_READ += "".join(f", CASE WHEN cardinality(c.{name}) > 1 THEN c.{name} END" for name in _SOURCES)
_FLOWSHEET_SQL = f"""
SELECT {_READ} FROM chart_entry c
WHERE c.encounter = %(encounter)s AND c.slot >= %(since)s AND c.slot < %(until)s
ORDER BY c.encounter, c.slot, c.item, c.ordinal, c.version
"""
# Read from the index alone (migrations/0011_chart_index.sql), which has all but texts; and backwards: so the newest
# version of each entry comes first, and nothing is sorted.
_SUMMARIES_SQL = """
SELECT DISTINCT ON (c.slot, c.item, c.ordinal) c.entry::text, c.item, c.slot, c.version, c.status, c.origin, c.value,
    CASE WHEN c.value IS NULL
        THEN (SELECT t.text FROM chart_entry t WHERE t.entry = c.entry AND t.version = c.version) ELSE '' END,
    c.decimals, c.act_id, c.by_time
FROM chart_entry c WHERE c.encounter = %(encounter)s AND c.slot >= %(since)s AND c.slot < %(until)s
ORDER BY c.slot DESC, c.item DESC, c.ordinal DESC, c.version DESC
"""
_HOURS_SQL = f"""
WITH e AS (
    SELECT entry, item, slot, bool_or(act_id IS NOT NULL) AS touched, bool_or(status = 'entered-in-error') AS gone
    FROM chart_entry WHERE encounter = %(encounter)s AND slot >= %(since)s AND slot < %(until)s
    GROUP BY entry, item, slot),
chosen AS (
    SELECT entry FROM e WHERE touched
    UNION (SELECT DISTINCT ON (item, date_bin('1 hour', slot, 'epoch')) entry FROM e WHERE NOT gone
        ORDER BY item, date_bin('1 hour', slot, 'epoch'), slot, entry))
SELECT {_READ} FROM chart_entry c JOIN chosen USING (entry)
WHERE c.encounter = %(encounter)s AND c.slot >= %(since)s AND c.slot < %(until)s
ORDER BY c.encounter, c.slot, c.item, c.ordinal, c.version
"""
_AT_SQL = f"""
SELECT {_READ}
FROM unnest(%(encounters)s::text[], %(items)s::text[], %(slots)s::timestamptz[]) AS k(encounter, item, slot)
JOIN chart_entry c USING (encounter, item, slot)
ORDER BY c.encounter, c.slot, c.item, c.ordinal, c.version
"""
_VERSIONS_SQL = f"""
SELECT {_READ}
FROM unnest(%(entries)s::uuid[], %(versions)s::int4[]) WITH ORDINALITY AS k(entry, version, n)
JOIN chart_entry c USING (entry, version) ORDER BY k.n
"""
_NEWEST_SQL = f"""
SELECT {_READ}
FROM unnest(%(encounters)s::text[], %(slots)s::timestamptz[]) WITH ORDINALITY AS k(encounter, slot, n)
JOIN chart_entry c USING (encounter, slot)
WHERE NOT EXISTS (SELECT FROM chart_entry later WHERE later.entry = c.entry AND later.version = c.version + 1)
ORDER BY k.n, c.item, c.ordinal
"""


def keys_between(conn: psycopg.Connection, encounters: Collection[str], since_us: int, until_us: int) -> list[EntryKey]:
    """Of the entries of these encounters that come from devices and whose slots end in [since, until]."""
    rows = conn.execute(
        "SELECT DISTINCT encounter, item, slot FROM chart_entry WHERE encounter = ANY(%s) AND slot >= %s"
        " AND slot <= %s AND cardinality(source_batch) > 0",
        (list(encounters), moment(since_us), moment(until_us)),
    )
    return [EntryKey(encounter, item, us_of(slot)) for encounter, item, slot in rows]


def find_entry(conn: psycopg.Connection, entry: str) -> Kept:
    """By its id, or the beginning of it; raises VitalwireError where there is none, or several."""
    beginning = entry.strip().lower()
    rows: list[tuple[UUID]] = []
    if _BEGINNING.fullmatch(beginning):
        rows = conn.execute(
            "SELECT DISTINCT entry FROM chart_entry WHERE entry >= %s AND entry <= %s LIMIT 2",
            (_filled(beginning, "0"), _filled(beginning, "f")),
        ).fetchall()
    if len(rows) != 1:
        found = "no entry has" if not rows else "several entries have"
        raise VitalwireError(f"{found} the id {entry!r}: `vitalwire chart show ENCOUNTER --json` has them whole")
    return entry_with_id(conn, rows[0][0])


def _filled(beginning: str, digit: str) -> UUID:
    digits = beginning.replace("-", "")
    return UUID(digits + digit * (32 - len(digits)))


def entry_with_id(conn: psycopg.Connection, entry: UUID) -> Kept:
    """With its versions; raises VitalwireError where there is none."""
    sql = f"SELECT {_READ} FROM chart_entry c WHERE c.entry = %(entry)s ORDER BY c.version"
    found = _read(conn, sql, {"entry": entry})
    if not found:
        raise VitalwireError(f"there is no entry {entry}: `vitalwire chart show ENCOUNTER --json` has those that are")
    return found[0]


def _kept(rows: Iterable[tuple[Any, ...]]) -> list[Kept]:
    found = []
    for entry, of_entry in groupby(rows, _entry_of_row):
        versions = list(of_entry)
        _, _, encounter, item, slot_us, ordinal, *_ = versions[0]
        key = EntryKey(encounter, item, slot_us)
        found.append(Kept(Entry(entry=entry, key=key, versions=tuple(map(_version, versions))), ordinal))
    return found


def _version(row: tuple[Any, ...]) -> Version:
    (_, number, _, _, _, _, status, origin, value, text, unit, decimals, observed_at_us, batch_id, leaf, record,
     reason, act_id, by_time, recorded_at_us, batches, leaves, records) = row  # fmt: skip
    sources: tuple[Source, ...] = () if batch_id is None else (Source(batch_id, leaf, record),)
    if batches is not None:
        sources = tuple(map(Source, batches, leaves, records))
    return Version(
        number=number,
        status=_STATUS[status],
        origin=_ORIGIN[origin],
        value=value,
        text=text,
        unit=unit,
        decimals=decimals,
        observed_at_us=observed_at_us,
        sources=sources,
        reason=reason,
        act_id=act_id,
        by_time=by_time,
        recorded_at_us=recorded_at_us,
    )


# --- writing ---------------------------------------------------------------------------------------------------------


def append(conn: psycopg.Connection, versions: Iterable[NewVersion]) -> None:
    """Write these versions, in the caller's transaction.

    Raises psycopg.errors.UniqueViolation where another one wrote the same version, or an entry of the same slot.
    """
    with conn.cursor().copy(f"COPY chart_entry ({_COLUMNS}) FROM STDIN (FORMAT BINARY)".encode()) as copy:
        copy.set_types(_TYPES)
        for new in versions:
            copy.write_row(_row(new))


def _row(new: NewVersion) -> tuple[Any, ...]:
    said = new.version
    return (
        UUID(new.entry), said.number, new.key.encounter, new.key.item, moment(new.key.at_us), new.ordinal,
        said.status.value, said.origin.value, said.value, said.text, said.unit, said.decimals,
        moment(said.observed_at_us), *source_columns(said.sources), said.reason, said.act_id, said.by_time,
        moment(said.recorded_at_us),
    )  # fmt: skip


def source_columns(sources: Iterable[Source]) -> tuple[list[bytes], list[int], list[int]]:
    """batch_id, leaf and record of each."""
    listed = list(sources)
    return [s.batch_id for s in listed], [s.leaf for s in listed], [s.record for s in listed]
