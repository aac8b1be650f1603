"""What of charts only a person can decide: values that are another's by now, and corrections that fit nothing.

An entry that a person confirmed is not moved: while its values are another encounter's it is disputed, until a person
confirms, corrects or withdraws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg

from clinical.chart import Entry, Measured, Status
from clinical.worklist import Item, ItemKind
from emr_store import worklist
from emr_store.instants import moment, us_of

SCOPE = "chart"


def write(conn: psycopg.Connection, entry: Entry, recorded_at_us: int) -> None:
    """Ask of this entry, which a person stands behind, what is to be asked now; and no longer what is settled."""
    items = []
    owner = _owner(conn, entry)
    newest = entry.now
    if (
        newest.status is not Status.ENTERED_IN_ERROR
        and owner is not None
        and owner.encounter != entry.key.encounter
        and (owner.recorded_at is None or us_of(owner.recorded_at) > newest.recorded_at_us)
    ):
        items.append(_item(entry))
    worklist.write(conn, f"{SCOPE} {entry.entry}", items, [entry.key.encounter], _moment(recorded_at_us))


def _item(entry: Entry) -> Item:
    at = _moment(entry.key.at_us).isoformat(timespec="minutes")
    return Item(
        kind=ItemKind.CHART_ATTRIBUTION_DISPUTED,
        subject=entry.key.encounter,
        since_us=entry.key.at_us,
        announce_at_us=entry.key.at_us,
        detail=f"{entry.key.item} {at} {entry.entry}",
    )


def disputed_entries(conn: psycopg.Connection, encounter: str) -> set[str]:
    """Those of this encounter that a person has to decide about now."""
    rows = conn.execute(
        "SELECT scope FROM worklist_item WHERE subject = %s AND kind = %s AND upper_inf(recorded)",
        (encounter, ItemKind.CHART_ATTRIBUTION_DISPUTED),
    )
    return {scope.removeprefix(f"{SCOPE} ") for (scope,) in rows}


class _Owner(NamedTuple):
    """Whose a value is now, and since when we believe so; None: nobody's, and never was anybody's."""

    encounter: str | None
    recorded_at: datetime | None


def is_anothers(conn: psycopg.Connection, entry: Entry) -> bool:
    """Whether what it was taken from is now another encounter's, or nobody's; of what is kept no longer: no."""
    owner = _owner(conn, entry)
    return owner is not None and owner.encounter != entry.key.encounter


def _owner(conn: psycopg.Connection, entry: Entry) -> _Owner | None:
    """Of the value that its newest version of a device was taken from; None: it is of none, or its row is gone."""
    of_device = next((version for version in reversed(entry.versions) if version.sources), None)
    if of_device is None:
        return None
    source = of_device.sources[0]
    row = conn.execute(
        _OWNER_SQL, {"batch": source.batch_id, "leaf": source.leaf, "at": moment(of_device.observed_at_us)}
    ).fetchone()
    return None if row is None else _Owner(*row)


_OWNER_SQL = """
SELECT w.encounter, coalesce(lower(w.recorded), (SELECT max(upper(recorded)) FROM whose
    WHERE device = d.uuid AND valid @> r.observed_at)) FROM batch b
JOIN report r ON r.batch = b.batch AND r.leaf = %(leaf)s AND r.observed_at = %(at)s
JOIN device d USING (device)
LEFT JOIN whose w ON w.device = d.uuid AND w.valid @> r.observed_at AND upper_inf(w.recorded)
WHERE b.batch_id = %(batch)s LIMIT 1
"""


def note_corrections(
    conn: psycopg.Connection, encounter: str, values: Sequence[Measured], recorded_at_us: int
) -> None:  # fmt: skip
    """Ask about each correction and withdrawal among these that is of no other of them, or of several."""
    for value in values:
        if not (value.correction or value.withdrawal):
            continue
        meant = sum(_is_meant(value, other) for other in values)
        items = [] if meant == 1 else [_correction(encounter, value, meant)]
        scope = f"{SCOPE} correction {value.source.batch_id.hex()[:16]} {value.source.leaf} {value.source.record}"
        worklist.write(conn, scope, items, [encounter], _moment(recorded_at_us))


def _is_meant(value: Measured, other: Measured) -> bool:
    """Same device, moment, metric and channel, and said as a result of its own."""
    return (
        (other.observed_at_us, other.device, other.metric, other.channel)
        == (value.observed_at_us, value.device, value.metric, value.channel)
        and not other.correction
        and not other.withdrawal
    )


def _correction(encounter: str, value: Measured, meant: int) -> Item:
    at = _moment(value.observed_at_us).isoformat(timespec="seconds")
    return Item(
        kind=ItemKind.CORRECTION_OF_SEVERAL if meant else ItemKind.CORRECTION_OF_NOTHING,
        subject=encounter,
        since_us=value.observed_at_us,
        announce_at_us=value.observed_at_us,
        detail=f"{value.metric} {at} {value.device}",
    )


def _moment(at_us: int) -> datetime:
    return moment(at_us)
