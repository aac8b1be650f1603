"""Whose each bed is, as decisions are made about it: what of a picture is never sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.access.beds import Bed
from gateway.access.viewer import Target
from gateway.access.words import DataClass


@dataclass(frozen=True)
class Place:
    """Whose a bed is, as decisions are made about it: the stays of whom the numbers are, and of who is named there."""

    ward: str  # "": none is known
    stays: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Places:
    """`stays`: by data class and encounter; `questions`: what is asked, by what it is about, and how often."""

    of_bed: Mapping[Bed, Place] = field(default_factory=dict)
    stays: Mapping[DataClass, Mapping[str, Target]] = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=dict)  # by encounter
    questions: Mapping[tuple[Target, ...], int] = field(default_factory=dict)
