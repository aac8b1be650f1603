"""What simulated Dräger ventilators measure, are set to and say: codes, masks and words of MEDIBUS.

Documents: "MEDIBUS for Intensive Care Devices" 9028329, 11th edition, 2005 (I): measured data I 27-29, settings I 33,
texts I 34, alarms I 30-33. Primus: the codes of "MEDIBUS for Primus" as a public project transcribed them. MEDIBUS.X
(Evita V500): the names of the second code page as a public receiver has them; the form of their values is told nowhere
and chosen here, and so are all ranges of curves but that of the airway pressure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.patient import Patient, Times

Values = dict[str, float | None]
KPA_PER_MMHG = 0.133322
NEBULIZER_S = (10.0, 20.0)  # of each minute: an advisory of the second code page
MINUTE_S = 60.0
AMBIENT_MBAR = 1013.0
_DIGITS = re.compile(r"X[X.]*")


def filled(mask: str, value: float, width: int) -> str:
    """A value in its mask: right-justified, leading zeros as blanks, `_` a blank, '-' in the first place.

    `*` says that the value may be negative. In a mask that is longer than the field it takes no place.
    """
    mask = mask.removeprefix("*") if len(mask) > width else mask.replace("*", "X")
    digits = _DIGITS.search(mask)
    if digits is None or len(mask) != width:
        raise ValueError(f"no mask of {width}: {mask}")
    decimals = len(digits[0].partition(".")[2])
    text = f"{abs(value):.{decimals}f}".rjust(len(digits[0]))
    if len(text) > len(digits[0]):
        raise ValueError(f"{value} does not fit {mask}")
    field = mask[: digits.start()].replace("_", " ") + text + mask[digits.end() :].replace("_", " ")
    return "-" + field[1:] if value < 0 else field


class Datum(NamedTuple):
    """A measured value: its code, its mask, its name in `measured`, and between which values this code is used.

    `low` and `high` are its alarm limits, None where it has none.
    """

    code: str
    mask: str
    name: str
    least: float = float("-inf")
    below: float = float("inf")
    low: float | None = None
    high: float | None = None


class Setting(NamedTuple):
    """A setting: its code, its mask, its value."""

    code: str
    mask: str
    value: float


class ShownAlarm(NamedTuple):
    """An alarm as it is sent: priority 1 to 31, code, phrase of at most 12."""

    priority: int
    code: str
    phrase: str


@dataclass(frozen=True)
class Curve:
    """A real-time curve: value = low + bin x (high - low) / bins."""

    code: str
    interval_us: int
    low: int
    high: int
    bins: int
    make: Callable[[Patient, Times], Times]

    def binned(self, patient: Patient, t_s: Times) -> NDArray[np.int64]:
        """What is sent."""
        share = (self.make(patient, t_s) - self.low) / (self.high - self.low)
        return np.clip(np.rint(share * self.bins), 0, self.bins).astype(np.int64)


@dataclass(frozen=True)
class Model:
    """A device as it answers: `answers` are the commands whose answer is more than an echo."""

    number: str
    name: str
    level: str
    answers: bytes
    data: tuple[Datum, ...]
    settings: tuple[Setting, ...]
    texts: tuple[tuple[str, str], ...]
    alarms: Callable[[Patient, float], tuple[ShownAlarm, ...]]
    data_2: tuple[Datum, ...] = ()
    alarms_2: Callable[[Patient, float], tuple[ShownAlarm, ...]] = lambda patient, t_s: ()
    curves: tuple[Curve, ...] = ()
    tells_phases: bool = False  # begin of inspiration and expiration, from level 04.03
    tells_clock: bool = False  # sends "time changed"


def measured(patient: Patient, t_s: float) -> Values:
    """What the device measures, None where it measures nothing; mbar, mL, L/min, %, mmHg, 1/min, °C."""
    found = patient.numbers(t_s)
    rr, etco2, insp_ml = found["rr"] or 0.0, found["etco2"], 455.0 + 5 * (patient.seed % 10)
    exp_ml = insp_ml - 7
    return {
        "compliance": 42.4, "resistance": 9.0, "p_min": 7.0, "p_mean": 11.0, "p_plat": 18.0, "peep": 8.0,
        "p_peak": 22.0, "p_01": -1.4, "v_trap": 12.0, "vt_exp": exp_ml, "vt_exp_l": exp_ml / 1000, "vt_insp": insp_ml,
        "rr": rr, "rr_spont": 0.0, "mv": exp_ml * rr / 1000, "mv_spont": 0.0, "temp": found["temp_c"],
        "etco2": etco2, "etco2_percent": None if etco2 is None else 100 * etco2 / 760,
        "etco2_kpa": None if etco2 is None else etco2 * KPA_PER_MMHG,
        "pulse": found["pr"], "spo2": found["spo2"], "fio2": 40.0, "leak": 3.0, "ti": 1.7, "elastance": 23.6,
        "et_o2": 36.0, "in_sev": 2.1, "et_sev": 1.8, "mac": 0.9, "in_n2o": 0.0, "et_n2o": 0.0, "p_amb": AMBIENT_MBAR,
        "flow_air": 600.0, "flow_o2": 400.0, "flow_n2o": 0.0, "in_co2": 0.0, "nif": -31.0,
    }  # fmt: skip


def evita_alarms(patient: Patient, t_s: float) -> tuple[ShownAlarm, ...]:
    """Code page 1 (I 30-32), the gravest first."""
    found = patient.numbers(t_s)
    shown = []
    if not patient.has_finger(t_s):
        shown.append(ShownAlarm(28, "35", "SPO2SEN DISC"))
    spo2 = found["spo2"]
    if spo2 is not None and spo2 < 90:
        shown.append(ShownAlarm(28, "07", "SPO2 LOW"))
    if (found["pr"] or 0) > 100:
        shown.append(ShownAlarm(6, "1E", "SPO2 PULS HI"))
    return tuple(shown)


def evita_alarms_2(patient: Patient, t_s: float) -> tuple[ShownAlarm, ...]:
    """Code page 2 (I 30-33)."""
    begin_s, end_s = NEBULIZER_S
    return (ShownAlarm(3, "98", "NEBULIZER ON"),) if begin_s <= t_s % MINUTE_S < end_s else ()


def primus_alarms(patient: Patient, t_s: float) -> tuple[ShownAlarm, ...]:
    """Code page 1; no document tells the phrases of this family: these are chosen."""
    spo2 = patient.numbers(t_s)["spo2"]
    return (ShownAlarm(31, "08", "O2 LOW"),) if spo2 is not None and spo2 < 90 else ()


def _in_breath(patient: Patient, t_s: Times) -> Times:
    """How far each breath is: inspiration up to 0.4."""
    return patient.breaths(t_s) % 1.0


def is_inspiration(patient: Patient, t_s: float) -> bool:
    """Whether air goes in."""
    return float(patient.breaths(t_s)) % 1.0 < 0.4


def _airway_pressure(patient: Patient, t_s: Times) -> Times:
    breath = _in_breath(patient, t_s)
    return 8 + 14 * np.where(breath < 0.4, np.minimum(1, breath / 0.05), np.exp(-(breath - 0.4) / 0.05))


def _flow(patient: Patient, t_s: Times) -> Times:
    breath = _in_breath(patient, t_s)
    return np.where(breath < 0.4, 45 * np.exp(-breath / 0.15), -50 * np.exp(-(breath - 0.4) / 0.12))


def _volume(patient: Patient, t_s: Times) -> Times:
    breath = _in_breath(patient, t_s)
    return 460 * np.where(breath < 0.4, 1 - np.exp(-breath / 0.1), np.exp(-(breath - 0.4) / 0.12))


def _co2(patient: Patient, t_s: Times) -> Times:
    high = patient.numbers(float(t_s[0]))["etco2"] or 0
    return high * np.clip((_in_breath(patient, t_s) - 0.4) / 0.08, 0, 1)


def _pleth(patient: Patient, t_s: Times) -> Times:
    return 100 * patient.pleth(t_s)


PAW = Curve("00", 8000, -20, 100, 0x3C0, _airway_pressure)
CURVES = (
    PAW,
    Curve("01", 8000, -200, 200, 0xFA0, _flow),
    Curve("03", 8000, 0, 2000, 0xFFF, _volume),
    Curve("06", 16000, 0, 100, 0x3E8, _co2),
    Curve("02", 16000, 0, 100, 0x0FF, _pleth),
)

_EVITA_DATA = (
    Datum("06", "XX.X", "compliance", below=100), Datum("08", "XXX_", "resistance"), Datum("71", "*XXX_", "p_min"),
    Datum("72", "*X.X", "p_01"), Datum("73", "*XXX_", "p_mean"), Datum("74", "*XXX_", "p_plat"),
    Datum("78", "*XXX_", "peep"), Datum("7D", "*XXX_", "p_peak", high=40), Datum("81", "_XXX", "v_trap"),
    Datum("82", "X.XX", "vt_exp_l", high=0.8), Datum("88", "_XXX", "vt_exp", below=1000),
    Datum("8D", "*XXX", "nif"), Datum("B5", "XXX_", "rr_spont"), Datum("7A", "X.XX", "mv_spont", below=1),
    Datum("B7", "XX.X", "mv_spont", least=1), Datum("B8", "X.XX", "mv", below=1, low=3, high=9),
    Datum("B9", "XX.X", "mv", least=1, low=3, high=12), Datum("C1", "_XX_", "temp"),
    Datum("D6", "XXX_", "rr", high=35), Datum("DB", "XX.X", "etco2_percent", low=4, high=7),
    Datum("E3", "XX.X", "etco2_kpa", low=4, high=7), Datum("E6", "XXX_", "etco2", low=30, high=50),
    Datum("E1", "XXX_", "pulse", low=50, high=120), Datum("EB", "XXX_", "spo2", low=90, high=100),
    Datum("F0", "XXX_", "fio2"),
)  # fmt: skip
_SAVINA_DATA = (
    Datum("7D", "*XXX_", "p_peak", high=40), Datum("78", "*XXX_", "peep"), Datum("6F", "XX.X", "ti"),
    Datum("88", "XXXX", "vt_exp", high=800), Datum("B9", "XX.X", "mv", least=1, low=3, high=12),
    Datum("B8", "X.XX", "mv", below=1, low=3, high=9), Datum("D6", "XXX_", "rr", high=35),
    Datum("F0", "XXX_", "fio2", low=35, high=45),
)  # fmt: skip
_PRIMUS_DATA = (
    Datum("06", "XX.X", "compliance"), Datum("73", "*_XX_", "p_mean"), Datum("74", "*_XX_", "p_plat"),
    Datum("78", "*_XX_", "peep"), Datum("7D", "*_XX_", "p_peak", high=40), Datum("88", "XXXX", "vt_exp"),
    Datum("B9", "XX.X", "mv", low=3, high=12), Datum("D5", "XX__", "rr"), Datum("6B", "XXXX", "p_amb"),
    Datum("E6", "XX__", "etco2", low=30, high=50), Datum("E5", "XX__", "in_co2", high=5),
    Datum("EF", "XXX_", "et_o2"), Datum("F0", "XXX_", "fio2", low=25, high=100), Datum("FB", "XXX_", "in_n2o"),
    Datum("FC", "XXX_", "et_n2o"), Datum("B0", "XX.X", "in_sev", high=5), Datum("B1", "XX.X", "et_sev"),
    Datum("DD", "XXXX", "flow_n2o"), Datum("DE", "XXXX", "flow_air"), Datum("E2", "XXXX", "flow_o2"),
)  # fmt: skip
_V500_DATA_2 = (
    Datum("06", "XX.X", "elastance"), Datum("21", "XXXX", "vt_exp", high=800), Datum("22", "XXXX", "vt_insp"),
    Datum("31", "XX.X", "p_peak"), Datum("32", "XX.X", "peep"), Datum("38", "XX.X", "ti"),
)  # fmt: skip
_EVITA_SETTINGS = (
    Setting("01", "_XXX_", 40), Setting("04", "X.XXX", 0.45), Setting("05", "XX.XX", 1.7), Setting("09", "XXX.X", 14),
    Setting("0B", "_XX.X", 8), Setting("12", "_XX.X", 10), Setting("13", "XXX.X", 22), Setting("16", "_XXX_", 35),
    Setting("29", "_XX.X", 5), Setting("2E", "_X.XX", 0.2),
)  # fmt: skip
_SAVINA_SETTINGS = (*_EVITA_SETTINGS[:7], Setting("45", "XXX.X", 20))
_PRIMUS_SETTINGS = (
    Setting("01", "_XXX_", 40), Setting("0A", "XXX.X", 12), Setting("0C", "_XX.X", 5), Setting("2F", "XXXXX", 1000),
    Setting("45", "___XX", 18), Setting("4B", "__XXX", 72),
)  # fmt: skip

_INTENSIVE = b"\x24\x25\x26\x27\x29\x2a\x2e\x52\x53\x6a"
EVITA_XL = Model(
    number="8260", name="EvitaXL", level="04.00", answers=_INTENSIVE, data=_EVITA_DATA, settings=_EVITA_SETTINGS,
    texts=(("0E", "Mode BIPAP"), ("20", "Mode Adults"), ("22", "mmHg")), alarms=evita_alarms,
    alarms_2=evita_alarms_2, curves=CURVES,
)  # fmt: skip
SAVINA = Model(
    number="8250", name="Savina", level="04.00", answers=_INTENSIVE + b"\x28", data=_SAVINA_DATA,
    settings=_SAVINA_SETTINGS, texts=(("0E", "Mode BIPAP"), ("22", "mmHg")), alarms=evita_alarms,
    alarms_2=evita_alarms_2, curves=CURVES[:3], tells_clock=True,
)  # fmt: skip
PRIMUS = Model(
    number="8056", name="Primus", level="04.03", answers=_INTENSIVE + b"\x28\x2b\x2c\x2d", data=_PRIMUS_DATA,
    settings=_PRIMUS_SETTINGS, texts=(("29", "Sevoflurane"), ("38", "N2O"), ("59", "Volume")), alarms=primus_alarms,
    curves=CURVES, tells_phases=True,
)  # fmt: skip
# No document tells its ID number: 0000.
V500 = Model(
    number="0000", name="Evita V500", level="06.00", answers=_INTENSIVE + b"\x28\x2b\x2c\x2d", data=_EVITA_DATA,
    settings=_EVITA_SETTINGS, texts=(("0E", "PC-BIPAP"),), alarms=evita_alarms, data_2=_V500_DATA_2,
    alarms_2=evita_alarms_2, curves=CURVES, tells_phases=True, tells_clock=True,
)  # fmt: skip
MODELS = {"evita_xl": EVITA_XL, "savina": SAVINA, "primus": PRIMUS, "v500": V500}
