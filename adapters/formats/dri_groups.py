"""What stands where in the physiological data of an S/5 monitor (DRI): the basic class and the first extended one.

"S/5 System Interface, Datex-Ohmeda Record Specification" 8005313 (12th edition, 2020), pages 13-45. A group is 4 bytes
of status, 2 of label and its values, 16 bits each; the table gives each group's place in the 270 bytes of its class.

Codes are IEEE 11073's where there is one; what has none keeps the document's own name. Left out, because the document's
words leave them open: the arrhythmia level in ext1's status bits 15-19.
"""

from __future__ import annotations

from dataclasses import dataclass

PERCENT, PER_MIN_BEAT, PER_MIN_BREATH = 262688, 264864, 264928
MILLI_M, MMHG, CM_H2O, DEGC = 263442, 266016, 266048, 268192
MILLI_L, ML_PER_MIN, L_PER_MIN, ML_PER_CM_H2O, MILLI_SEC = 263762, 265234, 265216, 268050, 264338
DIMLESS, MILLI_VOLT, MICRO_VOLT, OHM, MILLI_BAR = 262656, 266418, 266419, 266432, 266098

ECG_HEART_RATE, PULSE_RATE = 147842, 149514
ECG_SOURCES = (0, 1, 9)  # of the status bits 3-6: none, ECG, Mortara


@dataclass(frozen=True)
class Value:
    """One value of a group: raw x 10^exponent in its unit. `code` 0: it has no standard code, its name stands for it.

    `channel` tells it from another value of the same code in the same monitor, "" where it needs no such word.
    """

    name: str
    code: int = 0
    unit: int = 0
    exponent: int = 0
    sent_unit: str = ""
    channel: str = ""


@dataclass(frozen=True)
class StatusField:
    """Several bits of a status or label that hold one number, with a word for each number."""

    name: str
    first_bit: int
    words: tuple[str, ...]

    def word(self, status: int) -> str:
        """What it says; the bare number where the document has no word for it, "" where it says nothing."""
        number = status >> self.first_bit & (1 << (len(self.words) - 1).bit_length()) - 1
        found = self.words[number] if number < len(self.words) else str(number)
        return f"{self.name} {found}" if found else ""


@dataclass(frozen=True)
class Group:
    """A group, by its place. `labels` are words for the label as a number, `label_bits` for its single bits.

    Values are calibrating, doubtful or no measurement while one of these status bits is set. `old_bit` of the label:
    the values are of one measurement, and more than a minute old.
    """

    name: str
    at: int
    values: tuple[Value, ...]
    status_bits: tuple[tuple[int, str], ...] = ()
    status_fields: tuple[StatusField, ...] = ()
    labels: tuple[str, ...] = ()
    label_bits: tuple[tuple[int, str], ...] = ()
    label_fields: tuple[StatusField, ...] = ()
    calibrating: tuple[int, ...] = ()
    doubtful: tuple[int, ...] = ()
    invalid: tuple[int, ...] = ()
    old_bit: int | None = None
    values_at: int = 6


PRESSURE_LABELS = (
    "", "ART", "CVP", "PA", "RAP", "RVP", "LAP", "ICP", "ABP", "P1", "P2", "P3", "P4", "P5", "P6", "SP", "FEM", "UAC",
    "UVC", "ICP2", "P7", "P8", "FEMV",
)  # fmt: skip
TEMPERATURE_LABELS = (
    "", "ESO", "NASO", "TYMP", "RECT", "BLAD", "AXIL", "SKIN", "AIRW", "ROOM", "MYO", "T1", "T2", "T3", "T4", "CORE",
    "SURF", "T5", "T6",
)  # fmt: skip
AGENT_LABELS = ("unknown", "none", "HAL", "ENF", "ISO", "DES", "SEV")
ECG_LEADS = ("", "I", "II", "III", "aVR", "aVL", "aVF", "V")

