"""OBX-3 and OBX-6 of what a chart can hold: MDC and LOINC where they have it, else this project's own codes."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from clinical.chart_items import ITEMS, item_of
from schemas.errors import VitalwireError
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, is_private

Language = Literal["en", "zh"]
MDC, LOINC, UCUM = "MDC", "LN", "UCUM"  # table 0396
OWN_CODES = "99VW"  # table 0396: 99 and three letters at most are a site's or a vendor's own
VITAL_SIGNS = ("8716-3", "Vital signs", LOINC)
# What a nurse writes by hand and LOINC has; what is not here goes out under its own key alone.
LOINC_OF_ITEM = {
    "acvpu": "67775-7",  # level of responsiveness (AVPU)
    "pain": "72514-3",  # pain severity, 0 to 10
    "oxygen-flow": "3151-8",
    "weight": "29463-7",
    "height": "8302-2",
    "urine": "9187-6",
}
Components = tuple[str, ...]


@lru_cache(2048)
def observation_identifier(item: str, language: Language) -> Components:
    """The components of OBX-3: MDC code, reference id, MDC, LOINC, its text, LN.

    A metric without an MDC code begins with its LOINC; what has neither, and what this release does not know any more,
    has its key as a code of `OWN_CODES`.
    """
    metric = METRIC_BY_REFERENCE_ID.get(item)
    text = item_text(item, language)
    if metric is None:
        loinc = LOINC_OF_ITEM.get(item)
        return (item, text, OWN_CODES) + ((loinc, text, LOINC) if loinc else ())
    by_loinc = (metric.loinc, text, LOINC) if metric.loinc else ()
    if not is_private(metric.code):
        return (str(metric.code), metric.reference_id, MDC, *by_loinc)
    return by_loinc or (metric.reference_id, text, OWN_CODES)


def item_text(item: str, language: Language) -> str:
    """What people call it; "" where this release does not know it."""
    try:
        known = item_of(item)
    except VitalwireError:
        return ""
    return known.zh if language == "zh" else known.en


def choice_text(item: str, choice: str, language: Language) -> str | None:
    """What people call one of an item's choices; None: it is none of them."""
    known = ITEMS.get(item)
    words = (known.choices or {}).get(choice) if known else None
    if words is None:
        return None
    return words[1] if language == "zh" else words[0]
