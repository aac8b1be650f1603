"""What each ADT event does to a stay: one row an event, with where that is written.

HL7 = HL7 v2.5.1 chapter 3 (section 3.3.N is event AN); 0003 = its table 0003. EU, TAU = copies of chapter 3 at hl7.eu
and eng.tau.ac.il. PAM = IHE Patient Administration Management, ITI TF-2 3.31.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Effect(StrEnum):
    """What an event does, where its time and its identifiers are good."""

    ADMIT = "admit"  # opens the encounter, in the bed of PV1-3
    REGISTER = "register"  # opens the encounter; a bed only where PV1-3 has one
    MOVE = "move"  # to the bed of PV1-3
    DISCHARGE = "discharge"  # ends the bed and the encounter
    CHANGE_CLASS = "change_class"  # the same visit goes on, or another one takes over the bed
    UPDATE = "update"  # moves nobody, unless the source says that it does
    DEPART = "depart"  # away from the bed until ARRIVE, MOVE or DISCHARGE
    ARRIVE = "arrive"  # in the bed of PV1-3
    SWAP = "swap"  # each of the two groups to the bed of its own PV1-3
    LEAVE = "leave"  # leave of absence: the bed is kept and silent until RETURN or DISCHARGE
    RETURN = "return"  # from leave, to the bed of PV1-3, else to the one that was kept
    CANCEL = "cancel"  # strikes a fact
    MERGE = "merge"  # MRG-1 is retired in favour of PID-3
    LINK = "link"  # two patients are one, both numbers stay in use
    UNLINK = "unlink"
    RENUMBER = "renumber"  # the visit MRG-5 or the account MRG-3 goes on under another number
    PLAN = "plan"  # nobody is in a bed by it
    WORKLIST = "worklist"  # only a person can say what it means
    NONE = "none"


class Merged(StrEnum):
    """What a number of MRG belongs to."""

    PATIENT = "patient"  # MRG-1 into PID-3
    ACCOUNT = "account"  # MRG-3 into PID-18
    VISIT = "visit"  # MRG-5 into PV1-19


class AdtEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table."""

    code: str
    name: str
    effect: Effect
    strikes: tuple[str, ...] = ()  # of a cancel: the events that it strikes
    merges: tuple[Merged, ...] = ()  # whose numbers of MRG are retired
    source: str