# By label: systolic, diastolic, mean, and the wave; 0 where there is no code.
PRESSURE_CODES = {
    **dict.fromkeys(("", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8"), (150017, 150018, 150019, 150016)),
    "ART": (150033, 150034, 150035, 150032),
    "ABP": (150037, 150038, 150039, 150036),
    "PA": (150045, 150046, 150047, 150044),
    "CVP": (150085, 150086, 150087, 150084),
    "RAP": (150069, 150070, 150071, 150068),
    "LAP": (150065, 150066, 150067, 150064),
    "ICP": (153609, 153610, 153611, 153608),
    "ICP2": (153609, 153610, 153611, 153608),
    "UAC": (150057, 150058, 150059, 150056),
    "UVC": (150089, 150090, 150091, 150088),
}  # fmt: skip
NO_PRESSURE_CODES = (0, 0, 0, 0)
TEMPERATURE_CODES = {
    **dict.fromkeys(("", "T1", "T2", "T3", "T4", "T5", "T6"), 150344),
    "ESO": 150372, "NASO": 150380, "TYMP": 150392, "RECT": 188420, "BLAD": 150348, "AXIL": 188496, "SKIN": 150388,
    "AIRW": 150356, "CORE": 150368,
}  # fmt: skip
AGENT_CODES = {  # end-tidal, inspired
    "HAL": (152092, 152176), "ENF": (152088, 152172), "ISO": (152100, 152184),
    "DES": (152084, 152168), "SEV": (152096, 152180),
}  # fmt: skip
AGENT_CODES_OF_OTHERS = (152460, 152464)
ST_CODES = {
    "I": 131841, "II": 131842, "III": 131901, "aVL": 131903, "aVR": 131902, "aVF": 131904, "V1": 131843, "V2": 131844,
    "V3": 131845, "V4": 131846, "V5": 131847, "V6": 131848,
}  # fmt: skip
ECG_WAVE_CODES = {"I": 131329, "II": 131330, "III": 131389, "aVR": 131390, "aVL": 131391, "aVF": 131392, "V": 131395}
ECG_WAVE_CODE_OF_OTHERS = 131328

_HR_SOURCE = StatusField(
    "HR source", 3, ("", "ECG", "P1", "P2", "P3", "P4", "pleth", "P5", "P6", "Mortara", "P7", "P8", "pleth 2")
)


def _pressure(name: str, at: int) -> Group:
    """Systolic, diastolic, mean, and the rate of its pulse."""
    return Group(
        name, at,
        values=(
            Value("sys", 0, MMHG, -2, "mmHg", name),
            Value("dia", 0, MMHG, -2, "mmHg", name),
            Value("mean", 0, MMHG, -2, "mmHg", name),
            Value("hr", 149522, PER_MIN_BEAT, 0, "1/min", name),
        ),
        status_bits=((2, "zeroing"), (3, "zeroed")),
        labels=PRESSURE_LABELS,
        calibrating=(2,),
    )  # fmt: skip


def _temperature(name: str, at: int) -> Group:
    return Group(name, at, (Value("temp", 0, DEGC, -2, "°C", name),), labels=TEMPERATURE_LABELS)


def _saturation(name: str, at: int, channel: str) -> Group:
    return Group(
        name, at,
        values=(
            Value("SpO2", 150456, PERCENT, -2, "%", channel),
            Value("pr", 149530, PER_MIN_BEAT, 0, "1/min", channel),
            Value("ir_amp", 0, PERCENT, -2, "%", channel),
            Value("SvO2", 150332, PERCENT, -2, "%", name),
        ),
        labels=("SO2", "SaO2", "SvO2"),
    )  # fmt: skip


def _gas(name: str, at: int, codes: tuple[int, int]) -> Group:
    et, fi = codes
    return Group(
        name, at,
        values=(Value("et", et, PERCENT, -2, "%"), Value("fi", fi, PERCENT, -2, "%")),
        status_bits=((2, "calibrating"), (3, "off")),
        calibrating=(2,),
    )  # fmt: skip


BASIC = (
    Group(
        "ECG", 0,
        values=(
            Value("hr", ECG_HEART_RATE, PER_MIN_BEAT, 0, "1/min"),
            Value("st1", 0, MILLI_M, -2, "mm", "ST1"),
            Value("st2", 0, MILLI_M, -2, "mm", "ST2"),
            Value("st3", 0, MILLI_M, -2, "mm", "ST3"),
            Value("imp_rr", 151578, PER_MIN_BREATH, 0, "1/min"),
        ),
        status_bits=(
            (2, "asystole"), (7, "noise"), (8, "artifact"), (9, "learning"), (10, "pacer"), (11, "channel 1 off"),
            (12, "channel 2 off"), (13, "channel 3 off"),
        ),
        status_fields=(_HR_SOURCE,),
        doubtful=(7, 8, 9),
    ),
    _pressure("P1", 16), _pressure("P2", 30), _pressure("P3", 44), _pressure("P4", 58),
    Group(
        "NIBP", 72,
        values=(
            Value("sys", 150021, MMHG, -2, "mmHg"),
            Value("dia", 150022, MMHG, -2, "mmHg"),
            Value("mean", 150023, MMHG, -2, "mmHg"),
            Value("hr", 149546, PER_MIN_BEAT, 0, "1/min"),
        ),
        label_bits=(
            (3, "auto"), (4, "stat"), (5, "measuring"), (6, "stasis"), (7, "calibrating"), (8, "older than 60 s"),
        ),
        old_bit=8,
    ),
    _temperature("T1", 86), _temperature("T2", 94), _temperature("T3", 102), _temperature("T4", 110),
    _saturation("SpO2", 118, ""),
    Group(
        "CO2", 132,
        values=(
            Value("et", 151708, PERCENT, -2, "%"),
            Value("fi", 151716, PERCENT, -2, "%"),
            Value("rr", 151594, PER_MIN_BREATH, 0, "1/min"),
            Value("amb", 0, MMHG, -1, "mmHg"),
        ),
        status_bits=(
            (2, "apnea CO2"), (3, "calibrating"), (4, "zeroing"), (5, "occlusion"), (6, "air leak"), (7, "apnea resp"),
            (8, "apnea off"), (9, "wet"),
        ),
        label_fields=(StatusField("RR source", 0, ("", "CO2", "impedance", "", "")),),
        calibrating=(3, 4),
        doubtful=(5, 6, 9),
    ),
    _gas("O2", 146, (152440, 152196)),
    _gas("N2O", 156, (152108, 152192)),
    Group(
        "AA", 166,
        values=(
            Value("et", 0, PERCENT, -2, "%"), Value("fi", 0, PERCENT, -2, "%"), Value("MAC", 0, DIMLESS, -2, "MAC"),
        ),
        status_bits=((2, "calibrating"), (3, "off")),
        labels=AGENT_LABELS,
        calibrating=(2,),
    ),
    Group(
        "Flow&Vol", 178,
        values=(
            Value("rr", 151570, PER_MIN_BREATH, 0, "1/min"),
            Value("ppeak", 151817, CM_H2O, -2, "cmH2O"),
            Value("peep", 151976, CM_H2O, -2, "cmH2O"),
            Value("pplat", 151784, CM_H2O, -2, "cmH2O"),
            Value("tv_insp", 152660, MILLI_L, -1, "ml"),
            Value("tv_exp", 152664, MILLI_L, -1, "ml"),
            Value("compl", 151688, ML_PER_CM_H2O, -2, "ml/cmH2O"),
            Value("mv_exp", 152000, L_PER_MIN, -2, "l/min"),
        ),
        status_bits=(
            (2, "disconnected"), (3, "calibrating"), (4, "zeroing"), (5, "obstruction"), (6, "leak"), (7, "off"),
        ),
        status_fields=(StatusField("conditions", 8, ("ATPD", "NTPD", "BTPS", "STPD")),),
        calibrating=(3, 4),
        doubtful=(2, 5, 6),
    ),
    Group(
        "CO", 200,
        values=(
            Value("co", 150276, ML_PER_MIN, 0, "ml/min"),
            Value("blood", 188436, DEGC, -2, "°C"),
            Value("ref", 0, PERCENT, -2, "%"),
        ),
        label_bits=((0, "CO older than 60 s"), (1, "PCWP older than 60 s")),
        label_fields=(StatusField("mode", 2, ("", "bolus", "continuous", "", "")),),
        old_bit=0,
    ),
    Group("PCWP", 200, (Value("pcwp", 150052, MMHG, -2, "mmHg"),), old_bit=1, values_at=12),
    Group(
        "NMT", 214,
        values=(Value("t1", 0, PERCENT, -1, "%"), Value("tratio", 0, PERCENT, -1, "%"), Value("ptc")),
        status_bits=((6, "supramaximal"), (7, "calibrated")),
        status_fields=(
            StatusField("mode", 2, ("TOF", "DBS", "ST", "PTC")),
            StatusField("pulse", 4, ("", "100 us", "200 us", "300 us")),
        ),
    ),
    Group(
        "SvO2", 232,
        values=(Value("SvO2", 150332, PERCENT, -2, "%"),),
        status_bits=(
            (2, "calibrated more than 24 h ago"), (3, "faulty cable"), (4, "no cable"), (5, "not calibrated"),
            (6, "recalibrate"), (7, "out of range"), (8, "check catheter"), (9, "intensity shift"),
        ),
        labels=("SO2", "SaO2", "SvO2"),
        calibrating=(5,),
        doubtful=(2, 6, 7, 8, 9),
        invalid=(3, 4),
    ),
    _pressure("P5", 240), _pressure("P6", 254),
)  # fmt: skip
# Without a header of its own: valid as the ECG group is.
ECG_EXTRA_AT = 226
ECG_EXTRA = tuple(Value(name, 0, PER_MIN_BEAT, 0, "1/min") for name in ("hr_ecg", "hr_max", "hr_min"))

EXT1 = (
    Group(
        "arrhythmia", 0,
        values=(
            Value("hr", 0, PER_MIN_BEAT, 0, "1/min"),
            Value("rr_time", 0, MILLI_SEC, 0, "ms"),
            Value("pvc", 148066, PER_MIN_BEAT, 0, "1/min"),
        ),
    ),
    Group(
        "ECG12", 48,
        values=tuple(
            Value(lead, ST_CODES[lead], MILLI_M, -2, "mm")
            for lead in ("I", "II", "III", "aVL", "aVR", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
        ),
        status_bits=(
            (20, "V1 derived"), (21, "V2 derived"), (22, "V3 derived"), (23, "V4 derived"), (24, "V5 derived"),
            (25, "V6 derived"),
        ),
    ),
    _pressure("P7", 78), _pressure("P8", 92),
    _saturation("SpO2 2", 106, "SpO2 2"),
    _temperature("T5", 120), _temperature("T6", 128),
)  # fmt: skip
ARRHYTHMIA_AT = 12  # 4 bytes behind the group's three values
ARRHYTHMIAS = (
    "asystole", "VF", "rapid VT", "VT", "extreme brady", "extreme tachy", "PVC run", "long RR", "triplet", "couplet",
    "R-on-T", "idioventricular", "bigeminy", "trigeminy", "frequent PVC", "multifocal", "SVT", "frequent SVC",
    "missing beat", "unclassified", "noisy", "problem QRS", "low amplitude", "salvo", "pacer non-function",
    "non-capture", "new QRS", "brady", "tachy", "ventricular brady", "arrhythmia off", "no telemetry",
)  # fmt: skip
CLASSES = {0: BASIC, 1: EXT1}


@dataclass(frozen=True)
class Wave:
    """A waveform type: its name in the settings, its rate, and raw x 10^exponent in its unit.

    `pressure` and `ecg` name the group, or the channel, whose label says what it is of.
    """

    name: str
    rate_hz: int
    code: int
    unit: int
    exponent: int
    sent_unit: str
    pressure: str = ""
    ecg: int = 0
    channel: str = ""


def _pressure_wave(number: int) -> Wave:
    return Wave(f"p{number}", 100, 0, MMHG, -2, "mmHg", pressure=f"P{number}", channel=f"P{number}")


def _ecg_wave(number: int) -> Wave:
    return Wave(f"ecg{number}", 300, 0, MILLI_VOLT, -3, "mV", ecg=number, channel=f"ECG{number}")


# By type (pages 65-69), as far as the rate is one number.
WAVES = {
    1: _ecg_wave(1), 2: _ecg_wave(2), 3: _ecg_wave(3),
    4: _pressure_wave(1), 5: _pressure_wave(2), 6: _pressure_wave(3), 7: _pressure_wave(4),
    16: _pressure_wave(5), 17: _pressure_wave(6), 36: _pressure_wave(7), 37: _pressure_wave(8),
    8: Wave("pleth", 100, 150452, DIMLESS, -4, "1"),
    38: Wave("pleth2", 100, 150452, DIMLESS, -4, "1", channel="SpO2 2"),
    9: Wave("co2", 25, 151700, PERCENT, -2, "%"),
    10: Wave("o2", 25, 151908, PERCENT, -2, "%"),
    11: Wave("n2o", 25, 0, PERCENT, -2, "%"),
    12: Wave("aa", 25, 0, PERCENT, -2, "%"),
    13: Wave("awp", 25, 151792, CM_H2O, -1, "cmH2O"),
    14: Wave("flow", 25, 151764, L_PER_MIN, -1, "l/min"),
    15: Wave("resp", 25, 151780, OHM, -2, "Ohm"),
    23: Wave("volume", 25, 0, MILLI_L, 0, "ml"),
    24: Wave("tono", 25, 0, MILLI_BAR, -1, "mbar"),
    32: Wave("entropy", 100, 0, MICRO_VOLT, -1, "uV"),
    35: Wave("bis", 300, 0, MICRO_VOLT, 0, "uV"),
}  # fmt: skip
WAVE_TYPES = {wave.name: number for number, wave in WAVES.items()}
