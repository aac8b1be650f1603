"""Who is who: the keys of patients and encounters, and which of them are one.

An identifier counts with its authority and its type: 4711 of one hospital is not 4711 of another. Numbers are text.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from schemas.adt import DELETED, AdtGroup, Identifier

US_PER_MINUTE = 60_000_000


class PidTrust(StrEnum):
    """What the PID that a device sends is good for."""

    CONFIRMS = "confirms"  # with the bed, never alone
    TRUSTED = "trusted"  # alone too


class AdtSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the site says of one sender."""

    name: str
    authority: str = ""  # of identifiers without CX-4
    patient_type: str = ""  # CX-5 of the patient's own number; "": the first one sent
    visit_prefix_type: str = ""  # CX-5 of the number that PV1-19 continues (住院号 + 次数); "": PV1-19 stands alone
    a08_moves: bool = False
    processing_ids_live: tuple[str, ...] = ("P",)


def sent(identifier: Identifier | None) -> bool:
    """Whether it is a number: neither empty nor HL7's delete."""
    return identifier is not None and identifier.value not in ("", DELETED)


def patient_key(identifier: Identifier, source: AdtSource) -> str:
    """value^authority^type."""
    return f"{identifier.value}^{identifier.authority or source.authority}^{identifier.type}"


def patient_keys(identifiers: Iterable[Identifier], source: AdtSource) -> tuple[str, ...]:
    """The patient's own number first; each once."""
    numbers = [identifier for identifier in identifiers if sent(identifier)]
    own = [number for number in numbers if source.patient_type and number.type == source.patient_type]
    return tuple(dict.fromkeys(patient_key(number, source) for number in own + numbers))


def is_pseudo_visit(group: AdtGroup) -> bool:
    """A PV1 that HL7 demands and that is about no visit: class N, class O without a bed, or none at all."""
    visit = group.visit
    if visit is None or visit.patient_class == "N":
        return True
    return visit.patient_class == "O" and (visit.bed is None or visit.bed.bed in ("", DELETED))


def encounter_key(group: AdtGroup, source: AdtSource) -> str | None:
    """By PV1-19, else PID-18, else the patient and PV1-44 to the minute; None: the message names no visit."""
    if is_pseudo_visit(group) or group.visit is None:
        return None
    if sent(group.visit.number):
        return visit_key(group.visit.number, group.patients, source)
    if sent(group.account):
        return account_key(group.account, source)
    patients = patient_keys(group.patients, source)
    admitted_at_us = group.visit.admitted_at_us
    if not patients or admitted_at_us is None:
        return None
    return f"admitted:{patients[0]}@{admitted_at_us // US_PER_MINUTE}"


def visit_key(number: Identifier | None, patients: Iterable[Identifier], source: AdtSource) -> str | None:
    """None: no number, or the number that it continues was not sent."""
    if number is None or not sent(number):
        return None
    authority = number.authority or source.authority
    if not source.visit_prefix_type:
        return f"visit:{number.value}^{authority}"
    prefixes = [i.value for i in patients if i.type == source.visit_prefix_type and sent(i)]
    return f"visit:{prefixes[0]}-{number.value}^{authority}" if prefixes else None


def account_key(number: Identifier | None, source: AdtSource) -> str | None:
    """None: no number."""
    if number is None or not sent(number):
        return None
    return f"account:{number.value}^{number.authority or source.authority}"


class LinkKind(StrEnum):
    """Why two keys are one, or no longer are."""

    MERGE = "merge"
    LINK = "link"
    UNLINK = "unlink"


class Link(msgspec.Struct, frozen=True):
    """What one fact says of two keys, of patients or of encounters."""

    retired: str
    survivor: str
    kind: LinkKind
    fact: bytes
    at_us: int


class LinkProblem(msgspec.Struct, frozen=True):
    """A link that changes nothing, for people."""

    link: Link
    reversed: bool  # the survivor was retired into this one before; else the two were one number from the start


class Links:
    """Which keys are one, and the key that stands for them: union-find over links in the order of their facts.

    Identity alone, over all valid time: encounters keep their keys, and a survivor may own two that are open. As of a
    recorded time: built from the links that were known by then.
    """

    def __init__(self, links: Iterable[Link] = ()) -> None:
        self._parent: dict[str, str] = {}
        self.problems: list[LinkProblem] = []
        known: dict[tuple[str, str], Link] = {}
        for link in _without_unlinked(list(links)):
            self._add(link, known)

    def find(self, key: str) -> str:
        """The survivor; the key itself where nothing was said of it."""
        root = key
        while root in self._parent:
            root = self._parent[root]
        return root

    def same(self, one: str, other: str) -> bool:
        """Whether the two are one."""
        return self.find(one) == self.find(other)

    def _add(self, link: Link, known: dict[tuple[str, str], Link]) -> None:
        if link.retired == link.survivor:
            self.problems.append(LinkProblem(link=link, reversed=False))
            return
        if (link.retired, link.survivor) in known:
            return
        known[link.retired, link.survivor] = link
        retired, survivor = self.find(link.retired), self.find(link.survivor)
        if retired != survivor:
            self._parent[retired] = survivor
        elif retired == link.retired:  # the survivor's own survivor is to be retired
            self.problems.append(LinkProblem(link=link, reversed=True))


def _without_unlinked(links: list[Link]) -> list[Link]:
    """An unlink undoes the links of the same two before it."""
    kept: list[Link] = []
    for link in links:
        if link.kind is not LinkKind.UNLINK:
            kept.append(link)
            continue
        pair = {link.retired, link.survivor}
        kept = [k for k in kept if k.kind is not LinkKind.LINK or {k.retired, k.survivor} != pair]
    return kept
