"""OBX-3 and OBX-6 of what a chart can hold: MDC and LOINC where they have it, else this project's own codes."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from clinical.chart_items import ITEM_LOINC, ITEMS, item_of
from schemas.errors import VitalwireError
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, UNIT_BY_REFERENCE_ID, is_private

Language = Literal["en", "zh"]
MDC, LOINC, UCUM = "MDC", "LN", "UCUM"  # table 0396
OWN_CODES = "99VW"  # table 0396: 99 and three letters at most are a site's or a vendor's own
VITAL_SIGNS = ("8716-3", "Vital signs", LOINC)
Components = tuple[str, ...]


@lru_cache(2048)
def observation_identifier(item: str, unit: str, language: Language) -> Components:
    """The components of OBX-3: MDC code, reference id, MDC, LOINC, its text, LN.

    What has no MDC code has its own key as a code of `OWN_CODES` there. A metric in another unit (UCUM) than its first
    has no LOINC: LOINC tells a partial pressure from a fraction. `unit` "": of no value, hence of any. The first three
    are the same for every unit: a receiver tells results apart by them.
    """
    metric = METRIC_BY_REFERENCE_ID.get(item)
    text = item_text(item, language)
    if metric is None:
        loinc = ITEM_LOINC.get(item)
        own: Components = (item, text, OWN_CODES)
    else:
        is_first_unit = unit in ("", UNIT_BY_REFERENCE_ID[metric.unit].ucum)
        loinc = metric.loinc if is_first_unit else None
        name = metric.reference_id
        own = (name, text, OWN_CODES) if is_private(metric.code) else (str(metric.code), name, MDC)
    return (*own, loinc, text, LOINC) if loinc else own


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
