"""What senders with codes of their own call things, one table a dialect (`hl7_dialects`).

A row is by OBX-3.1. A site's row for the same thing outranks it. `unit` is what the value is in where the sender states
none and its monitors know one unit alone: pressures, temperatures and gases, whose unit is chosen on the monitor, have
none, and stay doubtful until the site's mapping says theirs. What a document names without saying what it measures
(or what no nomenclature has a code for) has no row and keeps the sender's own words.
"""

from __future__ import annotations

from typing import NamedTuple

from adapters.site import Mapped
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, UNIT_BY_REFERENCE_ID
from schemas.report import AlarmKind, AlarmPriority


class DialectCode(NamedTuple):
    """One of a sender's codes; `is_setting`: it is no measurement but what the monitor is set to."""

    metric: str = ""
    unit: str = ""
    is_setting: bool = False

    @property
    def mapped(self) -> Mapped | None:
        """As a row of a site would say it; None where no standard code is known."""
        if not self.metric:
            return None
        unit = UNIT_BY_REFERENCE_ID[self.unit].code if self.unit else 0
        return Mapped(METRIC_BY_REFERENCE_ID[self.metric].code, unit)


class DialectAlarm(NamedTuple):
    """What a number of an alarm says of it."""

    priority: AlarmPriority
    kind: AlarmKind


_BEATS, _BREATHS, _PERCENT = "MDC_DIM_BEAT_PER_MIN", "MDC_DIM_RESP_PER_MIN", "MDC_DIM_PERCENT"

# Mindray Patient Data Share Protocol, as public readers of its messages know it. Names vary from monitor to monitor
# (170^Sys, 170^NIBP S), numbers do not. 0^RR of module 0 is nothing; what 605 and 566 have in common is CVP's mean.
MINDRAY_PDS: dict[str, DialectCode] = {
    "101": DialectCode("MDC_ECG_HEART_RATE", _BEATS),
    "102": DialectCode("MDC_ECG_V_P_C_RATE", _BEATS),
    "105": DialectCode("MDC_ECG_AMPL_ST_I"),
    "106": DialectCode("MDC_ECG_AMPL_ST_II"),
    "107": DialectCode("MDC_ECG_AMPL_ST_III"),
    "151": DialectCode("MDC_RESP_RATE", _BREATHS),
    "160": DialectCode("MDC_PULS_OXIM_SAT_O2", _PERCENT),
    "161": DialectCode("MDC_PULS_OXIM_PULS_RATE", _BEATS),
    "162": DialectCode("MDC_PULS_OXIM_PERF_REL", _PERCENT),
    "170": DialectCode("MDC_PRESS_BLD_NONINV_SYS"),
    "171": DialectCode("MDC_PRESS_BLD_NONINV_DIA"),
    "172": DialectCode("MDC_PRESS_BLD_NONINV_MEAN"),
    "173": DialectCode("MDC_PULS_RATE_NON_INV", _BEATS),
    "200": DialectCode("MDC_TEMP"),
    "201": DialectCode("MDC_TEMP"),
    "210": DialectCode("MDC_OUTPUT_CARD", "MDC_DIM_X_L_PER_MIN"),
    "212": DialectCode("MDC_OUTPUT_CARD_INDEX", "MDC_DIM_X_L_PER_MIN_PER_M_SQ"),
    "250": DialectCode("MDC_AWAY_CO2_ET"),
    "280": DialectCode("MDC_AWAY_RESP_RATE", _BREATHS),
    "500": DialectCode("MDC_PRESS_BLD_ART_SYS"),
    "501": DialectCode("MDC_PRESS_BLD_ART_MEAN"),
    "502": DialectCode("MDC_PRESS_BLD_ART_DIA"),
    "503": DialectCode("MDC_PRESS_BLD_ART_PULM_SYS"),
    "504": DialectCode("MDC_PRESS_BLD_ART_PULM_MEAN"),
    "505": DialectCode("MDC_PRESS_BLD_ART_PULM_DIA"),
    "566": DialectCode("MDC_PRESS_BLD_VEN_CENT_MEAN"),
    "605": DialectCode("MDC_PRESS_BLD_VEN_CENT_MEAN"),
    "600": DialectCode("MDC_PULS_RATE", _BEATS),
    "2037": DialectCode(is_setting=True),  # the level at which a parameter's alarm is set
}

# Nihon Kohden CNS-6201, BSM and PVM (HL7 protocol 0614-905894), as messages in public code have them. 072007 rPR and
# what else begins with r repeats another row, and has none here, so that a rate is not there twice.
NIHON_KOHDEN: dict[str, DialectCode] = {
    "001000": DialectCode("MDC_ECG_HEART_RATE"),
    "007000": DialectCode("MDC_PULS_OXIM_SAT_O2"),
    "007001": DialectCode("MDC_PULS_OXIM_PULS_RATE"),
    "009000": DialectCode("MDC_PRESS_BLD_NONINV_SYS"),
    "009001": DialectCode("MDC_PRESS_BLD_NONINV_DIA"),
    "009002": DialectCode("MDC_PRESS_BLD_NONINV_MEAN"),
    "014000": DialectCode("MDC_TEMP_RECT"),
}

# Philips MDIL: partition and term in hexadecimal are IEEE 11073's where the nomenclature has them; here is what
# differs. 4822 is the pulse rate of the pleth, which MDC calls by another term; 5000 labels the respiration's rate.
MDIL: dict[str, DialectCode] = {
    "0002-4822": DialectCode("MDC_PULS_OXIM_PULS_RATE"),
    "0002-5000": DialectCode("MDC_RESP_RATE"),
    "0002-f0c7": DialectCode("MDC_TEMP"),
    "0002-f0c8": DialectCode("MDC_TEMP"),
}

# Philips Efficia CM Data Export Guide, p. 2-16: the number of an alarm. 3 and 4 are not explained.
MDIL_ALERTS: dict[str, DialectAlarm] = {
    "1": DialectAlarm(AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL),  # red
    "2": DialectAlarm(AlarmPriority.MEDIUM, AlarmKind.PHYSIOLOGICAL),  # yellow
    "5": DialectAlarm(AlarmPriority.UNKNOWN, AlarmKind.TECHNICAL),  # hard inoperative
    "6": DialectAlarm(AlarmPriority.UNKNOWN, AlarmKind.TECHNICAL),  # soft inoperative
}
UNEXPLAINED_ALERT = DialectAlarm(AlarmPriority.UNKNOWN, AlarmKind.UNKNOWN)
