"""The set of stays that somebody may see, out of the same table as each single decision."""

from __future__ import annotations

from datetime import timedelta

from emr_store.instants import moment
from emr_store.visible_stays import Sight
from gateway.access.decision import asks_of_restricted, is_locked_away
from gateway.access.table import AccessTable, shipped_table
from gateway.access.viewer import Viewer
from gateway.access.words import Action, Answer, DataClass, Relation


def sight_of(
    viewer: Viewer, action: Action, data_class: DataClass, at_us: int, table: AccessTable | None = None
) -> Sight:
    """Of what this viewer may do this with, without being asked for a reason.

    Not of BREAK_GLASS, which is for the others: raises ValueError. What a supervisor sees by MY_TRAINEE alone is found
    by the entries, which say who wrote them, and is not among these.
    """
    if action is Action.BREAK_GLASS:
        raise ValueError("of which stays the glass may be broken is asked one by one")
    known = table or shipped_table()
    is_away = is_locked_away(viewer, action, data_class)

    def opens(relation: Relation) -> bool:
        return not is_away and known.answer(viewer.role, action, data_class, relation) is Answer.ALLOWED

    granted = {
        encounter
        for encounter, grants in viewer.grants.items()
        if any(grant.from_us <= at_us < grant.until_us and opens(grant.relation) for grant in grants)
    }
    return Sight(
        everything=opens(Relation.NONE),
        wards=viewer.wards if opens(Relation.OWN_WARD) else frozenset(),
        encounters=frozenset(granted),
        at=moment(at_us),
        own_ward_after=timedelta(hours=known.own_ward_after_h),
        restricted_too=not asks_of_restricted(action, data_class),
    )