_ROWS = (
    AdtEvent(code="A01", name="admit", effect=Effect.ADMIT, source="HL7 3.3.1; PV1-3 bed, PV1-19 visit"),
    AdtEvent(code="A02", name="transfer", effect=Effect.MOVE,
        source="HL7 3.3.2, EU A02: census bed, PV1-3 new, PV1-6 old"),
    AdtEvent(code="A03", name="discharge", effect=Effect.DISCHARGE, source="HL7 3.3.3: PV1-3 last bed, PV1-45"),
    AdtEvent(code="A04", name="register", effect=Effect.REGISTER,
        source="HL7 3.3.4: outpatient or emergency, often without a bed"),
    AdtEvent(code="A05", name="pre-admit", effect=Effect.PLAN, source="HL7 3.3.5: nobody in a bed yet"),
    AdtEvent(code="A06", name="outpatient to inpatient", effect=Effect.CHANGE_CLASS,
        source="HL7 3.3.6, TAU: PV1-3 new, MRG-3 is no merge"),
    AdtEvent(code="A07", name="inpatient to outpatient", effect=Effect.CHANGE_CLASS,
        source="HL7 3.3.7, TAU: PV1-19 may change"),
    AdtEvent(code="A08", name="update", effect=Effect.UPDATE,
        source="HL7 3.3.8: of the current episode, no event of its own"),
    AdtEvent(code="A09", name="departs, tracking", effect=Effect.DEPART,
        source="HL7 3.3.9, EU A02: trips to theatre or X-ray"),
    AdtEvent(code="A10", name="arrives, tracking", effect=Effect.ARRIVE,
        source="HL7 3.3.10: PV1-3 the bed, PV1-11 a temporary place"),
    AdtEvent(code="A11", name="cancel admit", effect=Effect.CANCEL, strikes=("A01", "A04"), source="HL7 3.3.11, 0003"),
    AdtEvent(code="A12", name="cancel transfer", effect=Effect.CANCEL, strikes=("A02",),
        source="HL7 3.3.12, EU A12: PV1-3 the bed before"),
    AdtEvent(code="A13", name="cancel discharge", effect=Effect.CANCEL, strikes=("A03",),
        source="HL7 3.3.13, TAU: PV1-3 the bed after"),
    AdtEvent(code="A14", name="pending admit", effect=Effect.PLAN, source="HL7 3.3.14"),
    AdtEvent(code="A15", name="pending transfer", effect=Effect.PLAN, source="HL7 3.3.15"),
    AdtEvent(code="A16", name="pending discharge", effect=Effect.PLAN, source="HL7 3.3.16"),
    AdtEvent(code="A17", name="swap", effect=Effect.SWAP,
        source="HL7 3.3.17, EU A17: two groups, PV1-3 the new bed of each"),
    AdtEvent(code="A18", name="merge patients", effect=Effect.MERGE, merges=(Merged.PATIENT,),
        source="HL7 3.3.18: older form of A40"),
    AdtEvent(code="A21", name="leave of absence", effect=Effect.LEAVE, source="HL7 3.3.21: the bed is kept"),
    AdtEvent(code="A22", name="return from leave", effect=Effect.RETURN, source="HL7 3.3.22"),
    AdtEvent(code="A23", name="delete visit", effect=Effect.WORKLIST, source="HL7 3.3.23: says not from when on"),
    AdtEvent(code="A24", name="link patients", effect=Effect.LINK, source="HL7 3.3.24"),
    AdtEvent(code="A28", name="add person", effect=Effect.NONE, source="HL7 3.3.28, TAU: pseudo PV1, class N"),
    AdtEvent(code="A31", name="update person", effect=Effect.NONE, source="HL7 3.3.31, TAU: pseudo PV1, class N"),
    AdtEvent(code="A32", name="cancel arrival", effect=Effect.CANCEL, strikes=("A10",), source="HL7 3.3.32, 0003"),
    AdtEvent(code="A33", name="cancel departure", effect=Effect.CANCEL, strikes=("A09",), source="HL7 3.3.33, 0003"),
    AdtEvent(code="A34", name="merge patients, number only", effect=Effect.MERGE, merges=(Merged.PATIENT,),
        source="HL7 3.3.34: older form of A40"),
    AdtEvent(code="A35", name="merge accounts", effect=Effect.RENUMBER, merges=(Merged.ACCOUNT,),
        source="HL7 3.3.35: MRG-3 into PID-18"),
    AdtEvent(code="A36", name="merge patients and accounts", effect=Effect.MERGE,
        merges=(Merged.PATIENT, Merged.ACCOUNT), source="HL7 3.3.36: MRG-1 and MRG-3"),
    AdtEvent(code="A37", name="unlink patients", effect=Effect.UNLINK, source="HL7 3.3.37: undoes A24"),
    AdtEvent(code="A38", name="cancel pre-admit", effect=Effect.CANCEL, strikes=("A05",), source="HL7 3.3.38, 0003"),
    AdtEvent(code="A40", name="merge patients", effect=Effect.MERGE, merges=(Merged.PATIENT,),
        source="HL7 3.3.40, EU A39: MRG-1 into PID-3 of the same CX-5"),
    AdtEvent(code="A42", name="merge visits", effect=Effect.RENUMBER, merges=(Merged.VISIT,),
        source="HL7 3.3.42: MRG-5 into PV1-19"),
    AdtEvent(code="A44", name="move account", effect=Effect.WORKLIST, source="HL7 3.3.44, TAU: names no visit"),
    AdtEvent(code="A45", name="move visit", effect=Effect.WORKLIST, source="HL7 3.3.45, TAU: between accounts"),
    AdtEvent(code="A47", name="change patient number", effect=Effect.MERGE, merges=(Merged.PATIENT,),
        source="HL7 3.3.47: MRG-1 is now PID-3"),
    AdtEvent(code="A50", name="change visit number", effect=Effect.RENUMBER, merges=(Merged.VISIT,),
        source="HL7 3.3.50: MRG-5 is now PV1-19"),
    AdtEvent(code="A52", name="cancel leave", effect=Effect.CANCEL, strikes=("A21",), source="HL7 3.3.52, 0003"),
    AdtEvent(code="A53", name="cancel return from leave", effect=Effect.CANCEL, strikes=("A22",),
        source="HL7 3.3.53, 0003"),
)  # fmt: skip

EVENTS = {row.code: row for row in _ROWS}

# Of what stands at one instant, these come first: an encounter leaves before it, or the next one, begins.
ENDS = frozenset({Effect.DISCHARGE, Effect.DEPART, Effect.LEAVE})
# These say something of one visit, and nothing where the visit is not named.
NEEDS_VISIT = frozenset(
    {
        Effect.ADMIT, Effect.MOVE, Effect.DISCHARGE, Effect.CHANGE_CLASS, Effect.DEPART, Effect.ARRIVE,
        Effect.SWAP, Effect.LEAVE, Effect.RETURN, Effect.CANCEL,
    }
)  # fmt: skip
