"""What a scan means: which device, and which encounter that is open at that moment its wristband names.

A wristband has a number of the patient or of the visit. The number counts with authority and type, as those of an
admission office do; where the wristband has none, they are those of the site's [[adt_source]]. What names no encounter,
or more than one, is nobody's by the scan, and a question.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence, Set

import msgspec

from clinical.encounter import Encounter
from clinical.facts import CLOCK_TOLERANCE_US
from clinical.identity import AdtSource
from clinical.worklist import Item, ItemKind
from schemas.adt import Identifier
from schemas.report import device_id
from schemas.scan import Scan, ScanAction


class KnownScan(msgspec.Struct, frozen=True, kw_only=True):
    """A scan as it was heard, once."""

    id: bytes
    scan: Scan
    received_at_us: int
    retained: bool  # the broker kept it from earlier: nobody scanned anything now

    @property
    def device(self) -> uuid.UUID:
        """The device that it means, heard of or not: a sticker has its id or its claim."""
        try:
            return uuid.UUID(self.scan.device)
        except ValueError:
            return device_id(self.scan.device)

    @property
    def without_effect(self) -> ItemKind | None:
        """Why it says nothing of anybody, whatever else is known; None: it may."""
        if self.retained:
            return ItemKind.SCAN_RETAINED
        if self.scan.at_us is None:
            return ItemKind.SCAN_WITHOUT_TIME
        if self.scan.at_us > self.received_at_us + CLOCK_TOLERANCE_US:
            return ItemKind.SCAN_AHEAD
        return None

    @property
    def subject(self) -> str:
        """Of the questions that it raises."""
        return f"scan:{self.id.hex()[:16]}"

    def item(self, kind: ItemKind) -> Item:
        """A question that it raises."""
        since_us = self.received_at_us if self.scan.at_us is None else min(self.scan.at_us, self.received_at_us)
        wristband = self.scan.wristband
        named = f"{wristband.value} / " if wristband is not None else ""
        return Item(
            kind=kind, subject=self.subject, since_us=since_us, announce_at_us=since_us, facts=(self.id,),
            detail=f"{named}{self.scan.device}",
        )  # fmt: skip


def scan_id(*, scanner: bytes, digest: bytes, retained: bool) -> bytes:
    """32 bytes. The same bytes of the same source are one scan, however often they come; `scanner`: the source's id."""
    hashed = hashlib.sha256(b"vitalwire scan\0")
    for part in (scanner, digest, bytes([retained])):
        hashed.update(len(part).to_bytes(4, "big") + part)
    return hashed.digest()


def is_number(key: str, wristband: Identifier, source: AdtSource) -> bool:
    """Whether a patient's key is the wristband's number; without a type anywhere, a number of any type is."""
    value, authority, kind = key.split("^", 2)
    wanted_kind = wristband.type or source.patient_type
    return (
        value == wristband.value
        and authority == (wristband.authority or source.authority)
        and (not wanted_kind or kind == wanted_kind)
    )


def is_visit(key: str, wristband: Identifier, source: AdtSource) -> bool:
    """Whether an encounter's key is the wristband's number, of a visit or of an account."""
    named_by, _, number = key.partition(":")
    value, _, authority = number.partition("^")
    return (
        named_by in ("visit", "account")
        and value == wristband.value
        and authority == (wristband.authority or source.authority)
    )


def open_at(encounters: Iterable[Encounter], at_us: int) -> list[Encounter]:
    """Those that are open at that moment, by their keys."""
    found = (
        encounter
        for encounter in encounters
        if any(p.from_us <= at_us and (p.until_us is None or p.until_us > at_us) for p in encounter.periods)
    )
    return sorted(found, key=lambda encounter: encounter.key)


def of_number(encounters: Sequence[Encounter], owners: Set[str]) -> list[Encounter]:
    """Of several that a merged patient has, the one whose own messages name an owner of the number; else all."""
    named = [encounter for encounter in encounters if not owners.isdisjoint(encounter.patients)]
    return named if len(named) == 1 else list(encounters)


def problem(known: KnownScan, *, device_known: bool, encounters: list[str]) -> ItemKind | None:
    """What is not clear of a scan; None: all is. `encounters`: those that it names and that are open at its moment."""
    if known.without_effect is not None:
        return known.without_effect
    if not device_known:
        return ItemKind.SCAN_OF_UNKNOWN_DEVICE
    if known.scan.action is ScanAction.DISASSOCIATE or len(encounters) == 1:
        return None
    return ItemKind.SCAN_OF_SEVERAL_VISITS if encounters else ItemKind.SCAN_OF_UNKNOWN_WRISTBAND
