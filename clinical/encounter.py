"""One encounter, fact by fact in their order: which bed it is in, and since when."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from clinical.adt_events import Effect
from clinical.beds import Bed, BedState
from clinical.facts import AdtFact
from clinical.worklist import Item, ItemKind
from schemas.adt import DELETED


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """The encounter's patient was in the bed during [from, until); until None: still is."""

    encounter: str
    bed: str
    from_us: int
    until_us: int | None
    from_fact: bytes
    until_fact: bytes | None
    until_planned: bool = False  # a plan alone ended it: nobody said that the patient left


class AbsenceKind(StrEnum):
    """Why a patient is not in the bed that is kept."""

    AWAY = "away"  # A09: theatre, X-ray (外出)
    LEAVE = "leave"  # A21: leave of absence (请假)


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """The encounter is open, its bed silent."""

    kind: AbsenceKind
    bed: str  # the one that is kept; "": none is known
    from_us: int
    until_us: int | None
    from_fact: bytes
    until_fact: bytes | None


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """The encounter was open during [from, until), by what happened: neither PV1-44 nor PV1-45 opens or ends it."""

    from_us: int
    until_us: int | None
    from_fact: bytes
    until_fact: bytes | None


class ClassPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """The encounter was of this class (HL7 table 0004: I inpatient, O outpatient, E emergency) during [from, until)."""

    patient_class: str
    from_us: int
    until_us: int | None
    from_fact: bytes


class Encounter(msgspec.Struct, frozen=True, kw_only=True):
    """What the facts of one encounter come to, apart from its stays."""

    key: str
    patients: tuple[str, ...]  # as its facts name them; more than one where a merge is missing or a number is wrong
    periods: tuple[Period, ...]
    absences: tuple[Absence, ...]
    admitted_at_us: int | None  # PV1-44, for the record: the admission office's time
    discharged_at_us: int | None  # PV1-45
    classes: tuple[ClassPeriod, ...] = ()  # PV1-2, while it was open; where none was stated there is none


REALISED_BY = {
    "A05": (Effect.ADMIT, Effect.REGISTER),
    "A14": (Effect.ADMIT, Effect.REGISTER),
    "A15": (Effect.MOVE, Effect.SWAP, Effect.DISCHARGE),
    "A16": (Effect.DISCHARGE,),
}


_SETS_CLASS = (Effect.ADMIT, Effect.REGISTER, Effect.CHANGE_CLASS)
_LEAVING = (Effect.MOVE, Effect.SWAP, Effect.DISCHARGE, Effect.DEPART, Effect.LEAVE)


