"""Wards as people write them: "ICU", or "ICU^FACILITY" where two facilities have one of this name."""

from __future__ import annotations

from collections.abc import Collection
from difflib import SequenceMatcher

from clinical.beds import normalise

_SUGGESTIONS = 3


class UnknownWardError(Exception):
    """What was written is no ward, or more than one; its text ends with those that are known."""


def ward_name(ward: str) -> str:
    """A ward's key (clinical/wards.py) as people write it: ward^facility, in upper case."""
    facility, _, name = ward.partition("^")
    return (f"{name}^{facility}" if facility else name).upper()


def find_ward(text: str, known: Collection[str]) -> str:
    """The key among `known`; upper and lower case, full-width and half-width count for nothing.

    Raises UnknownWardError.
    """
    name, _, facility = (normalise(part) for part in text.partition("^"))
    found = sorted(
        ward for ward in known if ward.partition("^")[2] == name and facility in ("", ward.partition("^")[0])
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownWardError(f"{text!r} is a ward of several facilities: write {_listed(found, ' or ')}")
    if not known:
        raise UnknownWardError(f"{text!r}: no ward is known yet: start the processors with the site's [[bed]]s first")
    near = sorted(known, key=lambda ward: (-_likeness(name, ward), ward))
    more = f", and {len(near) - _SUGGESTIONS} more" if len(near) > _SUGGESTIONS else ""
    raise UnknownWardError(f"{text!r} is no ward: known are {_listed(near[:_SUGGESTIONS], ', ')}{more}")


def _likeness(name: str, ward: str) -> float:
    return SequenceMatcher(a=name, b=ward.partition("^")[2]).ratio()


def _listed(wards: Collection[str], between: str) -> str:
    return between.join(ward_name(ward) for ward in wards)
