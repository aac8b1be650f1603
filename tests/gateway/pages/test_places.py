"""What somebody sees of a hospital's beds is what each single decision says, though not each is asked for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.access.beds import Bed
from gateway.access.viewer import Grant, Target, Viewer
from gateway.access.words import Action, DataClass, Relation, Role
from gateway.asking import Asking
from gateway.looks import Looks
from gateway.pages.places import visible_of
from gateway.places import Place, Places
from tests.gateway.looking import AT_US

WARDS = ("h^a", "h^b", "h^c", "")
CLASSES = (DataClass.VITALS, DataClass.ALARMS, DataClass.IDENTITY)
ROLES = (Role.NURSE, Role.PHYSICIAN, Role.STATION_DISPLAY, Role.BIOMEDICAL_ENGINEER, Role.AUDITOR)


def hospital(seed: int, beds: int = 60) -> Places:
    """Beds of some wards: empty ones, those with a stay of their ward or of another one, two in one bed."""
    chance = random.Random(seed)
    stays = {
        f"visit:{number}": Target(
            DataClass.VITALS, f"visit:{number}",
            frozenset(chance.sample([ward for ward in WARDS if ward], chance.randint(0, 2))),
            restricted=chance.random() < 0.2,
        )
        for number in range(beds)
    }  # fmt: skip
    there = [*stays, "visit:of nobody's knowledge"]
    of_bed = {}
    for number in range(beds):
        named = frozenset(chance.sample(there, chance.choice([0, 1, 1, 1, 2])))
        of_values = frozenset(stay for stay in named if chance.random() < 0.8)
        of_bed[Bed(f"bed {number}", str(number), True)] = Place(chance.choice(WARDS), of_values, named)
    of_class = {each: {stay: replace(t, data_class=each) for stay, t in stays.items()} for each in CLASSES}
    return Places(of_bed, of_class)


def viewer(seed: int, role: Role) -> Viewer:
    chance = random.Random(seed)
    granted = {
        f"visit:{chance.randrange(60)}": (Grant(chance.choice(list(Relation)[1:4]), AT_US - 1, AT_US + delta),)
        for delta in (-1, 0, 1, 1, 1)
    }
    return Viewer(
        "N1", "Li", role, wards=frozenset(chance.sample(WARDS[:3], chance.randint(0, 2))), grants=granted,
        locked=chance.random() < 0.2,
    )  # fmt: skip


def is_open(asking: Asking, places: Places, data_class: DataClass, stays: Sequence[str], ward: str) -> bool:
    """Asked of each stay by itself; of a bed without one by its ward."""
    of_ward = frozenset({ward} if ward else ())
    found = [places.stays[data_class].get(stay) or Target(data_class, stay) for stay in stays]
    if data_class is DataClass.IDENTITY:
        found = [replace(target, wards=target.wards | of_ward) for target in found]
    elif not stays:
        found = [Target(data_class, wards=of_ward)]
    return all(asking.may(Action.SEE, target).is_allowed for target in found)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("seed", range(8))
def test_what_is_seen_is_what_each_decision_says(role: Role, seed: int) -> None:
    places = hospital(seed)
    asking = Asking(viewer(seed, role), "127.0.0.1", AT_US, Looks(""))
    sees = visible_of(asking, places)
    of_vitals = {
        bed for bed, place in places.of_bed.items()
        if is_open(asking, places, DataClass.VITALS, list(place.stays), place.ward)
    }  # fmt: skip
    assert sees.beds == of_vitals
    assert sees.alarms == {
        bed for bed in of_vitals
        if is_open(asking, places, DataClass.ALARMS, list(places.of_bed[bed].stays), places.of_bed[bed].ward)
    }  # fmt: skip
    masked_suffices = role is Role.STATION_DISPLAY and not asking.viewer.locked
    assert sees.named == {
        bed for bed in of_vitals
        if masked_suffices
        or is_open(asking, places, DataClass.IDENTITY, list(places.of_bed[bed].named), places.of_bed[bed].ward)
    }  # fmt: skip


def test_beds_of_one_ward_are_asked_for_once() -> None:
    of_bed = {Bed(f"bed {number}", str(number), True): Place(f"h^w{number % 4}") for number in range(40)}
    assert sorted(len(equal.beds) for equal in Places(of_bed).equal_beds) == [10] * 4
