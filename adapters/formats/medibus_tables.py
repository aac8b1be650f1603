"""What the codes of Dräger's MEDIBUS mean, family by family.

- Evita, Evita 2, Evita 4, Evita 2 dura, EvitaXL, Savina: "MEDIBUS for Intensive Care Devices", 9028329, pages 13 to 43.
- Primus, Apollo: "MEDIBUS for Primus, Primus IE, Apollo, Pallas", 9037426, as transcribed in a public reader
  (wokai/xenon); the document itself was not seen.
- V500 and others that speak MEDIBUS.X: names as a public reader has them (xeonfusion/VSCaptureDrgVent); no document was
  seen, and so none has a standard code here that the intensive care document does not give it too.

Where a thing has no standard code, or is sent in a unit that the nomenclature has not (mL/s), its record has code 0 and
the device's own code, name and unit. The same code means different things to different families; what an unknown
device sends is read where all families agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.report import AlarmKind

MBAR, LITRE_PER_MIN, LITRE, MILLILITRE, PERCENT = 266098, 265216, 263744, 263762, 262688
MMHG, KPA, CELSIUS, BREATHS, BEATS, SECOND = 266016, 265987, 268192, 264928, 264864, 264320
ML_PER_MIN, ML_PER_MBAR, MBAR_PER_LPS = 265234, 67141635, 67141636

EVITA, SAVINA, ANESTHESIA, MEDIBUS_X, UNKNOWN = "evita", "savina", "anesthesia", "medibus_x", "unknown"
FAMILIES = (EVITA, SAVINA, ANESTHESIA, MEDIBUS_X)


@dataclass(frozen=True)
class Row:
    """A measured value, a limit of it, or a setting: name and unit as the document has them, and MDC codes if known."""

    name: str
    unit: str = ""
    code: int = 0
    mdc_unit: int = 0


@dataclass(frozen=True)
class AlarmRow:
    """What an alarm is: about the patient or the equipment, and which measured values' limit it may tell of."""

    kind: AlarmKind
    about: tuple[str, ...] = ()


_PHYSIOLOGICAL, _TECHNICAL, _ADVISORY = AlarmKind.PHYSIOLOGICAL, AlarmKind.TECHNICAL, AlarmKind.ADVISORY
Rows = Mapping[str, Row]

