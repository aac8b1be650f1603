"""Keys of visits and patients as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from clinical.worklist import Words

NO_BED_NAMES: Mapping[str, str] = MappingProxyType({})


def bed_words(bed: str, names: Mapping[str, str], as_sent: str = "") -> str:
    """What the site calls the bed of this key, else as it was sent, else the key without its facility."""
    return names.get(bed) or as_sent or " ".join(part for part in bed.split("^")[1:] if part)


def is_visit(key: str) -> bool:
    """Whether it is an encounter's key (clinical/identity.py: encounter_key), not a patient's or a bed's."""
    return key.partition(":")[0] in ("visit", "account", "admitted")


def visit_number(encounter: str) -> str:
    """The number in an encounter's key (clinical/identity.py: encounter_key)."""
    return encounter.partition(":")[2].partition("^")[0] or encounter


def visit_words(encounter: str) -> Words:
    """Which visit it is, by what its key was made of."""
    number = visit_number(encounter)
    match encounter.partition(":")[0]:
        case "account":
            return Words(en=f"account {number}", zh=f"账号 {number}")
        case "admitted":
            return Words(en=f"the admission of patient {number}", zh=f"患者 {number} 的入院")
        case _:
            return Words(en=f"visit {number}", zh=f"就诊 {number}")


def patient_words(patient: str) -> str:
    """The number in a patient's key, value^authority^type, and whose number it is: the same in both languages."""
    number, _, rest = patient.partition("^")
    authority = rest.partition("^")[0]
    return f"{number} ({authority})" if authority else number
