"""A person in whole, and the facts behind what is said of one: as every page that shows them is told."""

from __future__ import annotations

from typing import Any

from clinical.person_names import number_of, whole_name
from emr_store import patients
from emr_store.evidence_words import Behind
from gateway.pages.moments import milliseconds_or_none


def whole_person(conn: Any, patient: str) -> dict[str, str]:
    """Of the patient of this key; what is not known or was erased is ""; raises StoreError."""
    family, given, name, birth_date, sex = patients.name_of(conn, patient) or ("", "", "", "", "")
    return {
        "key": patient, "number": number_of(patient), "name": whole_name(family=family, given=given, name=name),
        "birth_date": birth_date, "sex": sex,
    }  # fmt: skip


def fact_shown(fact: Behind) -> dict[str, Any]:
    """In words, and when it happened and was heard."""
    return {
        "kind": fact.kind, "en": fact.words, "zh": fact.words_zh, "at": milliseconds_or_none(fact.at),
        "known_at": milliseconds_or_none(fact.known_at),
    }  # fmt: skip
