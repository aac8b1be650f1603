"""Whose each bed is, as decisions are made about it: read once for all, and what each of them sees of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from clinical.wards import ward_of_bed
from emr_store import patient_acts
from emr_store.bed_names import bed_names
from emr_store.patients import patients_of
from gateway.access.beds import Bed
from gateway.access.targets import stay_targets
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass, Role
from gateway.asking import Asking
from gateway.pages.worklist import sees_any, targets_of
from gateway.picture import Visible
from gateway.places import Place, Places

_CLASSES = (DataClass.VITALS, DataClass.ALARMS, DataClass.IDENTITY)


StaysOf = Callable[[Bed], tuple[frozenset[str], frozenset[str]]]


def read_places(conn: Any, beds: Iterable[Bed], stays_of: StaysOf, at_us: int) -> Places:
    """`stays_of`: whose the numbers of a bed are, and who is named there. Raises StoreError."""
    wards = {label: ward_of_bed(key) for key, label in bed_names(conn).items()}
    of_bed = {bed: Place(wards.get(bed.label, "") if bed.assigned else "", *stays_of(bed)) for bed in beds}
    encounters = {stay for place in of_bed.values() for stay in place.named}
    found = stay_targets(conn, DataClass.VITALS, encounters, at_us) if encounters else {}
    return Places(
        of_bed,
        {each: {stay: replace(target, data_class=each) for stay, target in found.items()} for each in _CLASSES},
        patients_of(conn, encounters) if encounters else {},
        _questions(conn, at_us),
    )


def _questions(conn: Any, at_us: int) -> Counter[tuple[Target, ...]]:
    asked = targets_of(conn, patient_acts.questions(conn), at_us)
    return Counter(tuple(sorted(targets, key=lambda target: target.encounter)) for targets in asked.values())


def visible_of(asking: Asking, places: Places) -> Visible:
    """What somebody sees of these, at the moment that he asks."""
    known: dict[tuple[DataClass, frozenset[str], bool, str, bool], bool] = {}

    def is_open(target: Target) -> bool:
        # Of stays to which nobody gave a relation those of one ward are all answered alike.
        granted = target.encounter if target.encounter in asking.viewer.grants else ""
        key = (target.data_class, target.wards, target.restricted, granted, bool(target.encounter))
        if key not in known:
            known[key] = asking.may(Action.SEE, target).is_allowed
        return known[key]

    def sees(data_class: DataClass, place: Place, stays: frozenset[str]) -> bool:
        if not stays:
            return is_open(Target(data_class, wards=frozenset({place.ward} if place.ward else ())))
        of = places.stays[data_class]
        return all(is_open(of.get(stay) or Target(data_class, stay)) for stay in stays)

    def names(place: Place) -> bool:
        # Who is on leave, or away for long, is still of the ward whose bed is kept.
        of_bed = frozenset({place.ward} if place.ward else ())
        known_stays = places.stays.get(DataClass.IDENTITY, {})
        targets = [known_stays.get(stay) or Target(DataClass.IDENTITY, stay) for stay in place.named]
        return all(is_open(replace(target, wards=target.wards | of_bed)) for target in targets)

    beds, alarms, named = set(), set(), set()
    masked_suffices = asking.viewer.role is Role.STATION_DISPLAY and not asking.viewer.locked
    for bed, place in places.of_bed.items():
        if not sees(DataClass.VITALS, place, place.stays):
            continue
        beds.add(bed)
        if sees(DataClass.ALARMS, place, place.stays):
            alarms.add(bed)
        if masked_suffices or names(place):
            named.add(bed)
    return Visible(frozenset(beds), frozenset(alarms), frozenset(named), _asked(asking, places, is_open))


def _asked(asking: Asking, places: Places, is_open: Callable[[Target], bool]) -> int | None:
    if not sees_any(asking):
        return None
    return sum(count for targets, count in places.questions.items() if any(is_open(target) for target in targets))
