"""Who goes further than his work does is reminded at once, and an auditor has a review of it.

What is worth a reminder is decided by `reminders_of` alone, out of facts and named limits.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import NAMESPACE_OID, UUID, uuid5

from emr_store.instants import moment
from emr_store.looks import Look
from emr_store.reviews import Review, ReviewKind
from gateway.access.decision import Decision
from gateway.access.viewer import Viewer
from gateway.access.words import Action, Relation, Role

_SECOND_US = 1_000_000
DAY_US = 86_400 * _SECOND_US
# Those who care for patients: a stay that nothing ties them to is not their work.
CARING = frozenset({Role.NURSE, Role.PHYSICIAN, Role.TECHNICIAN, Role.TRAINEE})
# Ids of reviews are made of what they say: the same thing, said by two processes or twice, is one review.
_NAMESPACE = uuid5(NAMESPACE_OID, "vitalwire.review")


_BULK_STAYS = {
    Role.NURSE: 40, Role.PHYSICIAN: 60, Role.TECHNICIAN: 60, Role.TRAINEE: 30, Role.RECORD_OFFICE: 100,
}  # fmt: skip


@dataclass(frozen=True)
class ReminderLimits:
    """From where on somebody is reminded."""

    bulk_window_s: int = 600
    # Different stays within that window. A whole round of a large ward stays below.
    bulk_stays: Mapping[Role, int] = field(default_factory=lambda: dict(_BULK_STAYS))
    expiring_s: int = 900
    shown_s: int = 900  # a reminder is shown for so long


@dataclass(frozen=True)
class Reminder:
    """One; `until_us`: the end of the grant that it is about, else None."""

    kind: ReviewKind
    encounter: str | None = None
    stays: int = 0  # of bulk
    until_us: int | None = None


def reminders_of(
    viewer: Viewer, decision: Decision, look: Look, recent: Collection[str], at_us: int, limits: ReminderLimits
) -> list[Reminder]:
    """What this look is worth. `recent`: the stays that count for bulk, within the window, those of this look too."""
    found = []
    stay = look.encounters[0] if len(look.encounters) == 1 else None
    is_outside = decision.relation is Relation.BREAK_GLASS or (
        decision.relation is Relation.NONE and viewer.role in CARING and stay is not None
    )
    if is_outside:
        found.append(Reminder(ReviewKind.OUTSIDE_RELATIONS, stay))
    if look.restricted:
        found.append(Reminder(ReviewKind.RESTRICTED, stay))
    bulk_stays = limits.bulk_stays.get(viewer.role)
    if bulk_stays is not None and len(recent) > bulk_stays:
        found.append(Reminder(ReviewKind.BULK, stays=len(recent)))
    for encounter in look.encounters:
        until_us = _expires_us(viewer, encounter, at_us, limits)
        if until_us is not None:
            found.append(Reminder(ReviewKind.GRANT_EXPIRING, encounter, until_us=until_us))
    return found


def counts_for_bulk(action: Action, look: Look) -> bool:
    """An overview is of what one may see, and is one's work: each stay that is opened counts, and all that leaves."""
    return action is not Action.SEE or len(look.encounters) == 1


def _expires_us(viewer: Viewer, encounter: str, at_us: int, limits: ReminderLimits) -> int | None:
    """When the last grant for a stay ends, where that is soon; None: it is not, or there is none."""
    ends = [grant.until_us for grant in viewer.grants.get(encounter, ()) if grant.from_us <= at_us < grant.until_us]
    if not ends or max(ends) - at_us > limits.expiring_s * _SECOND_US:
        return None
    return max(ends)


@dataclass(frozen=True)
class ShownReminder:
    """One that a person is shown."""

    review: UUID
    reminder: Reminder
    at_us: int


class Reminders:
    """What people of this process are reminded of. Not for several threads at once, but for `of`."""

    def __init__(self, limits: ReminderLimits | None = None) -> None:
        self._limits = limits or ReminderLimits()
        self._opened: defaultdict[str, deque[tuple[int, str]]] = defaultdict(deque)  # by person: when, which stay
        self._shown: dict[str, dict[UUID, ShownReminder]] = {}

    def note(self, viewer: Viewer, action: Action, decision: Decision, look: Look, at_us: int) -> list[Review]:
        """Reviews of what this look is reminded of, and was not before; the person is shown them from now on."""
        recent = self._recent(viewer.id, action, look, at_us)
        known = {
            review: shown
            for review, shown in self._shown.get(viewer.id, {}).items()
            if at_us - shown.at_us < DAY_US
        }  # fmt: skip
        reviews = []
        for reminder in reminders_of(viewer, decision, look, recent, at_us, self._limits):
            review = _review_of(viewer, reminder, look, at_us)
            if review.review not in known:
                known[review.review] = ShownReminder(review.review, reminder, at_us)
                reviews.append(review)
        if known or viewer.id in self._shown:
            self._shown = self._shown | {viewer.id: known}  # anew: another thread may be reading
        return reviews

    def take_back(self, person: str, reviews: Sequence[Review]) -> None:
        """These could not be kept, and nothing was seen: the next look says them anew."""
        gone = {review.review for review in reviews}
        left = {each: shown for each, shown in self._shown.get(person, {}).items() if each not in gone}
        self._shown = self._shown | {person: left}

    def of(self, person: str, at_us: int) -> list[ShownReminder]:
        """Those that this person is shown now, the oldest first."""
        shown_us = self._limits.shown_s * _SECOND_US
        return [shown for shown in self._shown.get(person, {}).values() if at_us - shown.at_us < shown_us]

    def _recent(self, person: str, action: Action, look: Look, at_us: int) -> set[str]:
        opened = self._opened[person]
        while opened and at_us - opened[0][0] > self._limits.bulk_window_s * _SECOND_US:
            opened.popleft()
        if counts_for_bulk(action, look):
            opened.extend((at_us, encounter) for encounter in look.encounters)
        recent = {encounter for _, encounter in opened}
        if not opened:
            del self._opened[person]
        return recent


def _review_of(viewer: Viewer, reminder: Reminder, look: Look, at_us: int) -> Review:
    """Of one person, kind, stay and day there is one; of a grant one."""
    about = str(reminder.until_us) if reminder.until_us is not None else str(at_us // DAY_US)
    detail = f"stays={reminder.stays}" if reminder.stays else ""
    if reminder.until_us is not None:
        detail = f"until={moment(reminder.until_us).isoformat(timespec='seconds')}"
    return Review(
        review=uuid5(_NAMESPACE, "\n".join((viewer.id, reminder.kind, reminder.encounter or "", about))),
        kind=reminder.kind, person=viewer.id, role=viewer.role,
        patient=look.patients[0] if reminder.encounter and len(look.patients) == 1 else None,
        encounter=reminder.encounter, look=look.look, detail=detail, opened_at=moment(at_us),
    )  # fmt: skip
