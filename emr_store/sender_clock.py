"""The clocks of admission offices against ours, as questions to people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import psycopg

from clinical.census import SOURCE_PREFIX
from clinical.sender_clock import MESSAGES, behind_us, clock_behind_item
from clinical.temporary_patients import SOURCE_NAME
from emr_store import worklist
from emr_store.instants import us_of
from schemas.adt import decode_group

_LATEST_SQL = """
SELECT fact, received_at, said FROM adt_fact WHERE source = %s ORDER BY taken_at DESC, received_at DESC, fact LIMIT %s
"""


def note(conn: psycopg.Connection, sources: Iterable[str], recorded_at: datetime) -> None:
    """Ask of each source whose latest messages were all dated long before they came; a message in time ends that."""
    for source in sources:
        if source == SOURCE_NAME or source.startswith(SOURCE_PREFIX):
            continue
        rows = conn.execute(_LATEST_SQL, (source, MESSAGES)).fetchall()
        lags_us = []
        for _, received_at, said in rows:
            sent_at_us = decode_group(said).sent_at_us
            if sent_at_us is not None:
                lags_us.append(us_of(received_at) - sent_at_us)
        behind = behind_us(lags_us)
        if not behind:
            worklist.write(conn, worklist.CLOCK, [], [source], recorded_at)
        elif not _is_asked(conn, source):
            fact, received_at, _ = rows[0]
            item = clock_behind_item(source, behind, us_of(received_at), bytes(fact))
            worklist.write(conn, worklist.CLOCK, [item], [source], recorded_at)


def _is_asked(conn: psycopg.Connection, source: str) -> bool:
    found = conn.execute(
        "SELECT FROM worklist_item WHERE subject = %s AND scope = %s AND upper_inf(recorded)", (source, worklist.CLOCK)
    )
    return bool(found.rowcount)
