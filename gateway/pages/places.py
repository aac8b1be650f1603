"""Whose each bed is, as decisions are made about it: read once for all, and what each of them sees of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from clinical.wards import ward_of_bed
from emr_store import patient_acts
from emr_store.bed_names import bed_names
from emr_store.patients import patients_of
from gateway.access.beds import Bed
from gateway.access.decision import seen_alike
from gateway.access.targets import stay_targets
from gateway.access.viewer import Target, Viewer
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
    known: dict[tuple[object, ...], bool] = {}

    def is_open(target: Target) -> bool:
        key = seen_alike(asking.viewer, target, asking.at_us)
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

    masked_suffices = asking.viewer.role is Role.STATION_DISPLAY and not asking.viewer.locked

    def decide(place: Place) -> _Sees:
        if not sees(DataClass.VITALS, place, place.stays):
            return _Sees()
        return _Sees(bed=True, alarms=sees(DataClass.ALARMS, place, place.stays), named=masked_suffices or names(place))

    beds, alarms, named = set[Bed](), set[Bed](), set[Bed]()
    for equal, decided in _decisions(asking.viewer, places, decide):
        if decided.bed:
            beds |= equal
        if decided.alarms:
            alarms |= equal
        if decided.named:
            named |= equal
    return Visible(frozenset(beds), frozenset(alarms), frozenset(named), _asked(asking, places, is_open))


@dataclass(frozen=True)
class _Sees:
    """What somebody sees of one place."""

    bed: bool = False
    alarms: bool = False
    named: bool = False


def _decisions(
    viewer: Viewer, places: Places, decide: Callable[[Place], _Sees]
) -> Iterator[tuple[frozenset[Bed], _Sees]]:
    """All beds with what is decided of each: of a hospital's other wards it is once, not once a bed."""
    granted = viewer.grants.keys()
    elsewhere: dict[int, _Sees] = {}
    for equal in places.equal_beds:
        if not granted.isdisjoint(equal.encounters):
            for bed in equal.beds:
                yield frozenset({bed}), decide(places.of_bed[bed])
        elif not viewer.wards.isdisjoint(equal.wards):
            yield equal.beds, decide(equal.place)
        else:
            if equal.elsewhere not in elsewhere:
                elsewhere[equal.elsewhere] = decide(equal.place)
            yield equal.beds, elsewhere[equal.elsewhere]


def _asked(asking: Asking, places: Places, is_open: Callable[[Target], bool]) -> int | None:
    if not sees_any(asking):
        return None
    return sum(count for targets, count in places.questions.items() if any(is_open(target) for target in targets))
