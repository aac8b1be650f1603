"""Looks of programs that ask: an answer over the API is noted as one row, whatever number of stays it is about."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from emr_store import visible_stays
from emr_store.instants import moment
from gateway.access.decision import Decision
from gateway.access.table import shipped_table
from gateway.access.viewer import Target
from gateway.access.words import Action, Answer, DataClass, Relation
from gateway.asking import Asking
from gateway.looks import Seen

# The nearest first: a look that several relations opened is said by the farthest.
_BY_DISTANCE = (
    Relation.OWN_WARD, Relation.TEAM, Relation.CONSULTED, Relation.MY_TRAINEE, Relation.BREAK_GLASS, Relation.UNPLACED,
    Relation.NONE,
)  # fmt: skip


def note_stays(
    conn: Any, asking: Asking, page: str, data_class: DataClass, encounters: Collection[str], detail: str = ""
) -> None:  # fmt: skip
    """Before these stays' data are sent. `detail`: of a search what was asked, without a name. Raises StoreError."""
    listed = sorted(set(encounters))
    own_ward_after = timedelta(hours=shipped_table().own_ward_after_h)
    facts = visible_stays.stay_facts(conn, listed, moment(asking.at_us), own_ward_after) if listed else {}
    relations = [
        asking.may(Action.SEE, Target(data_class, each.encounter, each.wards, each.restricted)).relation
        for each in facts.values()
    ]
    farthest = max(relations, key=_BY_DISTANCE.index, default=Relation.NONE)
    seen = Seen(
        page=page, encounters=listed, patients=sorted({each.patient for each in facts.values() if each.patient}),
        stays=len(listed), detail=detail, restricted=any(each.restricted for each in facts.values()),
    )  # fmt: skip
    asking.note(Action.SEE, Decision(Answer.ALLOWED, farthest), seen)
