"""The questions of the worklist in words for people: beds as the site calls them, patients by their numbers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from clinical.key_words import bed_words, is_visit, patient_words, visit_words
from clinical.worklist import Item, ItemKind, Words, words

BED_KEY_SEPARATORS = 3  # facility^ward^room^bed; a patient's key has two
# Whose detail is keys of beds.
_OF_BEDS = (ItemKind.IN_CENSUS_NOT_IN_ADT, ItemKind.IN_ADT_NOT_IN_CENSUS, ItemKind.CENSUS_NAMES_OTHER_BED)


def question_words(item: Item, bed_names: Mapping[str, str]) -> Words:
    """The sentence. `bed_names`: what the site calls its beds, by their keys."""
    if item.kind in _OF_BEDS:
        beds = " / ".join(bed_words(bed, bed_names) for bed in item.detail.split(" / "))
        item = msgspec.structs.replace(item, detail=beds)
    if item.kind is ItemKind.TWO_PATIENTS_IN_ONE_VISIT:
        patients = ", ".join(patient_words(patient) for patient in item.detail.split(", "))
        item = msgspec.structs.replace(item, detail=patients)
    return Words(en=words(item, "en"), zh=words(item, "zh"))


def is_bed(subject: str) -> bool:
    """Whether the subject of an item is the key of a bed."""
    return subject.count("^") == BED_KEY_SEPARATORS


def subject_words(subject: str, bed_names: Mapping[str, str]) -> Words:
    """What the key is of: a bed, a visit, a patient; what is none of these as it stands."""
    if is_bed(subject):
        bed = bed_words(subject, bed_names)
        return Words(en=bed, zh=bed)
    if is_visit(subject):
        return visit_words(subject)
    text = patient_words(subject)
    return Words(en=text, zh=text)
