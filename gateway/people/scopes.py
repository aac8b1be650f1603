"""Scopes of machines, as SMART App Launch 2.2 writes them: system/Observation.rs. Nothing can be written by them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_FORM = re.compile(r"system/([A-Z][A-Za-z]{1,40}|\*)\.(read|\*|r|s|rs)")
READ, SEARCH = "r", "s"
_MEANS = {"read": "rs", "*": "rs"}  # as SMART 1 had it
# The types that /fhir has: the routes' own table is held against it by a test.
READABLE = ("Observation", "Patient", "Encounter", "Location", "Device", "Provenance")


@dataclass(frozen=True, order=True)
class Scope:
    """One type ("*": each) and how it may be asked: READ by its id, SEARCH."""

    type: str
    how: str

    @property
    def text(self) -> str:
        """As it is written."""
        return f"system/{self.type}.{self.how}"


def read_scopes(text: str) -> frozenset[Scope]:
    """Raises ValueError with the one that is none."""
    found = set()
    for written in text.split():
        form = _FORM.fullmatch(written)
        if form is None or form[1] not in (*READABLE, "*"):
            raise ValueError(f"{written} is no scope: write system/TYPE.rs with one of {', '.join(READABLE)}, or *")
        found.add(Scope(form[1], _MEANS.get(form[2], form[2])))
    if not found:
        raise ValueError("no scope: write at least one, e.g. system/Observation.rs")
    return frozenset(found)


def opens(scopes: Collection[Scope], resource_type: str, how: str) -> bool:
    """Whether one of them lets this type be asked so."""
    return any(each.type in ("*", resource_type) and how in each.how for each in scopes)


def both(asked: Collection[Scope], registered: Collection[Scope]) -> frozenset[Scope]:
    """What is in both, type by type."""
    found = set()
    for name in READABLE:
        how = "".join(
            each for each in (READ, SEARCH) if opens(asked, name, each) and opens(registered, name, each)
        )  # fmt: skip
        if how:
            found.add(Scope(name, how))
    return frozenset(found)


def written(scopes: Collection[Scope]) -> str:
    """As a token says them."""
    return " ".join(each.text for each in sorted(scopes))
