"""Who looks on, and at what: all that a decision is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.access.words import DataClass, Relation, Role


class Licence(StrEnum):
    """Whether what somebody charts stands by itself."""

    HERE = "here"
    RECOGNISED = "recognised"  # of another place, until a date
    NONE = "none"  # it waits for a licensed person


@dataclass(frozen=True, slots=True)
class Grant:
    """A relation to one stay that somebody gave, or took by breaking the glass."""

    relation: Relation
    from_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person who is signed in, a station display, or a client of the API."""

    id: str  # 工号; "display:<id>" or "client:<id>" of what is no person
    name: str
    role: Role
    licence: Licence = Licence.NONE
    wards: frozenset[str] = frozenset()  # that are his own now (clinical/wards.py)
    grants: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)  # by encounter
    trainees: frozenset[str] = frozenset()  # ids of those whom he supervises now
    locked: bool = False  # nobody sits there: names, charts and acts are away, beds, numbers and alarms stay
    session: str = ""  # by which looks name where somebody sat: no secret


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: data of one class, of a stay, of a bed without one, or of neither."""

    data_class: DataClass
    encounter: str = ""  # "": nobody's
    wards: frozenset[str] = frozenset()  # to which the stay belongs now, or where the bed stands; none: none is known
    restricted: bool = False  # the record of a patient whom a person restricted
    authors: frozenset[str] = frozenset()  # ids of those who wrote it, of an entry of a chart
    archived: bool = False  # the stay, so that nobody changes its chart
    # Whose the stay is, for what is noted of a look; None: nobody's that is known. No decision rests on it.
    patient: str | None = field(default=None, compare=False)
