"""What the charter would say where a person stands behind an entry; a proposal lapses with the entry's next version."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import psycopg

from clinical.chart import Chosen, Source
from clinical.chart_versions import Proposal
from emr_store.chart_entries import source_columns
from emr_store.instants import moment, us_of

_COLUMNS = "entry, version, value, text, unit, decimals, observed_at, source_batch, source_leaf, source_record, reason"
NOTHING = "no value stands for this slot any more"


def write(conn: psycopg.Connection, proposals: Mapping[tuple[str, int], Proposal | None], recorded_at_us: int) -> None:
    """What is proposed of these versions of entries; None: nothing, or no longer."""
    if not proposals:
        return
    known = {(str(row[0]), row[1]): _proposal(row) for row in conn.execute(
        f"SELECT {_COLUMNS} FROM chart_proposal WHERE entry = ANY(%s)".encode(),
        ([UUID(entry) for entry, _ in proposals],),
    )}  # fmt: skip
    for key, proposal in proposals.items():
        if known.get(key) == proposal:
            continue
        entry, version = UUID(key[0]), key[1]
        conn.execute("DELETE FROM chart_proposal WHERE entry = %s AND version = %s", (entry, version))
        if proposal is not None:
            conn.execute(_ADD_SQL, (entry, version, *_columns(proposal), moment(recorded_at_us)))


_ADD_SQL = f"""
INSERT INTO chart_proposal ({_COLUMNS}, recorded_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def _columns(proposal: Proposal) -> tuple[object, ...]:
    chosen = proposal.chosen
    if chosen is None:
        return None, "", "", 0, None, [], [], [], NOTHING
    return (
        chosen.value, chosen.text, chosen.unit, chosen.decimals, moment(chosen.observed_at_us),
        *source_columns(chosen.sources), chosen.reason,
    )  # fmt: skip


def proposals_of(conn: psycopg.Connection, entries: Collection[str]) -> dict[str, Proposal]:
    """What is proposed of these entries now."""
    if not entries:
        return {}
    rows = conn.execute(_OPEN_SQL, ([UUID(entry) for entry in entries],))
    return {str(row[0]): _proposal(row) for row in rows}


_OPEN_SQL = f"""
SELECT {_COLUMNS} FROM chart_proposal p WHERE entry = ANY(%s)
    AND NOT EXISTS (SELECT FROM chart_entry c WHERE c.entry = p.entry AND c.version = p.version + 1)
"""


def _proposal(row: tuple[Any, ...]) -> Proposal:
    _, _, value, text, unit, decimals, observed_at, batches, leaves, records, reason = row
    if observed_at is None:
        return Proposal(None)
    chosen = Chosen(
        value=value,
        text=text,
        unit=unit,
        decimals=decimals,
        observed_at_us=us_of(observed_at),
        sources=tuple(map(Source, map(bytes, batches), leaves, records)),
        reason=reason,
    )
    return Proposal(chosen)
