"""Who stands behind versions of entries: the name that each act was done in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import psycopg

from emr_store.acts import moment_of
from evidence.act import parse_act

PENDING = "pending"  # in an act's details


@dataclass(frozen=True)
class Acted:
    """In whose name, when, and which program's user said so."""

    name: str
    at: datetime
    by: str
    pending: bool = False  # by somebody without a licence: it waits for a licensed person


def persons(conn: psycopg.Connection, act_ids: Collection[bytes]) -> dict[bytes, Acted]:
    """By the act's id; what is no act of a chart has no name."""
    if not act_ids:
        return {}
    rows = conn.cursor(binary=True).execute("SELECT act_id, body FROM act WHERE act_id = ANY(%s)", (list(act_ids),))
    found = {}
    for act_id, body in rows:
        act = parse_act(bytes(body))
        found[bytes(act_id)] = Acted(
            str(act.details.get("by_name", "")), moment_of(act), act.by, bool(act.details.get(PENDING))
        )
    return found
