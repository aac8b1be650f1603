"""The bed: one key for each of the ways in which senders spell it (HL7 v2 data type PL)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from schemas.adt import DELETED, SentBed


class BedState(StrEnum):
    """What a PL comes to."""

    KNOWN = "known"
    UNKNOWN = "unknown"  # a bed was sent that no person registered
    NONE = "none"  # no bed was sent: a ward alone is none


class Bed(msgspec.Struct, frozen=True):
    """A bed as a message names it. `key` is "" unless the bed is known."""

    state: BedState
    key: str
    as_sent: str  # PL-1^PL-2^PL-3^PL-4, for people


NO_BED = Bed(state=BedState.NONE, key="", as_sent="")


def normalise(text: str) -> str:
    """NFKC, trimmed, case folded: full-width and half-width, upper and lower case are one spelling."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def bed_key(*, facility: str = "", ward: str = "", room: str = "", bed: str = "") -> str:
    """facility^ward^room^bed, each part normalised."""
    return "^".join(normalise(part) for part in (facility, ward, room, bed))


class BedRegistry:
    """The beds that people registered, and the site's other spellings for them.

    `beds` are keys (`bed_key`). `aliases` maps a spelling to a bed: both as ward^room^bed, or as ward^room^bed^facility
    where the facility matters; a bed written without a facility keeps that of the message. A spelling may lack the bed:
    a room with one bed. An alias is applied once: it leads to no other alias.
    """

    def __init__(self, beds: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self._beds = frozenset(beds)
        self._aliases = {_parts(spelling): _parts(bed) for spelling, bed in (aliases or {}).items()}

    def find(self, sent: SentBed | None, facility: str) -> Bed:
        """`facility`: MSH-4.1, which stands in for an empty PL-4. PL-5 and on count for nothing."""
        if sent is None or sent == SentBed():
            return NO_BED
        as_sent = "^".join((sent.ward, sent.room, sent.bed, sent.facility)).rstrip("^")
        parts = tuple("" if part == DELETED else part for part in (sent.ward, sent.room, sent.bed, sent.facility))
        ward, room, bed, sent_facility = (normalise(part) for part in parts)
        in_facility = sent_facility or normalise(facility)
        alias = self._aliases.get((ward, room, bed, in_facility)) or self._aliases.get((ward, room, bed, ""))
        if alias is not None:
            ward, room, bed, alias_facility = alias
            in_facility = alias_facility or in_facility
        if not bed:
            return Bed(state=BedState.NONE, key="", as_sent=as_sent)
        key = bed_key(facility=in_facility, ward=ward, room=room, bed=bed)
        if key not in self._beds:
            return Bed(state=BedState.UNKNOWN, key="", as_sent=as_sent)
        return Bed(state=BedState.KNOWN, key=key, as_sent=as_sent)


def _parts(spelling: str) -> tuple[str, str, str, str]:
    """Of ward^room^bed^facility; what is left out is ""."""
    ward, room, bed, facility, *_ = [normalise(part) for part in spelling.split("^")] + [""] * 4
    return ward, room, bed, facility
