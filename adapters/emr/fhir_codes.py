"""Which code, category and profile an item of the chart has in FHIR, and the systems of our own identifiers."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from adapters.emr.observation import PANEL_CODES, PANELS
from clinical.chart_items import ITEM_LOINC, ITEMS, item_of
from schemas.nomenclature import METRICS, UNITS, Metric

LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
PROFILE = "http://hl7.org/fhir/StructureDefinition/"

# Of identifiers. Receivers keep them: never to be changed.
ENTRY = "urn:vitalwire:chart-entry"  # an Observation's: the UUID of an entry, or of a panel
SOURCE = "urn:vitalwire:source"  # of what a device sent: batch id in hexadecimal/leaf/record
PATIENT = "urn:vitalwire:patient"  # `resource_id` of a patient whom no number is known of
ENCOUNTER = "urn:vitalwire:encounter"  # a key of clinical/identity.py: encounter_key
LOCATION = "urn:vitalwire:location"  # facility^ward, facility^ward^room, facility^ward^room^bed
DEVICE = "urn:vitalwire:device"  # its UUID
DEVICE_CLAIM = "urn:vitalwire:device-claim"  # what it claims to be
AUTHORITY = "urn:vitalwire:authority:"  # before a CX-4 that is no OID and that the site names no system for
PLATFORM = "urn:vitalwire:platform"

# Of codes.
ITEM = "urn:vitalwire:chart-item"  # what is written by hand (clinical/chart_items.py)
METRIC = "urn:vitalwire:metric"  # metrics that IEEE 11073-10101 has no public code for
CHOICE = "urn:vitalwire:chart-choice:"  # before an item's key: what can be chosen of it
TAG = "urn:vitalwire:tag"
BY_TIME = "final-by-time"  # of TAG: final because time went by; no person looked at it

# FHIR R4, vital signs: beside a more specific code stands the general one. A pulse (8889-8) is left as it is: it is
# charted beside the heart's rate, and their difference is a finding.
_BODY_TEMPERATURE = ("8310-5",)
GENERAL_CODES: dict[str, tuple[str, ...]] = {
    "MDC_TEMP_CORE": _BODY_TEMPERATURE,
    "MDC_TEMP_TYMP": _BODY_TEMPERATURE,
    "MDC_TEMP_ORAL": _BODY_TEMPERATURE,
    "MDC_TEMP_RECT": _BODY_TEMPERATURE,
    "MDC_TEMP_AXILLA": _BODY_TEMPERATURE,
    "MDC_TEMP_AXIL": _BODY_TEMPERATURE,
    "MDC_TEMP_ESOPH": _BODY_TEMPERATURE,
    "MDC_TEMP_NASOPH": _BODY_TEMPERATURE,
    "MDC_TEMP_FOLEY": _BODY_TEMPERATURE,
    "MDC_TEMP_BLD": _BODY_TEMPERATURE,
    "MDC_PULS_OXIM_SAT_O2": ("2708-6",),
}

# Profiles of FHIR R4 for vital signs, by the LOINC code that they demand, with the units (UCUM) that they allow.
PROFILES: dict[str, tuple[str, frozenset[str]]] = {
    "85354-9": ("bp", frozenset({"mm[Hg]"})),
    "8867-4": ("heartrate", frozenset({"/min"})),
    "9279-1": ("resprate", frozenset({"/min"})),
    "2708-6": ("oxygensat", frozenset({"%"})),
    "8310-5": ("bodytemp", frozenset({"Cel", "[degF]"})),
    "8302-2": ("bodyheight", frozenset({"cm", "[in_i]"})),
    "29463-7": ("bodyweight", frozenset({"g", "kg", "[lb_av]"})),
    "39156-5": ("bmi", frozenset({"kg/m2"})),
    "9843-4": ("headcircum", frozenset({"cm", "[in_i]"})),
}

_LABORATORY = (
    "MDC_BASE_EXCESS_", "MDC_CONC_CA_", "MDC_CONC_CHLORIDE_", "MDC_CONC_GLU_", "MDC_CONC_HB_", "MDC_CONC_HCO3_",
    "MDC_CONC_HCT_", "MDC_CONC_K_", "MDC_CONC_NA_", "MDC_CONC_PCO2_", "MDC_CONC_PH_", "MDC_CONC_PO2_", "VITALWIRE_",
)  # fmt: skip
_VITAL_BY_HAND = frozenset(
    {"acvpu", "weight", "height", "oxygen-flow", "oxygen-route", "temperature-route", "temperature-mark"}
)
_PRIVATE_PARTITION = 1024
_METRICS: dict[str, Metric] = {metric.reference_id: metric for metric in METRICS}
_UCUM_OF: dict[str, str] = {unit.reference_id: unit.ucum for unit in UNITS}


class Coding(NamedTuple):
    """`display` is "" where the code stands alone: LOINC's own names are not ours to give."""

    system: str
    code: str
    display: str = ""


def category(item: str) -> str:
    """Of FHIR's observation-category: vital-signs, laboratory, survey or exam. Of an item or a panel's metric."""
    if item in ITEMS:
        if item in _VITAL_BY_HAND:
            return "vital-signs"
        return "survey" if item == "pain" else "exam"
    return "laboratory" if item.startswith(_LABORATORY) else "vital-signs"


@lru_cache(maxsize=1024)
def codings(item: str, unit: str) -> tuple[Coding, ...]:
    """The codes of an entry, LOINC first. In another unit than the metric's first it has no LOINC code.

    (LOINC tells a partial pressure from a fraction.) `unit` "": of no value, hence of any. Raises VitalwireError for
    what cannot be charted.
    """
    name = item_of(item).en
    metric = _METRICS.get(item)
    if metric is None:
        found = [Coding(LOINC, ITEM_LOINC[item])] if item in ITEM_LOINC else []
        return (*found, Coding(ITEM, item, name))
    member = PANELS.get(item)
    loinc: tuple[str, ...] = (metric.loinc,) if metric.loinc else ()
    if member is not None:
        loinc = member.loinc
    elif unit and unit != _UCUM_OF[metric.unit]:
        loinc = ()
    elif loinc:
        loinc = (*loinc, *GENERAL_CODES.get(item, ()))
    public = metric.code >> 16 != _PRIVATE_PARTITION
    own = Coding(MDC, str(metric.code), item) if public else Coding(METRIC, item, name)
    return (*(Coding(LOINC, code) for code in loinc), own)


def panel_codings(panel: str) -> tuple[Coding, ...]:
    """Of a panel as a whole, LOINC first."""
    codes = PANEL_CODES[panel]
    reference_id, code = codes.mdc
    return (*(Coding(LOINC, loinc) for loinc in codes.loinc), Coding(MDC, str(code), reference_id))


@lru_cache(maxsize=4096)
def profile(codes: tuple[Coding, ...], unit: str) -> str | None:
    """The profile that an observation with these codes and this unit (UCUM; "": no value) keeps to; None: none."""
    for coding in codes:
        if coding.system == LOINC and coding.code in PROFILES:
            name, units = PROFILES[coding.code]
            return PROFILE + name if unit in units or not unit else None
    return None
