"""Whether somebody may do something with something at a moment: the one place where that is decided."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.table import AccessTable, shipped_table
from gateway.access.viewer import Target, Viewer
from gateway.access.words import Action, Answer, DataClass, Relation

# What stays on a workstation that nobody sits at.
_WHILE_LOCKED = frozenset({DataClass.VITALS, DataClass.ALARMS})
_OPEN = (Relation.NONE, Relation.UNPLACED)  # nothing ties the viewer to it


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and the relation that it was given by: a look says it."""

    answer: Answer
    relation: Relation

    @property
    def is_allowed(self) -> bool:
        """Whether it may be done as asked."""
        return self.answer is Answer.ALLOWED


def may(viewer: Viewer, action: Action, target: Target, at_us: int, table: AccessTable | None = None) -> Decision:
    """What the table says by the best of the relations that hold at this moment.

    `table` None: the one that is shipped.
    """
    known = table or shipped_table()
    if viewer.locked and (action is not Action.SEE or target.data_class not in _WHILE_LOCKED):
        return Decision(Answer.DENIED, Relation.NONE)
    best = Decision(Answer.DENIED, Relation.NONE)
    for relation in relations(viewer, target, at_us):
        answer = known.answer(viewer.role, action, target.data_class, relation)
        if answer is Answer.ALLOWED and target.restricted and relation in _OPEN:
            answer = Answer.ASK_REASON
        if answer is Answer.ALLOWED:
            return Decision(answer, relation)
        if answer is Answer.ASK_REASON:
            best = Decision(answer, relation)
    return best


def relations(viewer: Viewer, target: Target, at_us: int) -> list[Relation]:
    """Those that hold, the nearest first; the last one holds always."""
    found = []
    if not viewer.wards.isdisjoint(target.wards):
        found.append(Relation.OWN_WARD)
    if target.encounter:
        grants = viewer.grants.get(target.encounter, ())
        found += [grant.relation for grant in grants if grant.from_us <= at_us < grant.until_us]
    if not viewer.trainees.isdisjoint(target.authors):
        found.append(Relation.MY_TRAINEE)
    is_unplaced = not target.encounter and not target.wards
    found.append(Relation.UNPLACED if is_unplaced else Relation.NONE)
    return found
