"""What a chart is made of: entries in versions, the values that they come from, and why a slot is empty.

An entry stands under one encounter for one item (a metric, or what a nurse writes by hand) and one slot. It is never
changed: each version says what the chart said from then on. A value of a device belongs to the encounter that it was
attributed to at its `observed_at`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec

from clinical.attribution import State
from schemas.block import ValidationResult


class Status(StrEnum):
    """Of a version (FHIR R4B observation-status, those that a chart uses)."""

    PRELIMINARY = "preliminary"  # nobody confirmed it
    FINAL = "final"
    AMENDED = "amended"  # a person changed it after it was final
    ENTERED_IN_ERROR = "entered-in-error"


_CONFIRMED = frozenset({Status.FINAL, Status.AMENDED})  # where it was a person's doing


class Origin(StrEnum):
    """Who said the value of a version."""

    DEVICE = "device"
    HAND = "hand"


class GapReason(StrEnum):
    """Why a slot has no entry, or why a value was not used."""

    NOT_YET = "not yet"  # the slot is not over, or not yet worked on
    NO_POLICY = "no policy"
    LEAD_OFF = "lead off"  # the device said that it has no reading
    NOT_MEASURED = "not measured"  # the device was heard, and did not say this metric
    UNPLUGGED = "unplugged"  # the device was not heard, its edge was
    BOX_AWAY = "box away"  # its edge was not heard
    NETWORK = "network"  # the edge has it and could not send it yet, or known lost on the way
    REJECTED = "rejected"  # a frame came that could not be read
    DOUBTFUL = "doubtful"
    AMBIGUOUS = "ambiguous"
    STALE = "stale"  # older than the policy lets a value stand
    TRAINING = "training"
    SETTING = "setting"  # what a person set, no measurement
    WITHDRAWN = "withdrawn"
    FOREIGN_EDGE = "foreign edge"  # heard through an edge that the device does not belong to
    NOBODY = "nobody's"
    CONFLICT = "in conflict"
    UNDECIDED = "undecided"
    CUT_BY_MOVE = "cut by a move"  # the part of the window that is this encounter's has no value
    ABSENT = "absent"  # the patient was away (A21)
    NOBODY_THERE = "no device"  # no device was at the patient's bed


class Source(NamedTuple):
    """The public identity of a value: it survives a restore and a move to another database."""

    batch_id: bytes
    leaf: int
    record: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A value as it was stored."""

    observed_at_us: int
    received_at_us: int
    device: str  # UUID
    metric: str  # reference id of IEEE 11073-10101: MDC_PULS_OXIM_SAT_O2
    channel: int
    value: float | None  # in the metric's canonical unit; None: a text, or no reading
    decimals: int  # as sent
    unit: str  # UCUM
    validation_result: ValidationResult
    ambiguous: bool
    correction: bool
    withdrawal: bool
    training: bool
    foreign_edge: bool
    source: Source


@dataclass(frozen=True, kw_only=True)
class Belonging:
    """During [from, until) the values of a device are an encounter's, or nobody's (encounter None)."""

    device: str
    from_us: int
    until_us: int | None
    state: State
    encounter: str | None


class EntryKey(NamedTuple):
    """What an entry stands for. `at_us` is the slot's end (of `each`: the value's observed_at)."""

    encounter: str
    item: str  # a metric's reference id, or a key of clinical/chart_items.py
    at_us: int


class VersionSummary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a cell of a flowsheet shows of a version. A struct: a page makes thousands at once."""

    number: int  # from 1 on
    status: Status
    origin: Origin
    value: float | None
    text: str  # of a value that is no number; else ""
    decimals: int
    act_id: bytes | None  # None: the charter wrote it
    by_time: bool  # it became final by `auto_final_after`, not by a person

    @property
    def confirmed(self) -> bool:
        """Whether a person stands behind it."""
        return self.status in _CONFIRMED and not self.by_time


class Version(VersionSummary, frozen=True, kw_only=True, gc=False):
    """What the chart says of an entry from `recorded_at_us` on."""

    unit: str  # UCUM
    observed_at_us: int  # of the value that was chosen
    sources: tuple[Source, ...]  # none where a person wrote it
    reason: str  # by which rule it was chosen, or why it was changed
    recorded_at_us: int


class EntrySummary(VersionSummary, frozen=True, kw_only=True, gc=False):
    """An entry as its newest version has it, in one struct; the others are `number` - 1."""

    entry: str
    item: str  # of its key, as `at_us`
    at_us: int


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`entry` is its public identity (a UUID); `versions` from the first to the newest."""

    entry: str
    key: EntryKey
    versions: tuple[Version, ...]

    @property
    def now(self) -> Version:
        """The newest version."""
        return self.versions[-1]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Why a slot is empty. `evidence`: what shows it, by kind and reference, for a page to put into words."""

    reason: GapReason
    from_us: int
    until_us: int
    device: str | None
    evidence: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a policy chose for a slot, out of the values of one device and channel."""

    value: float | None
    text: str
    unit: str
    decimals: int
    observed_at_us: int
    sources: tuple[Source, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Window:
    """What is known of one slot of one encounter and metric: [from, until) and what was measured in it."""

    key: EntryKey
    from_us: int
    until_us: int
    belongings: Sequence[Belonging]
    measured: Sequence[Measured]