class EncounterReplay:
    """Takes the facts of one encounter in their order; never looks back."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.bed = ""  # that it is in, or that is kept for it
        self.stays: list[Stay] = []
        self.items: list[Item] = []
        self._patients: dict[str, None] = {}
        self._absences: list[Absence] = []
        self._periods: list[Period] = []
        self._classes: list[ClassPeriod] = []  # the last one has no end yet where `_has_class`
        self._has_class = False
        self._admitted_at_us: int | None = None
        self._discharged_at_us: int | None = None
        self._opened_by: tuple[int, bytes] | None = None
        self._in_bed_since: tuple[int, bytes] | None = None
        self._absent_since: tuple[int, bytes, AbsenceKind] | None = None
        self._admitted = False
        self._ended = False  # by a discharge, or because its admission was struck
        self._plan: AdtFact | None = None  # of an end, as long as no fact says otherwise
        self._pending: dict[str, AdtFact] = {}  # A05, A14, A15, A16 that nothing has realised
        self._questions: list[Item] = []  # about the bed that it is in now

    @property
    def is_open(self) -> bool:
        """Admitted or otherwise heard of, and not discharged."""
        return self._opened_by is not None

    @property
    def has_ended(self) -> bool:
        """Discharged, or its admission was struck: a transfer does not open it."""
        return self._ended and not self.is_open

    @property
    def patient(self) -> str:
        """As its latest fact names it; "": none did."""
        return next(reversed(self._patients), "")

    @property
    def _on_leave(self) -> bool:
        return self._absent_since is not None and self._absent_since[2] is AbsenceKind.LEAVE

    def note(self, fact: AdtFact) -> None:
        """What each live fact says of the encounter, whatever else it does."""
        for patient in fact.patients[:1]:
            self._patients[patient] = None
        if fact.admitted_at_us is not None:
            self._admitted_at_us = fact.admitted_at_us
        if fact.effect is Effect.DISCHARGE and fact.discharged_at_us is not None:
            self._discharged_at_us = fact.discharged_at_us

    def note_class(self, fact: AdtFact, at_us: int) -> None:
        """After its effect: PV1-2 counts where an event sets it, and of any other where none was stated before."""
        stated = fact.patient_class
        if not self.is_open or stated in ("", DELETED) or fact.plan or fact.effect in (Effect.CANCEL, Effect.PLAN):
            return
        if self._has_class:
            if fact.effect not in _SETS_CLASS or self._classes[-1].patient_class == stated:
                return
            self._end_class(at_us)
        self._classes.append(ClassPeriod(patient_class=stated, from_us=at_us, until_us=None, from_fact=fact.id))
        self._has_class = True

    def skip_struck(self, fact: AdtFact) -> None:
        """The place of a fact that a cancel strikes: without its admission, a visit is not opened by a transfer."""
        if fact.effect in (Effect.ADMIT, Effect.REGISTER) and not self.is_open:
            self._ended = True

    def apply(self, fact: AdtFact, at_us: int) -> None:
        """The effect of one live fact, other than a cancel; swaps and changes of class only where they are plans."""
        if fact.effect is Effect.PLAN:
            self._pending[fact.event] = fact
            return
        if fact.plan:
            self._apply_plan(fact, at_us)
            return
        self._resolve_plan(fact)
        match fact.effect:
            case Effect.ADMIT:
                self._admit(fact, at_us)
            case Effect.REGISTER:
                self.open(fact, at_us)
                if fact.bed.state is not BedState.NONE:
                    self.put_into(fact.bed, fact, at_us)
            case Effect.MOVE:
                self.move(fact, at_us)
            case Effect.DISCHARGE:
                self._discharge(fact, at_us)
            case Effect.UPDATE:
                self._update(fact, at_us)
            case Effect.DEPART:
                self._depart(fact, at_us, AbsenceKind.AWAY)
            case Effect.LEAVE:
                self._depart(fact, at_us, AbsenceKind.LEAVE)
            case Effect.ARRIVE:
                if not fact.temporary:  # PV1-11: at a place on the way, not yet in the bed
                    self.move(fact, at_us)
            case Effect.RETURN:
                self._return(fact, at_us)
            case _:
                pass

    def open(self, fact: AdtFact, at_us: int) -> None:
        """The encounter is there from now on, if it was not."""
        if self._opened_by is None:
            self._opened_by = (at_us, fact.id)
            self._ended = False

    def move(self, fact: AdtFact, at_us: int) -> None:
        """To the bed of PV1-3; of a visit that had ended, a question."""
        if self.has_ended:
            self._ask(ItemKind.MOVE_AFTER_END, fact, at_us, detail=fact.event)
            return
        self.open(fact, at_us)
        self.put_into(fact.bed, fact, at_us)

    def apply_swap(self, fact: AdtFact, at_us: int) -> None:
        """Of the group's own encounter; the caller knows that the other group is there."""
        self._resolve_plan(fact)
        self.move(fact, at_us)

    def change_class(self, fact: AdtFact, bed: Bed, at_us: int) -> None:
        """In this bed from now on, under this encounter."""
        self._resolve_plan(fact)
        self.open(fact, at_us)
        self.put_into(bed, fact, at_us)

    def put_into(self, bed: Bed, fact: AdtFact, at_us: int) -> None:
        """No bed, or an unknown one: the old bed ends all the same. On leave, the bed is kept and stays silent."""
        self._settle(at_us)
        if self._on_leave and fact.effect is not Effect.RETURN:
            self.bed = bed.key
        elif self._in_bed_since is None or bed.key != self.bed:
            self._leave_bed(at_us, fact.id)
            self._end_absence(at_us, fact.id)
            self.bed = bed.key
            if bed.state is BedState.KNOWN:
                self._in_bed_since = (at_us, fact.id)
        if bed.state is not BedState.KNOWN:
            kind = ItemKind.UNKNOWN_BED if bed.state is BedState.UNKNOWN else ItemKind.NO_BED
            self._questions.append(self._item(kind, fact, at_us, detail=bed.as_sent))

    def close(self, fact_id: bytes, at_us: int, *, planned: bool = False) -> None:
        """The encounter and its bed end."""
        self._settle(at_us)
        self._leave_bed(at_us, fact_id, planned=planned)
        self._end_absence(at_us, fact_id)
        self._close_period(at_us, fact_id)
        self._end_class(at_us)
        self._ended = True
        self._admitted = False
        self.bed = ""

    def finish(self) -> Encounter:
        """After the last fact."""
        self._resolve_plan(None)
        for pending in self._pending.values():
            if pending.planned_at_us is not None:
                self._ask(ItemKind.PLAN_PASSED, pending, pending.planned_at_us, detail=pending.event)
        self.items += self._questions
        self._leave_bed(None, None)
        self._end_absence(None, None)
        self._close_period(None, None)
        return Encounter(
            key=self.key,
            patients=tuple(self._patients),
            periods=tuple(self._periods),
            absences=tuple(self._absences),
            admitted_at_us=self._admitted_at_us,
            discharged_at_us=self._discharged_at_us,
            classes=tuple(self._classes),
        )

    def _admit(self, fact: AdtFact, at_us: int) -> None:
        other_bed = fact.bed.key != self.bed
        if self.is_open and self._admitted and not other_bed:
            return
        if self.is_open and self._admitted:
            self._ask(ItemKind.SECOND_ADMISSION, fact, at_us)
        self.open(fact, at_us)
        self._admitted = True
        self.put_into(fact.bed, fact, at_us)

    def _discharge(self, fact: AdtFact, at_us: int) -> None:
        if self._opened_by is None:
            if not self._ended:
                self._ask(ItemKind.DISCHARGE_WITHOUT_STAY, fact, at_us)
            self._ended = True
            return
        ended_at_us = fact.bed_ended_at_us
        if ended_at_us is not None:
            begun_by = self._in_bed_since or self._opened_by
            if ended_at_us > begun_by[0] and (self._absent_since is None or ended_at_us >= self._absent_since[0]):
                self.close(fact.id, ended_at_us)
                return
            self._ask(ItemKind.DISCHARGE_TIME_CONTRADICTED, fact, at_us)
        self.close(fact.id, at_us)

    def _update(self, fact: AdtFact, at_us: int) -> None:
        if not self.is_open or fact.bed.state is BedState.NONE or fact.bed.key == self.bed != "":
            return
        if fact.a08_moves and fact.bed.state is BedState.KNOWN:
            self.put_into(fact.bed, fact, at_us)
            return
        detail = fact.bed.as_sent
        self._questions.append(self._item(ItemKind.UPDATE_NAMES_OTHER_BED, fact, at_us, detail=detail))

    def _depart(self, fact: AdtFact, at_us: int, kind: AbsenceKind) -> None:
        if self.has_ended:
            self._ask(ItemKind.MOVE_AFTER_END, fact, at_us, detail=fact.event)
            return
        self.open(fact, at_us)
        self._leave_bed(at_us, fact.id)
        self._end_absence(at_us, fact.id)
        self._absent_since = (at_us, fact.id, kind)

    def _return(self, fact: AdtFact, at_us: int) -> None:
        """A22 without a bed: the one that was kept."""
        if fact.bed.state is BedState.NONE and self.bed and self._on_leave:
            self._resume_kept_bed(fact, at_us)
            return
        self.move(fact, at_us)

    def _resume_kept_bed(self, fact: AdtFact, at_us: int) -> None:
        self._settle(at_us)
        self._end_absence(at_us, fact.id)
        self._in_bed_since = (at_us, fact.id)

    def _apply_plan(self, fact: AdtFact, at_us: int) -> None:
        """A plan puts nobody into a bed; that of an end makes the old bed doubtful from then on."""
        if fact.effect in (Effect.MOVE, Effect.SWAP) and self.is_open and fact.bed.key == self.bed != "":
            return  # it came about before its time
        if fact.effect is Effect.DISCHARGE and not self.is_open:
            return
        if self._plan is not None:
            if (self._plan.recorded_at_us or 0) > (fact.recorded_at_us or 0):
                return  # what was planned last is the plan
            self._end_plan_item(self._plan.id, at_us)
        self._ask(ItemKind.PLAN_PASSED, fact, at_us, detail=fact.event)
        self._plan = fact

    def _resolve_plan(self, fact: AdtFact | None) -> None:
        """What was said later decides whether a planned end took place; nothing said, it did."""
        if fact is not None:
            for event, realised_by in REALISED_BY.items():
                if fact.effect in realised_by:
                    self._pending.pop(event, None)
        plan = self._plan
        if plan is None or plan.happened_at_us is None:
            return
        if fact is not None and fact.effect in (Effect.UPDATE, Effect.NONE, Effect.WORKLIST):
            return
        self._plan = None
        at_us = fact.happened_at_us if fact is not None else None
        self._end_plan_item(plan.id, at_us)
        if plan.effect not in _LEAVING or not self.is_open:
            return
        if fact is not None and fact.effect not in (Effect.ADMIT, Effect.REGISTER):
            return  # the patient was still there to be moved or discharged
        if plan.effect is Effect.DISCHARGE:
            self.close(plan.id, plan.happened_at_us, planned=True)
        else:
            self._leave_bed(plan.happened_at_us, plan.id, planned=True)

    def _end_plan_item(self, plan: bytes, at_us: int | None) -> None:
        for index, item in enumerate(self.items):
            if item.kind is ItemKind.PLAN_PASSED and plan in item.facts:
                self.items[index] = msgspec.structs.replace(item, until_us=at_us)

    def _leave_bed(self, at_us: int | None, fact_id: bytes | None, *, planned: bool = False) -> None:
        if self._in_bed_since is None:
            return
        from_us, from_fact = self._in_bed_since
        self._in_bed_since = None
        if at_us is None or at_us > from_us:
            self.stays.append(
                Stay(
                    encounter=self.key,
                    bed=self.bed,
                    from_us=from_us,
                    until_us=at_us,
                    from_fact=from_fact,
                    until_fact=fact_id,
                    until_planned=planned,
                )
            )

    def _end_absence(self, at_us: int | None, fact_id: bytes | None) -> None:
        if self._absent_since is None:
            return
        from_us, from_fact, kind = self._absent_since
        self._absent_since = None
        if at_us is None or at_us > from_us:
            self._absences.append(
                Absence(
                    kind=kind, bed=self.bed, from_us=from_us, until_us=at_us, from_fact=from_fact, until_fact=fact_id
                )
            )

    def _close_period(self, at_us: int | None, fact_id: bytes | None) -> None:
        if self._opened_by is None:
            return
        from_us, from_fact = self._opened_by
        self._opened_by = None
        if at_us is None or at_us > from_us:
            self._periods.append(Period(from_us=from_us, until_us=at_us, from_fact=from_fact, until_fact=fact_id))

    def _end_class(self, at_us: int) -> None:
        if not self._has_class:
            return
        self._has_class = False
        last = self._classes.pop()
        if at_us > last.from_us:
            self._classes.append(msgspec.structs.replace(last, until_us=at_us))

    def _settle(self, at_us: int) -> None:
        """The questions about the bed that ends now."""
        for question in self._questions:
            self.items.append(msgspec.structs.replace(question, until_us=at_us))
        self._questions.clear()

    def _ask(self, kind: ItemKind, fact: AdtFact, at_us: int, detail: str = "") -> None:
        self.items.append(self._item(kind, fact, at_us, detail))

    def _item(self, kind: ItemKind, fact: AdtFact, at_us: int, detail: str = "") -> Item:
        return Item(kind=kind, subject=self.key, since_us=at_us, announce_at_us=at_us, facts=(fact.id,), detail=detail)
