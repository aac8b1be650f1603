"""What the parameters of BCC mean ("Technical Interface Specification BCC", I0022_000030, version 4.0, pages 16 to 35).

A literal table; a parameter that is not in it is kept under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from schemas.report import AlarmKind


class Use(Enum):
    """What is made of a parameter."""

    MEASURED = "measured"
    SET = "set"
    PATIENT = "patient"  # as the sender claims it
    NOTHING = "nothing"  # it says something of another parameter


@dataclass(frozen=True)
class Parameter:
    """Its name in words, unit, MDC codes if known, and the parameter that holds the code of its unit.

    `is_text`: it is none even where it looks like a number.
    """

    name: str
    unit: str = ""
    code: int = 0
    mdc_unit: int = 0
    use: Use = Use.MEASURED
    unit_in: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class Condition:
    """An alarm: its text, for none is sent, and whether it is about the patient or the equipment."""

    text: str
    kind: AlarmKind = AlarmKind.TECHNICAL


_ML, _ML_PER_H, _SECOND, _MINUTE, _KG = 263762, 265266, 264320, 264352, 263875
_ADVISORY = AlarmKind.ADVISORY


def _set(name: str, unit: str = "", unit_in: str = "") -> Parameter:
    return Parameter(name, unit, use=Use.SET, unit_in=unit_in)


def _words(name: str) -> Parameter:
    return Parameter(name, use=Use.SET, is_text=True)


def _patient(name: str) -> Parameter:
    return Parameter(name, use=Use.PATIENT, is_text=True)


_nothing = Parameter("", use=Use.NOTHING)

PARAMETERS: Mapping[str, Parameter] = {
    "INRT": Parameter("rate", "mL/h", 157784, _ML_PER_H), "INVTB": Parameter("volume to be infused", "mL", 157884, _ML),
    "INVI": Parameter("volume infused", "mL", 157864, _ML), "VOLREMAIN": Parameter("volume remaining", "mL"),
    "INVOLACT": Parameter("volume in syringe", "mL", 157984, _ML),
    "INSYR": Parameter("syringe size", "mL", 157880, _ML),
    "INRMT": Parameter("time remaining", "s", 157916, _SECOND), "INTIME": Parameter("infusion time", "min"),
    "TIMEOFINF": Parameter("time of infusion", "min"), "INAKKU": Parameter("battery time", "min", 67976, _MINUTE),
    "INSTBY": Parameter("standby remaining", "min"), "INBORT": Parameter("bolus rate", "mL/h"),
    "INBOVAL": Parameter("last bolus", "mL"), "INBOCNT": Parameter("boluses since the last request"),
    "BOVAL": Parameter("bolus volume", "mL"), "BOCNT": Parameter("boluses of the therapy"),
    "BASRT": Parameter("basal rate", "mL/h"), "INAVRT": Parameter("mean rate between requests", "mL/h"),
    "INDORT": Parameter("dose rate", "", 157924, unit_in="INDORTU"),
    "DORT": Parameter("dose rate", "", 157924, unit_in="DORTU"),
    "INDCON": Parameter("drug concentration", "", 157760, unit_in="INDCONU"),
    "INP1": Parameter("pressure level"), "INP2": Parameter("pressure, share of its limit", "%"),
    "LASTDA": Parameter("last device alarm"), "TCIPLA": Parameter("TCI plasma concentration", unit_in="TCIUT"),
    "TCIEFF": Parameter("TCI effect concentration", unit_in="TCIUT"),
    "TCITAR": Parameter("TCI target", unit_in="TCIUT"), "TCIAWA": Parameter("TCI time to awake", "min"),
    "INPSOLL": _set("pressure level set"), "INDOCAL": _set("dose mode"), "OPMODE": _set("operation mode"),
    "INPATW": Parameter("patient's weight", "kg", 68063, _KG, Use.SET),
    "PATW": Parameter("patient's weight", "kg", 68063, _KG, Use.SET),
    "PATH": _set("patient's height", "cm"), "PATAGE": _set("patient's age", "a"), "BOLTYPE": _set("bolus type"),
    "BOLRTSLLOW": _set("bolus rate, lower soft limit", "mL/h"),
    "BOLRTSLHIGH": _set("bolus rate, upper soft limit", "mL/h"), "BOLRTHLHIGH": _set("bolus rate, hard limit", "mL/h"),
    "SLLOW": _set("lower soft limit", unit_in="RTLIMUT"), "SLHIGH": _set("upper soft limit", unit_in="RTLIMUT"),
    "HLHIGH": _set("upper hard limit", unit_in="RTLIMUT"), "TCIMOD": _set("TCI mode"), "TCIMODEL": _set("TCI model"),
    "INSOL": _words("drug"), "INSOLSN": _words("drug, short"), "INSOLID": _words("drug, id"),
    "DRUGCAT": _words("drug category"), "DLNAME": _words("drug library"), "CAREUNIT": _words("care unit"),
    "GNMODEL": _words("model and software"), "VERSION": _words("version"), "INNR": _words("pump"),
    "INSERNUM": _words("serial number"), "INDTNR": _words("type"),
    "PATID": _patient("patient"), "PATIDBADGE": _patient("patient, by badge"),
    "PATIDDRUG": _patient("patient, by drug"), "NURSEID": _patient("nurse"), "DRUGORDERNO": _patient("drug order"),
    # Always 0, or without a value (B 19).
    **dict.fromkeys(("INA4", "INA10", "INM9", "INM11"), _nothing),
    **dict.fromkeys(("INDORTU", "DORTU", "INDCONU", "TCIUT", "RTLIMUT", "BOLVOLLIMUT", "DATE", "TIME"), _nothing),
}  # fmt: skip

# Flags: INA1 to INA16 are each a parameter, ALARM1, ALARM2 and PREALARM are bits of one.
FLAG_ALARMS: Mapping[str, Condition] = {
    "INA1": Condition("battery empty"), "INA2": Condition("syringe empty"), "INA3": Condition("pressure"),
    "INA5": Condition("standby over", _ADVISORY), "INA6": Condition("CC"), "INA7": Condition("end of volume"),
    "INA8": Condition("time over"), "INA9": Condition("syringe"), "INA11": Condition("battery pre-alarm"),
    "INA12": Condition("syringe pre-alarm"), "INA13": Condition("door"), "INA14": Condition("drop"),
    "INA15": Condition("air"), "INA16": Condition("KVO end"),
}  # fmt: skip
_ALARM1 = (
    "calibration data", "battery", "therapy data", "therapy and settings corrupt", "battery voltage", "no battery",
    "battery flat at power-on", "cover open", "syringe empty", "pressure", "pressure, drive blocked", "standby expired",
    "volume infused", "time expired", "claw", "pressure sensor", "holder open", "syringe not inserted right", "KVO end",
    "upstream pressure", "dummy", "drop", "no drops", "too few drops", "too many drops", "free flow", "no drop sensor",
    "air", "bubble", "air rate", "air sensor test",
)  # fmt: skip
_ALARM2 = (
    "data-lock tampering", "PCA hour limit", "SGC end", "take-over syringe end", "take-over failed", "take-over slave",
    "free-flow danger",
)  # fmt: skip
_PREALARM = (
    "no disposable", "volume near end", "time near end", "battery near flat", "KVO", "data lock", "CAN device",
    "piggyback done", "SGC", "occlusion", "pressure leap high", "pressure leap low", "syringe", "slave failure",
    "battery defective",
)  # fmt: skip
# Bit 0 of ALARM1 and PREALARM says that there is none, that of ALARM2 is a dummy.
BIT_ALARMS: Mapping[str, Mapping[int, Condition]] = {
    "ALARM1": {bit: Condition(text) for bit, text in enumerate(_ALARM1, 1)},
    "ALARM2": {
        **{bit: Condition(text) for bit, text in enumerate(_ALARM2, 1)}, 29: Condition("occlusion test"),
        30: Condition("door opened during infusion"), 31: Condition("syringe not secure"),
    },
    "PREALARM": {bit: Condition(text, _ADVISORY) for bit, text in enumerate(_PREALARM, 1)},
}  # fmt: skip

FLAG_STATES: Mapping[str, str] = {
    "INM1": "ready", "INM2": "bolus active", "INM3": "pumping", "INM4": "CC", "INM5": "bolus released",
    "INM6": "standby", "INM7": "data lock", "INM8": "on mains", "INM10": "KVO", "INM12": "below soft limit",
    "INM13": "above soft limit", "INM14": "priming",
}  # fmt: skip
BIT_STATES: Mapping[str, Mapping[int, str]] = {
    "RUNSTATE": dict(enumerate(("stop", "run", "alarm", "KVO", "menu", "pre-alarm"))),
    "STATUS1": {
        **dict(enumerate((
            "on", "mains", "standby", "start-up menu", "prime", "drive parked", "ready", "running", "therapy started",
            "bolus ready", "manual bolus", "volume bolus", "KVO enabled", "KVO active", "data lock", "dose mode",
            "bolus per weight", "patient data",
        ))),
        19: "alarm acknowledged", 20: "pre-alarm acknowledged", 21: "SpaceControl", 22: "air sensor off",
        23: "primary", 24: "editing",
    },
}  # fmt: skip

_TIMES = ("min", "h", "d")


def _units() -> dict[int, str]:
    """Unit codes (B 28-31) in UCUM's way of writing."""
    units = {
        1: "mL/h", 2: "mL", 3: "hh:mm", 22: "kg", 23: "ng", 24: "mg", 25: "ug", 26: "g", 27: "mmol", 28: "meq",
        29: "[iU]", 30: "ng/mL", 31: "mg/mL", 32: "ug/mL", 33: "g/mL", 34: "mmol/mL", 35: "meq/mL", 36: "[iU]/mL",
        37: "ng/kg", 38: "mg/kg", 39: "ug/kg", 40: "g/kg", 41: "mmol/kg", 42: "meq/kg", 43: "[iU]/kg", 86: "mm[Hg]",
        87: "kPa", 89: "mmol/L", 90: "mg/dL", 94: "h", 95: "cm", 117: "m[iU]", 118: "m[iU]/mL", 119: "m[iU]/kg",
        120: "m[iU]/m2", 130: "k[iU]", 131: "k[iU]/mL", 132: "k[iU]/kg", 133: "k[iU]/h", 134: "k[iU]/d",
        135: "k[iU]/kg/h", 136: "k[iU]/kg/d", 137: "M[iU]", 138: "M[iU]/mL", 139: "M[iU]/kg", 140: "M[iU]/h",
        141: "M[iU]/d", 142: "M[iU]/kg/h", 143: "M[iU]/kg/d", 144: "meq/m2", 148: "kcal", 149: "kcal/kg",
        150: "kcal/mL", 151: "kcal/d", 152: "kcal/kg/d", 153: "mL/kg", 154: "mL/mL", 155: "mL/kg/h",
    }  # fmt: skip
    bases = ("ng", "mg", "ug", "g", "mmol", "meq", "[iU]", "ng/kg", "mg/kg", "ug/kg", "g/kg", "mmol/kg", "meq/kg",
             "[iU]/kg")  # fmt: skip
    for place, base in enumerate(bases):
        units |= {44 + 3 * place + n: f"{base}/{time}" for n, time in enumerate(_TIMES)}
    for first, base in ((97, "ng/m2"), (101, "ug/m2"), (105, "mg/m2"), (109, "g/m2"), (113, "[iU]/m2")):
        units[first] = base
        units |= {first + 1 + n: f"{base}/{time}" for n, time in enumerate(_TIMES)}
    for first, base in ((121, "m[iU]"), (124, "m[iU]/kg"), (127, "m[iU]/m2"), (145, "meq/m2")):
        units |= {first + n: f"{base}/{time}" for n, time in enumerate(_TIMES)}
    return units


UNIT_BY_CODE: Mapping[int, str] = _units()
