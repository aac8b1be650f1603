"""What of a patient's name and number is shown where anybody may walk past."""

from __future__ import annotations

import unicodedata

NUMBER_CHARS = 4  # of a number's end: enough to tell the patients of a ward apart


def whole_name(*, family: str, given: str, name: str) -> str:
    """As the admission office writes it; "" where none is known or kept."""
    return name or f"{family} {given}".strip()


def masked_name(*, family: str, given: str, name: str) -> str:
    """A name in ideographs by its first character, another by its initials."""
    whole = whole_name(family=family, given=given, name=name)
    if not whole:
        return ""
    if unicodedata.name(whole[0], "").startswith("CJK"):
        return f"{whole[0]}**"
    return " ".join(f"{part[0]}." for part in whole.split())


def number_of(patient: str) -> str:
    """The number in a patient's key, value^authority^type."""
    return patient.partition("^")[0]


def masked_number(patient: str) -> str:
    """The end of it."""
    return number_of(patient)[-NUMBER_CHARS:]