# One quantity may have several codes, for its ranges or units: of those in one response the first listed is the value.
_EVITA_1: Rows = {
    "06": Row("compliance", "L/bar", 151688, ML_PER_MBAR), "07": Row("compliance", "L/bar", 151688, ML_PER_MBAR),
    "0B": Row("resistance", "mbar/L/s", 151840, MBAR_PER_LPS),
    "08": Row("resistance", "mbar/L/s", 151840, MBAR_PER_LPS),
    "71": Row("Pmin", "mbar", 151794, MBAR), "72": Row("P0.1", "mbar", 151964, MBAR),
    "73": Row("Pmean", "mbar", 151975, MBAR), "74": Row("Pplat", "mbar", 152424, MBAR),
    "78": Row("PEEP", "mbar", 151976, MBAR), "79": Row("PEEPi", "mbar", 151808, MBAR),
    "7D": Row("Ppeak", "mbar", 151973, MBAR), "7A": Row("spontaneous MV", "L/min"),
    "81": Row("Vtrap", "mL", 151992, MILLILITRE), "88": Row("VTe", "mL", 152664, MILLILITRE),
    "82": Row("VTe", "L", 152664, LITRE),
    "89": Row("Vds", "mL", 151984, MILLILITRE), "8A": Row("Vds/VT", "%", 151988, PERCENT),
    "8B": Row("VTasb", "mL"), "8D": Row("NIF", "mbar", 151801, MBAR),
    "09": Row("VCO2", "mL/min", 151776, ML_PER_MIN), "B5": Row("fspn", "1/min", 152498, BREATHS),
    "B7": Row("MVspn", "L/min"),
    "B8": Row("MV", "L/min", 151996, LITRE_PER_MIN), "B9": Row("MV", "L/min", 151996, LITRE_PER_MIN),
    "C1": Row("airway temperature", "°C", 150356, CELSIUS), "C9": Row("RSBI", "1/(L·min)"),
    "D6": Row("f", "1/min", 151586, BREATHS), "E6": Row("etCO2", "mmHg", 151708, MMHG),
    "E3": Row("etCO2", "kPa", 151708, KPA), "DB": Row("etCO2", "%", 151708, PERCENT),
    "E1": Row("pulse", "1/min", 149514, BEATS), "EB": Row("SpO2", "%", 150456, PERCENT),
    "F0": Row("FiO2", "%", 152196, PERCENT),
}  # fmt: skip
_SAVINA_1: Rows = {
    **_EVITA_1, "69": Row("Tplat", "s"), "6F": Row("Ti", "s"), "76": Row("peak flow", "mL/s"),
    "C6": Row("battery", "%", 67996, PERCENT), "C7": Row("O2 accuracy", "%"),
    "E7": Row("I part of I:E"), "E8": Row("E part of I:E"),
}  # fmt: skip
_AGENTS_PERCENT = {
    "F8": Row("inspired isoflurane", "%", 152184, PERCENT), "F9": Row("expired isoflurane", "%", 152100, PERCENT),
    "AE": Row("inspired desflurane", "%", 152168, PERCENT), "AF": Row("expired desflurane", "%", 152084, PERCENT),
    "B0": Row("inspired sevoflurane", "%", 152180, PERCENT), "B1": Row("expired sevoflurane", "%", 152096, PERCENT),
    "F4": Row("inspired halothane", "%", 152176, PERCENT), "F5": Row("expired halothane", "%", 152092, PERCENT),
    "F6": Row("inspired enflurane", "%", 152172, PERCENT), "F7": Row("expired enflurane", "%", 152088, PERCENT),
    "E9": Row("inspired agent", "%", 152464, PERCENT), "EA": Row("expired agent", "%", 152460, PERCENT),
    "ED": Row("inspired second agent", "%"), "EE": Row("expired second agent", "%"),
}  # fmt: skip
_AGENTS_KPA = {
    "50": Row("inspired halothane", "kPa", 152176, KPA), "51": Row("expired halothane", "kPa", 152092, KPA),
    "52": Row("inspired enflurane", "kPa", 152172, KPA), "53": Row("expired enflurane", "kPa", 152088, KPA),
    "54": Row("inspired isoflurane", "kPa", 152184, KPA), "55": Row("expired isoflurane", "kPa", 152100, KPA),
    "56": Row("inspired desflurane", "kPa", 152168, KPA), "57": Row("expired desflurane", "kPa", 152084, KPA),
    "58": Row("inspired sevoflurane", "kPa", 152180, KPA), "59": Row("expired sevoflurane", "kPa", 152096, KPA),
    "5A": Row("inspired agent", "kPa", 152464, KPA), "5B": Row("expired agent", "kPa", 152460, KPA),
    "5C": Row("inspired second agent", "kPa"), "5D": Row("expired second agent", "kPa"),
}  # fmt: skip
_ANESTHESIA_1: Rows = {
    "05": Row("Paw", "mbar", 151792, MBAR), "06": Row("compliance", "mL/mbar", 151688, ML_PER_MBAR),
    "73": Row("Pmean", "mbar", 151975, MBAR), "74": Row("Pplat", "mbar", 152424, MBAR),
    "78": Row("PEEP", "mbar", 151976, MBAR), "7D": Row("Ppeak", "mbar", 151973, MBAR),
    "88": Row("VT", "mL", 151980, MILLILITRE), "B9": Row("MV", "L/min", 151996, LITRE_PER_MIN),
    "B4": Row("respiratory rate, pressure", "1/min"), "D5": Row("respiratory rate, CO2", "1/min", 151594, BREATHS),
    "D7": Row("respiratory rate, flow", "1/min", 151570, BREATHS),
    "D9": Row("respiratory rate", "1/min", 151562, BREATHS), "BD": Row("apnea duration", "s", 151856, SECOND),
    "64": Row("O2 uptake", "10 mL/min"), "6B": Row("ambient pressure", "mbar"), "B2": Row("leakage", "mL/min"),
    "C4": Row("O2 difference", "%"), "E5": Row("inspired CO2", "mmHg", 151716, MMHG),
    "E6": Row("etCO2", "mmHg", 151708, MMHG), "FF": Row("inspired CO2", "kPa", 151716, KPA),
    "E3": Row("etCO2", "kPa", 151708, KPA), "DA": Row("inspired CO2", "%", 151716, PERCENT),
    "DB": Row("etCO2", "%", 151708, PERCENT), "F0": Row("FiO2", "%", 152196, PERCENT),
    "EF": Row("etO2", "%", 152440, PERCENT), "FB": Row("inspired N2O", "%", 152192, PERCENT),
    "FC": Row("expired N2O", "%", 152108, PERCENT), "DD": Row("N2O flow", "mL/min"), "DE": Row("air flow", "mL/min"),
    "E2": Row("O2 flow", "mL/min"), "AC": Row("inspired MAC"), "AD": Row("expired MAC"),
    "1B": Row("used halothane", "mL"), "1C": Row("used enflurane", "mL"), "1D": Row("used isoflurane", "mL"),
    "1E": Row("used desflurane", "mL"), "1F": Row("used sevoflurane", "mL"), **_AGENTS_PERCENT, **_AGENTS_KPA,
    "E1": Row("pulse", "1/min", 149514, BEATS), "EB": Row("SpO2", "%", 150456, PERCENT),
}  # fmt: skip
_MEDIBUS_X_1: Rows = {
    **{code: row for code, row in _EVITA_1.items() if code not in ("8B",)},
    "03": Row("MVe", "L/min"), "0A": Row("MVespon", "L/min"), "0D": Row("MVemand", "L/min"),
    "16": Row("VTmand", "mL"), "3C": Row("Cdyn mean"), "68": Row("VTispon", "mL"), "7B": Row("RRmand", "1/min"),
    "7C": Row("MVmand", "L/min"), "83": Row("VTemand", "mL"), "84": Row("VTespon", "mL"), "85": Row("VTimand", "mL"),
    "86": Row("VThf", "mL"), "8B": Row("VTi", "mL"), "B3": Row("leakage", "%"), "B6": Row("MVspon", "%"),
}  # fmt: skip
_MEDIBUS_X_2: Rows = {
    "00": Row("VTspon", "mL"), "03": Row("Phf"), "06": Row("elastance", "mbar/L"), "07": Row("TC", "s"),
    "09": Row("TCe"), "0A": Row("Cstat"), "0B": Row("C20/Cdyn"), "0D": Row("RSBI"), "21": Row("VTe"),
    "22": Row("VTi", "mL"), "23": Row("EIP", "mbar"), "24": Row("Tlow", "s"), "25": Row("VTCO2"), "31": Row("Phigh"),
    "32": Row("Plow"), "37": Row("MVleak", "L/min"), "38": Row("Ti", "s"),
}  # fmt: skip

