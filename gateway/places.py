"""Whose each bed is, as decisions are made about it: what of a picture is never sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

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
class EqualBeds:
    """Beds about which everybody is answered alike who has no grant for one of `encounters`.

    `elsewhere`: the same number for all about which those are answered alike who belong to none of `wards`.
    """

    place: Place  # of one of them
    beds: frozenset[Bed]
    encounters: frozenset[str]
    wards: frozenset[str]  # of the beds and of the stays
    elsewhere: int


@dataclass(frozen=True)
class Places:
    """`stays`: by data class and encounter; `questions`: what is asked, by what it is about, and how often."""

    of_bed: Mapping[Bed, Place] = field(default_factory=dict)
    stays: Mapping[DataClass, Mapping[str, Target]] = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=dict)  # by encounter
    questions: Mapping[tuple[Target, ...], int] = field(default_factory=dict)

    @cached_property
    def equal_beds(self) -> list[EqualBeds]:
        """All beds, by what decisions are made of: worked out once, however many look on."""
        beds_of: defaultdict[tuple[str, _Facts, _Facts], list[Bed]] = defaultdict(list)
        for bed, place in self.of_bed.items():
            beds_of[place.ward, self._facts(place.stays), self._facts(place.named)].append(bed)
        numbers: dict[tuple[object, ...], int] = {}
        found = []
        for (ward, of_values, of_named), beds in beds_of.items():
            without_wards = bool(ward), _without_wards(of_values), _without_wards(of_named)
            places = [self.of_bed[bed] for bed in beds]
            found.append(EqualBeds(
                places[0], frozenset(beds),
                encounters=frozenset().union(*(place.stays | place.named for place in places)),
                wards=frozenset({ward}).union(*(fact.wards for fact in of_values | of_named)) - {""},
                elsewhere=numbers.setdefault(without_wards, len(numbers)),
            ))  # fmt: skip
        return found

    def _facts(self, stays: frozenset[str]) -> _Facts:
        return frozenset(
            _Fact(data_class, of_class[stay].wards, of_class[stay].restricted) if stay in of_class
            else _Fact(data_class)
            for data_class, of_class in self.stays.items() for stay in stays
        )  # fmt: skip


@dataclass(frozen=True)
class _Fact:
    """Of a stay, without which one it is. No wards and not restricted is one that nobody knows, too: decided alike."""

    data_class: DataClass
    wards: frozenset[str] = frozenset()
    restricted: bool = False


_Facts = frozenset[_Fact]


def _without_wards(facts: _Facts) -> frozenset[tuple[DataClass, bool, bool]]:
    return frozenset((fact.data_class, bool(fact.wards), fact.restricted) for fact in facts)
