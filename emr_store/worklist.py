"""The worklist as rows: what is asked of people, and what they have dealt with."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import psycopg

from clinical.differences import differences
from clinical.worklist import Item, ItemKind
from emr_store.instants import moment, us_of

FACT, ENCOUNTER, LINK, BED, DEVICE, MEASURING = "fact", "encounter", "link", "bed", "device", "measuring"
CENSUS, SCAN, CLOCK = "census", "scan", "clock"


def write(
    conn: psycopg.Connection, scope: str, items: Iterable[Item], subjects: Collection[str], recorded_at: datetime
) -> int:
    """Write only what differs from what is believed of these subjects, which the items are about; how many rows."""
    rows = conn.execute(
        f"SELECT item, {_COLUMNS} FROM worklist_item WHERE subject = ANY(%s) AND scope = %s"
        " AND upper_inf(recorded)".encode(),
        (list(subjects), scope),
    ).fetchall()
    believed = {item_of(row[1:]): row[0] for row in rows}
    changes = differences(believed, items)
    conn.execute(
        "UPDATE worklist_item SET recorded = tstzrange(lower(recorded), %s) WHERE item = ANY(%s)",
        (recorded_at, [believed[item] for item in changes.to_end]),
    )
    add(conn, scope, changes.to_begin, recorded_at)
    return len(changes.to_end) + len(changes.to_begin)


def add(conn: psycopg.Connection, scope: str, items: Iterable[Item], recorded_at: datetime) -> None:
    """Items that are not there yet."""
    with conn.cursor() as cursor:
        cursor.executemany(_ADD_SQL, [_row(scope, item, recorded_at) for item in items])


_COLUMNS = "kind, subject, since, announce_at, until, facts, detail"
_ADD_SQL = f"""
INSERT INTO worklist_item ({_COLUMNS}, scope, recorded) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, tstzrange(%s, NULL))
"""


def _row(scope: str, item: Item, recorded_at: datetime) -> tuple[Any, ...]:
    return (
        item.kind.value, item.subject, moment(item.since_us), moment(item.announce_at_us), moment(item.until_us),
        list(item.facts), item.detail, scope, recorded_at,
    )  # fmt: skip


def item_of(row: tuple[Any, ...]) -> Item:
    """A row of `kind, subject, since, announce_at, until, facts, detail`."""
    kind, subject, since, announce_at, until, facts, detail = row
    return Item(
        kind=ItemKind(kind),
        subject=subject,
        since_us=us_of(since),
        announce_at_us=us_of(announce_at),
        until_us=us_of(until),
        facts=tuple(bytes(fact) for fact in facts),
        detail=detail,
    )
