"""Whether somebody may do something with something at a moment: the one place where that is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.access.table import AccessTable, shipped_table
from gateway.access.viewer import Licence, Target, Viewer
from gateway.access.words import Action, Answer, DataClass, Relation, Role

# What stays on a workstation that nobody sits at.
_WHILE_LOCKED = frozenset({DataClass.VITALS, DataClass.ALARMS})
# What nobody does to the chart of an archived stay.
_CHARTING = frozenset({Action.ENTER, Action.CONFIRM, Action.CORRECT, Action.WITHDRAW})
# They ask for a reason by themselves, and show nothing.
_WITH_A_REASON = frozenset({Action.BREAK_GLASS, Action.RESTRICT, Action.REOPEN})
_OPEN = (Relation.NONE, Relation.UNPLACED)  # nothing ties the viewer to it
# What says something of a patient: in the classes beside these a restricted record is like any other.
_OF_PATIENTS = frozenset({
    DataClass.VITALS, DataClass.IDENTITY, DataClass.WAVEFORMS, DataClass.ALARMS, DataClass.CHART, DataClass.WORKLIST,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and the relation that it was given by: a look says it."""

    answer: Answer
    relation: Relation

    @property
    def is_allowed(self) -> bool:
        """Whether it may be done as asked."""
        return self.answer is Answer.ALLOWED


_DENIED = Decision(Answer.DENIED, Relation.NONE)
# Made once: decisions are asked for some hundred thousand times a second.
_ALLOWED = {relation: Decision(Answer.ALLOWED, relation) for relation in Relation}
_ASKED = {relation: Decision(Answer.ASK_REASON, relation) for relation in Relation}


def may(viewer: Viewer, action: Action, target: Target, at_us: int, table: AccessTable | None = None) -> Decision:
    """What the table says by the best of the relations that hold at this moment.

    ASK_REASON is answered only where a reason leads somewhere: of a stay, to a role that may break the glass; and there
    alone the glass may be broken. `table` None: the one that is shipped.
    """
    known = table or shipped_table()
    if is_locked_away(viewer, action, target.data_class):
        return _DENIED
    if target.archived and is_closed_by_archiving(action):
        return _DENIED
    if action is Action.CONFIRM and _confirms_for_others(viewer, target):
        return _DENIED
    holding = relations(viewer, target, at_us)
    if action is Action.BREAK_GLASS and not _is_asked(viewer, target, holding, known):
        return _DENIED
    return _best(viewer, action, target.data_class, target, holding, known)


def is_locked_away(viewer: Viewer, action: Action, data_class: DataClass) -> bool:
    """Whether a locked workstation keeps this back, whoever is signed in there."""
    return viewer.locked and (action is not Action.SEE or data_class not in _WHILE_LOCKED)


def asks_of_restricted(action: Action, data_class: DataClass) -> bool:
    """Whether a restricted record makes a difference: not to what asks for a reason by itself."""
    return data_class in _OF_PATIENTS and action not in _WITH_A_REASON


def is_closed_by_archiving(action: Action) -> bool:
    """Whether nobody does this with an archived stay."""
    return action in _CHARTING


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


def seen_alike(viewer: Viewer, target: Target, at_us: int) -> tuple[object, ...]:
    """All that `may` asks of a target about SEE: those that are equal in it are answered alike to this viewer."""
    return target.data_class, target.restricted, bool(target.encounter), *relations(viewer, target, at_us)


def _best(
    viewer: Viewer,
    action: Action,
    data_class: DataClass,
    target: Target,
    holding: Sequence[Relation],
    known: AccessTable,
) -> Decision:
    best = _DENIED
    for relation in holding:
        answer = known.answer(viewer.role, action, data_class, relation)
        if (
            target.restricted
            and relation in _OPEN
            and answer is Answer.ALLOWED
            and asks_of_restricted(action, data_class)
        ):
            answer = Answer.ASK_REASON
        if answer is Answer.ALLOWED:
            return _ALLOWED[relation]
        if answer is Answer.ASK_REASON and target.encounter and viewer.role in known.glass_breakers:
            best = _ASKED[relation]
    return best


def _is_asked(viewer: Viewer, target: Target, holding: Sequence[Relation], known: AccessTable) -> bool:
    """For a reason to see anything of it: also again, before the end of the one that was given."""
    unbroken = [relation for relation in holding if relation is not Relation.BREAK_GLASS]
    return any(
        _best(viewer, Action.SEE, data_class, target, unbroken, known).answer is Answer.ASK_REASON
        for data_class in DataClass
    )


def _confirms_for_others(viewer: Viewer, target: Target) -> bool:
    """Whether somebody without a licence would put his name to what another one wrote."""
    is_unlicensed = viewer.role is Role.TRAINEE or viewer.licence is Licence.NONE
    return is_unlicensed and not target.authors <= {viewer.id}