_EVITA_SETTINGS: Rows = {
    "01": Row("O2", "%"), "02": Row("maximum flow", "L/min"), "04": Row("VT", "L", 16929196, LITRE),
    "05": Row("Ti", "s", 16929632, SECOND), "07": Row("I part of I:E"), "08": Row("E part of I:E"),
    "09": Row("f", "1/min"), "0B": Row("PEEP", "mbar"), "0C": Row("intermittent PEEP", "mbar"),
    "0D": Row("Plow, APRV", "mbar"), "0E": Row("Phigh, APRV", "mbar"), "0F": Row("Tlow", "s"), "10": Row("Thigh", "s"),
    "11": Row("Tapnea", "s"), "12": Row("ASB", "mbar"), "13": Row("Pmax/Pinsp", "mbar"), "16": Row("ftachy", "1/min"),
    "29": Row("trigger", "L/min"), "2E": Row("ramp", "s"), "3C": Row("flow assist"), "3D": Row("volume assist"),
    "4E": Row("Tdisconnect", "s"),
}  # fmt: skip
_SAVINA_SETTINGS: Rows = {
    **_EVITA_SETTINGS, "42": Row("backup f", "1/min"), "44": Row("backup VT", "L"), "45": Row("Pinsp", "mbar"),
    "4F": Row("flow acceleration", "mbar/s"),
}  # fmt: skip
_ANESTHESIA_SETTINGS: Rows = {
    "01": Row("O2", "%"), "04": Row("VT", "L", 16929196, LITRE), "05": Row("Ti", "s", 16929632, SECOND),
    "0A": Row("f", "1/min"), "0C": Row("PEEP", "mbar"), "12": Row("pressure support", "mbar"),
    "13": Row("Pmax/Pinsp", "mbar"), "27": Row("Tip:Ti", "%"), "29": Row("trigger", "L/min"), "2E": Row("ramp", "s"),
    "2F": Row("fresh gas flow", "mL/min"), "42": Row("minimum f", "1/min"), "45": Row("Pinsp", "mbar"),
    "4A": Row("age"), "4B": Row("weight", "kg"),
}  # fmt: skip
_MEDIBUS_X_SETTINGS: Rows = {
    **_EVITA_SETTINGS, "40": Row("VTi", "mL"), "46": Row("compensation", "%"), "47": Row("tube", "mm"),
    "6E": Row("VTapnea"), "6F": Row("ideal body weight"), "83": Row("height", "cm"), "85": Row("VTmax"),
}  # fmt: skip

