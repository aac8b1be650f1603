"""Viewers and decisions of tests about looks, and what the store has of them."""

from __future__ import annotations

from typing import Any

from emr_store.connect import open_store
from gateway.access.decision import Decision
from gateway.access.viewer import Viewer
from gateway.access.words import Action, Answer, Relation, Role
from gateway.looks import Looks, Seen

AT_US = 1_795_000_000_000_000
NURSE = Viewer(id="N1", name="Li", role=Role.NURSE, wards=frozenset({"hosp^icu"}), session="s1")
OWN = Decision(Answer.ALLOWED, Relation.OWN_WARD)


def see(
    looks: Looks, *encounters: str, at_s: float = 0.0, page: str = "patient", detail: str = "", viewer: Viewer = NURSE,
    action: Action = Action.SEE, decision: Decision = OWN, restricted: bool = False, stays: int = 0,
) -> None:  # fmt: skip
    """Somebody looks, so many seconds after AT_US."""
    seen = Seen(page, encounters, tuple(f"P{each}" for each in encounters), stays, detail, restricted)
    looks.note(viewer, "10.0.0.1", action, decision, seen, AT_US + round(at_s * 1_000_000))


def kept(database: str, sql: str = "SELECT encounters[1] FROM look ORDER BY from_at") -> list[Any]:
    """The first column."""
    with open_store(database) as conn:
        return [row[0] for row in conn.execute(sql.encode())]
