"""The rows of a flowsheet: what can be charted, by system, in the order that a ward reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clinical.chart_items import ITEMS


@dataclass(frozen=True, kw_only=True)
class System:
    """`items`: metrics by their reference id, or keys of clinical/chart_items.py."""

    key: str
    en: str
    zh: str
    items: tuple[str, ...]


SYSTEMS = (
    System(
        key="circulation", en="Circulation", zh="循环",
        items=(
            "MDC_ECG_HEART_RATE", "MDC_PULS_RATE", "MDC_PULS_OXIM_PULS_RATE", "MDC_PULS_RATE_NON_INV",
            "MDC_BLD_PULS_RATE_INV", "MDC_ECG_V_P_C_RATE", "MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA",
            "MDC_PRESS_BLD_NONINV_MEAN", "MDC_PRESS_CUFF_SYS", "MDC_PRESS_CUFF_DIA", "MDC_PRESS_CUFF_MEAN",
            "MDC_PRESS_BLD_ART_SYS", "MDC_PRESS_BLD_ART_DIA", "MDC_PRESS_BLD_ART_MEAN", "MDC_PRESS_BLD_ART_ABP_SYS",
            "MDC_PRESS_BLD_ART_ABP_DIA", "MDC_PRESS_BLD_ART_ABP_MEAN", "MDC_PRESS_BLD_SYS", "MDC_PRESS_BLD_DIA",
            "MDC_PRESS_BLD_MEAN", "MDC_PRESS_BLD_VEN_CENT", "MDC_PRESS_BLD_VEN_CENT_MEAN",
            "MDC_PRESS_BLD_ART_PULM_SYS", "MDC_PRESS_BLD_ART_PULM_DIA", "MDC_PRESS_BLD_ART_PULM_MEAN",
            "MDC_PRESS_BLD_ART_PULM_WEDGE", "MDC_OUTPUT_CARD", "MDC_OUTPUT_CARD_INDEX", "MDC_VOL_BLD_STROKE",
        ),
    ),
    System(
        key="breathing", en="Breathing", zh="呼吸",
        items=(
            "MDC_PULS_OXIM_SAT_O2", "MDC_RESP_RATE", "MDC_AWAY_RESP_RATE", "MDC_TTHOR_RESP_RATE",
            "MDC_CO2_RESP_RATE", "MDC_ACOUSTIC_RESP_RATE", "MDC_PULS_OXIM_PLETH_RESP_RATE", "MDC_VENT_RESP_RATE",
            "MDC_VENT_RESP_BTSD_PSAZC_RATE", "MDC_VENT_RESP_BTSD_P_RATE", "oxygen-route", "oxygen-flow",
            "MDC_CONC_AWAY_O2_INSP", "MDC_CONC_GASDLV_O2_INSP", "MDC_CONC_AWAY_CO2_ET", "MDC_AWAY_CO2_ET",
            "MDC_VENT_VOL_TIDAL", "MDC_VOL_AWAY_TIDAL", "MDC_VOL_AWAY_TIDAL_EXP", "MDC_VENT_VOL_MINUTE",
            "MDC_VOL_MINUTE_AWAY", "MDC_VENT_PRESS_MAX", "MDC_VENT_PRESS_AWAY_MAX", "MDC_VENT_PRESS_AWAY_MEAN",
            "MDC_VENT_PRESS_RESP_PLAT", "MDC_VENT_PRESS_AWAY_END_EXP_POS",
        ),
    ),
    System(
        key="temperature", en="Temperature", zh="体温",
        items=(
            "MDC_TEMP", "MDC_TEMP_BODY", "MDC_TEMP_AXIL", "MDC_TEMP_AXILLA", "MDC_TEMP_ORAL", "MDC_TEMP_RECT",
            "MDC_TEMP_EAR", "MDC_TEMP_TYMP", "MDC_TEMP_CORE", "MDC_TEMP_ESOPH", "MDC_TEMP_NASOPH", "MDC_TEMP_FOLEY",
            "MDC_TEMP_BLD", "MDC_TEMP_SKIN", "temperature-route", "temperature-mark",
        ),
    ),
    System(
        key="consciousness", en="Consciousness and pain", zh="意识与疼痛",
        items=("acvpu", "pain", "MDC_PRESS_INTRA_CRAN", "MDC_PRESS_INTRA_CRAN_MEAN", "MDC_PRESS_CEREB_PERF"),
    ),
    System(key="balance", en="Balance", zh="出入量", items=("intake", "output", "urine", "drain", "vomit", "stool")),
    System(
        key="body", en="Body", zh="身体", items=("weight", "weighed-as", "height", "MDC_MASS_BODY_ACTUAL", "skin-test"),
    ),
    System(
        key="care", en="Care and events", zh="护理与事件",
        items=("diagnosis", "event", "not-measured", "tubes", "skin", "observation"),
    ),
    System(key="other", en="Other", zh="其他", items=()),
)  # fmt: skip
OTHER = SYSTEMS[-1]
_PLACE = {
    item: (number, place) for number, system in enumerate(SYSTEMS) for place, item in enumerate(system.items)
}  # fmt: skip
# What a nurse writes by hand, as her form offers it: what is asked most comes first.
_FIRST_BY_HAND = (
    "MDC_TEMP", "temperature-route", "temperature-mark", "MDC_PULS_RATE", "MDC_ECG_HEART_RATE", "MDC_RESP_RATE",
    "MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA", "MDC_PULS_OXIM_SAT_O2",
)  # fmt: skip
BY_HAND = tuple(dict.fromkeys([*_FIRST_BY_HAND, *ITEMS]))


def system_of(item: str) -> System:
    """Where it stands; what no system names is `OTHER`."""
    return SYSTEMS[_PLACE[item][0]] if item in _PLACE else OTHER


def in_order(items: Iterable[str]) -> list[str]:
    """As the flowsheet has them; those that no system names last, by name."""
    return sorted(items, key=lambda item: (*_PLACE.get(item, (len(SYSTEMS), 0)), item))