_MINUTE_VOLUME, _CO2 = ("B9", "B8"), ("E6", "E3", "DB")
_COMMON_ALARMS_1 = {
    "02": AlarmRow(_PHYSIOLOGICAL, ("E1",)), "07": AlarmRow(_PHYSIOLOGICAL, ("EB",)),
    "08": AlarmRow(_PHYSIOLOGICAL, ("F0",)), "10": AlarmRow(_PHYSIOLOGICAL, ("7D",)),
    "19": AlarmRow(_PHYSIOLOGICAL, _MINUTE_VOLUME), "1E": AlarmRow(_PHYSIOLOGICAL, ("E1",)),
    "22": AlarmRow(_PHYSIOLOGICAL, ("EB",)), "27": AlarmRow(_PHYSIOLOGICAL, _CO2),
    "28": AlarmRow(_PHYSIOLOGICAL, _CO2), "37": AlarmRow(_PHYSIOLOGICAL, ("F0",)),
    "9B": AlarmRow(_PHYSIOLOGICAL, _MINUTE_VOLUME),
}  # fmt: skip
_EVITA_ALARMS_1 = {
    **_COMMON_ALARMS_1, "01": AlarmRow(_PHYSIOLOGICAL, ("EB",)), "90": AlarmRow(_PHYSIOLOGICAL, ("D6",)),
    "98": AlarmRow(_PHYSIOLOGICAL), "9A": AlarmRow(_PHYSIOLOGICAL, ("7D",)), "DA": AlarmRow(_PHYSIOLOGICAL, ("78",)),
    "E8": AlarmRow(_PHYSIOLOGICAL, ("88", "82")), "BA": AlarmRow(_TECHNICAL, ("C1",)),
    **dict.fromkeys(
        ("12", "13", "35", "3E", "42", "4B", "64", "68", "6A", "9F", "A1", "A4", "AD", "B0", "B8", "BD", "C6", "C7",
         "C8", "CA", "D9", "E6", "E7", "EA"), AlarmRow(_TECHNICAL)),
    **dict.fromkeys(("57", "5B", "AC", "C4", "E9"), AlarmRow(_ADVISORY)),
}  # fmt: skip
_EVITA_ALARMS_2 = {
    "93": AlarmRow(_PHYSIOLOGICAL),
    **dict.fromkeys(("3B", "3C", "5C", "69", "6A", "90", "91", "94", "96", "9C"), AlarmRow(_TECHNICAL)),
    **dict.fromkeys(("5A", "66", "67", "68", "6B", "95", "98", "99", "9E", "9F"), AlarmRow(_ADVISORY)),
}
_ANESTHESIA_ALARMS_1 = {
    **_COMMON_ALARMS_1,
    **dict.fromkeys(("00", "0D", "0E", "0F", "09", "0B", "0C", "1F", "24", "3C"), AlarmRow(_PHYSIOLOGICAL)),
    **dict.fromkeys(("11", "13", "3D", "A0", "C1", "C8", "ED", "EF", "F3"), AlarmRow(_TECHNICAL)),
}
_ANESTHESIA_ALARMS_2 = {
    **dict.fromkeys(("A2", "A3", "A4", "A5", "A6"), AlarmRow(_PHYSIOLOGICAL)),
    **dict.fromkeys(("31", "35", "36", "37", "8D", "CA", "CB"), AlarmRow(_TECHNICAL)),
}


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Texts that say how the patient is ventilated, and what else a person has chosen: settings rather than events.
_EVITA_MODES = _codes("01 02 06 07 0A 0B 0C 0D 0E 0F 10 11 1A 2D 2E 2F 30 31 32 33 35 47 20 21 3A 1E 48 49")
_ANESTHESIA_MODES = _codes("25 26 27 28 29 2A 2B 34 37 38 53 54 58 59 5A 5B 5C 5D 5E")
_MEDIBUS_X_MODES = _codes("01 02 06 0A 0C 0D 0E 18 1A 1B 3E 47 6A 6B 69 74")


@dataclass(frozen=True)
class Family:
    """The tables of one family: measured data by response, settings, alarms by response, and texts that are modes."""

    data: Mapping[int, Rows]
    settings: Rows
    alarms: Mapping[int, Mapping[str, AlarmRow]]
    modes: frozenset[str]


