"""Who is in each bed, as a tile shows it: in part, and with every doubt that there is."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Any
from uuid import UUID

from clinical.attribution import State
from clinical.person_names import masked_name, masked_number
from emr_store import occupants
from emr_store.occupants import News, Occupant, Person
from gateway.pages.moments import milliseconds

ANEW_S = 10.0  # asked again so often though nothing is new: plans come about by themselves
Shown = dict[str, Any]


class Presence(StrEnum):
    """What a tile says of a bed's patient; the worst doubt last, which wins where devices differ."""

    NOBODY = "nobody"
    LEFT = "left"  # a patient who was here; the values are nobody's
    ABSENT = "absent"
    HERE = "here"
    UNDECIDED = "undecided"
    TWO = "two"  # in one bed
    CONFLICT = "conflict"  # bed and monitor name different patients


_RANK = {presence: rank for rank, presence in enumerate(Presence)}


class Patients:
    """What was read last; its methods raise StoreError."""

    def __init__(self) -> None:
        self.last_adt_ms: int | None = None  # of admission offices alone
        self.are_known = False  # whether anybody ever said who is where: by ADT, a census or an act
        self._of_device: dict[UUID, Shown] = {}
        self._rows: dict[UUID, Occupant] = {}
        self._named: dict[UUID, frozenset[str]] = {}
        self._news: News | None = None
        self._read_s = self._due_s = float("-inf")

    def read(self, conn: Any) -> set[UUID]:
        """The devices whose patient is another than before, or is shown in another way."""
        news = occupants.news(conn)
        if news.last_adt_at is not None:
            self.last_adt_ms = max(milliseconds(news.last_adt_at), self.last_adt_ms or 0)
        self.are_known = news.facts_taken_at is not None
        now_s = time.time()
        if news == self._news and now_s < self._due_s and time.monotonic() - self._read_s < ANEW_S:
            return set()
        self._news, self._read_s = news, time.monotonic()
        found = occupants.occupants(conn)
        ends_s = [o.until.timestamp() for o in found if o.until is not None]
        self._due_s = min((end for end in ends_s if end > now_s), default=float("inf"))
        facts = _facts_of_shared_beds(found)
        persons = occupants.persons_of(conn, facts) if facts else {}
        rows_before, self._rows = self._rows, {o.device: o for o in found}
        before, self._of_device = self._of_device, {}
        for o in found:  # of many most are as they were: they are not made anew
            is_same = rows_before.get(o.device) == o and not _shares_bed(o)
            self._of_device[o.device] = before[o.device] if is_same else _shown(o, persons)
        self._named = {o.device: _named(o, persons) for o in found}
        return {
            device for device in before.keys() | self._of_device.keys()
            if before.get(device) != self._of_device.get(device)
        }  # fmt: skip

    def stays_of_bed(self, devices: Iterable[UUID]) -> tuple[frozenset[str], frozenset[str]]:
        """The stays whose the values of these devices are, and those whose patients `of_bed` names or may name."""
        rows = [self._rows[device] for device in devices if device in self._rows]
        stays = frozenset(o.encounter for o in rows if o.encounter is not None and not o.proposed)
        return stays, stays.union(*(self._named[o.device] for o in rows))

    def of_bed(self, devices: Iterable[UUID]) -> Shown | None:
        """Of the devices that stand there; None: nothing is known of any."""
        found = [self._of_device[device] for device in devices if device in self._of_device]
        if not found:
            return None
        worst = max(found, key=lambda shown: _RANK[shown["presence"]])
        here = {(shown["name"], shown["number"]) for shown in found if shown["presence"] is Presence.HERE}
        if worst["presence"] is Presence.HERE and len(here) > 1:
            return {**worst, "presence": Presence.CONFLICT, "name": "", "number": "", "admitted": None}
        return worst


def _shares_bed(o: Occupant) -> bool:
    """Two in one bed: nobody's by what two facts say."""
    return o.state == State.NOBODY and o.encounter is None and len(o.facts) > 1


def _facts_of_shared_beds(found: Iterable[Occupant]) -> Collection[bytes]:
    return [bytes(fact) for o in found if _shares_bed(o) for fact in o.facts]


def _presence(o: Occupant) -> Presence:
    if o.state == State.CONFLICT:
        return Presence.CONFLICT
    if o.state == State.ATTRIBUTED:
        return Presence.HERE
    if o.state == State.UNDECIDED:
        return Presence.UNDECIDED
    if _shares_bed(o):
        return Presence.TWO
    if o.absence is not None and o.open:
        return Presence.ABSENT
    return Presence.LEFT if o.proposed else Presence.NOBODY


def _shown(o: Occupant, persons: dict[bytes, Person]) -> Shown:
    presence = _presence(o)
    named = presence in (Presence.HERE, Presence.ABSENT)  # else a name would be a guess
    both = [persons[fact] for fact in map(bytes, o.facts) if fact in persons] if presence is Presence.TWO else []
    return {
        "device": o.device, "presence": presence, "basis": o.basis, "since": milliseconds(o.since),
        "absence": o.absence if presence is Presence.ABSENT else None,
        "admitted": milliseconds(o.admitted_at) if named and o.admitted_at is not None else None,
        **(_part(o) if named else {"name": "", "number": ""}), "both": [_part(person) for person in both],
    }  # fmt: skip


def _named(o: Occupant, persons: dict[bytes, Person]) -> frozenset[str]:
    of_facts = [persons[fact].encounter for fact in map(bytes, o.facts) if fact in persons]
    return frozenset([*of_facts, *([o.encounter] if o.encounter is not None else [])])


def _part(of: Occupant | Person) -> dict[str, str]:
    return {
        "name": masked_name(family=of.family, given=of.given, name=of.name),
        "number": masked_number(of.patient or ""),
    }