_BY_NAME = {
    EVITA: Family({1: _EVITA_1, 2: {}}, _EVITA_SETTINGS, {1: _EVITA_ALARMS_1, 2: _EVITA_ALARMS_2}, _EVITA_MODES),
    SAVINA: Family(
        {1: _SAVINA_1, 2: {}}, _SAVINA_SETTINGS, {1: _EVITA_ALARMS_1, 2: _EVITA_ALARMS_2}, _EVITA_MODES | {"55"}
    ),
    ANESTHESIA: Family(
        {1: _ANESTHESIA_1, 2: {}}, _ANESTHESIA_SETTINGS, {1: _ANESTHESIA_ALARMS_1, 2: _ANESTHESIA_ALARMS_2},
        _ANESTHESIA_MODES,
    ),
    MEDIBUS_X: Family({1: _MEDIBUS_X_1, 2: _MEDIBUS_X_2}, _MEDIBUS_X_SETTINGS, {1: {}, 2: {}}, _MEDIBUS_X_MODES),
}  # fmt: skip


def _agreed(tables: list[Rows]) -> Rows:
    """What all families that have a code at all say alike, and at least two have."""
    codes = {code for table in tables for code in table}
    agreed = {}
    for code in sorted(codes):
        rows = [table[code] for table in tables if code in table]
        if len(rows) > 1 and len(set(rows)) == 1:
            agreed[code] = rows[0]
    return agreed


_of_unknown = Family(
    {page: _agreed([family.data[page] for family in _BY_NAME.values()]) for page in (1, 2)},
    _agreed([family.settings for family in _BY_NAME.values()]), {1: {}, 2: {}}, frozenset(),
)  # fmt: skip

FAMILY_BY_NAME: Mapping[str, Family] = {**_BY_NAME, UNKNOWN: _of_unknown}
FAMILY_BY_ID: Mapping[str, str] = {
    "8200": EVITA, "8210": EVITA, "8230": EVITA, "8240": EVITA, "8260": EVITA, "7012": EVITA, "8300": EVITA,
    "8250": SAVINA, "8056": ANESTHESIA,
}  # fmt: skip

# Keys that are active (9028329, pages 14 and 36).
ALARM_SILENCE = "32"
KEY_NAMES: Mapping[str, str] = {
    ALARM_SILENCE: "alarm silence", "33": "nebulizer", "34": "display stopped", "35": "O2 calibration",
    "36": "O2 monitoring off", "37": "suction", "38": "flow calibration", "39": "CO2 calibration",
    "40": "flow monitoring", "41": "FiO2 monitoring", "42": "SpO2 monitoring", "43": "CO2 monitoring",
    "44": "paediatric flow sensor",
}  # fmt: skip

# Real-time curves (P 16-23): code, row.
CURVE_ROWS: Rows = {
    "00": Row("Paw", "mbar", 151792, MBAR), "01": Row("flow", "L/min", 151764, LITRE_PER_MIN),
    "02": Row("pleth", "%", 150452, PERCENT), "03": Row("volume", "mL"), "05": Row("O2", "%", 151908, PERCENT),
    "06": Row("CO2", "mmHg", 151700, MMHG), "07": Row("CO2", "kPa", 151700, KPA),
    "08": Row("CO2", "%", 151700, PERCENT), "0A": Row("agent", "%"), "0B": Row("halothane", "%"),
    "0C": Row("enflurane", "%"), "0D": Row("isoflurane", "%"), "0E": Row("desflurane", "%"),
    "0F": Row("sevoflurane", "%"), "1C": Row("Ptrach", "mbar"), "1E": Row("device flow", "L/min"),
    "20": Row("inspiratory flow", "L/min"), "21": Row("expiratory flow", "L/min"),
    "24": Row("expired volume", "mL"), "2A": Row("agent", "kPa"), "2B": Row("halothane", "kPa"),
    "2C": Row("enflurane", "kPa"), "2D": Row("isoflurane", "kPa"), "2E": Row("desflurane", "kPa"),
    "2F": Row("sevoflurane", "kPa"),
}  # fmt: skip
CURVE_CODES: Mapping[str, tuple[str, ...]] = {
    "paw": ("00",), "flow": ("01",), "pleth": ("02",), "volume": ("03",), "o2": ("05",), "co2": ("06", "07", "08"),
    "agent": ("0A", "0B", "0C", "0D", "0E", "0F", "2A", "2B", "2C", "2D", "2E", "2F"), "ptrach": ("1C",),
    "device_flow": ("1E",), "insp_flow": ("20",), "exp_flow": ("21",), "exp_volume": ("24",),
}  # fmt: skip
