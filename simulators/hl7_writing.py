"""What the dialects of HL7 have in common: segments by the numbers of their fields, beds, and MDC codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simulators.acked_log import SentReport
from simulators.bed_alarms import AlarmCourse
from simulators.hl7_oru import Message
from simulators.patient import Patient

EUI64, EUI48 = 16, 12  # digits; Mindray's gateways write the shorter one
_BPM, _RPM = "264864^MDC_DIM_BEAT_PER_MIN", "264928^MDC_DIM_RESP_PER_MIN"
_PERCENT, _MMHG, _DEGC = "262688^MDC_DIM_PERCENT", "266016^MDC_DIM_MMHG", "268192^MDC_DIM_DEGC"
MDC_BY_CHANNEL = {
    "hr": ("147842^MDC_ECG_HEART_RATE", _BPM),
    "pvc": ("148066^MDC_ECG_V_P_C_RATE", _BPM),
    "spo2": ("150456^MDC_PULS_OXIM_SAT_O2", _PERCENT),
    "pr": ("149530^MDC_PULS_OXIM_PULS_RATE", _BPM),
    "rr": ("151562^MDC_RESP_RATE", _RPM),
    "temp_c": ("150344^MDC_TEMP", _DEGC),
    "abp_sys": ("150033^MDC_PRESS_BLD_ART_SYS", _MMHG),
    "abp_dia": ("150034^MDC_PRESS_BLD_ART_DIA", _MMHG),
    "abp_mean": ("150035^MDC_PRESS_BLD_ART_MEAN", _MMHG),
    "nibp_sys": ("150021^MDC_PRESS_BLD_NONINV_SYS", _MMHG),
    "nibp_dia": ("150022^MDC_PRESS_BLD_NONINV_DIA", _MMHG),
    "nibp_mean": ("150023^MDC_PRESS_BLD_NONINV_MEAN", _MMHG),
}
GE_MDS = "69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
VMD_NODES = {
    5: "69798^MDC_DEV_ECG_VMD",
    6: "70666^MDC_DEV_ECG_RESP_VMD",
    13: "69854^MDC_DEV_METER_PRESS_BLD_VMD",
    14: "69854^MDC_DEV_METER_PRESS_BLD_VMD",
    20: "69682^MDC_DEV_AWAY_VMD",
    22: "69642^MDC_DEV_ANALY_SAT_O2_VMD",
    26: "69902^MDC_DEV_METER_TEMP_VMD",
}


@dataclass(frozen=True)
class Bed:
    """A place with its patient. `person` is a number and a name as PID-5 has it."""

    name: str
    patient: Patient
    person: tuple[str, str]
    course: AlarmCourse

    def eui64(self, digits: int) -> str:
        """The monitor's address, of so many digits."""
        seed = self.patient.seed
        return f"02A037{'FFFE' if digits == EUI64 else ''}{seed % 0x1000000:06X}"


class SentCuff(NamedTuple):
    """A cuff measurement that is new, with its time by the monitor's clock in whole seconds."""

    number: int
    at_us: int
    values: dict[str, str]


def new_cuff(patient: Patient, t_s: float, at_us: int, number_before: int) -> SentCuff | None:
    """The latest, where it is another than the one before."""
    cuff = patient.cuff(t_s)
    if cuff is None or cuff.number == number_before:
        return None
    taken_us = at_us - round((t_s - cuff.at_s) * 1e6)
    return SentCuff(cuff.number, taken_us - taken_us % 1_000_000, cuff.values)


def segment(name: str, fields: Mapping[int, str]) -> str:
    """A segment by the numbers of its fields; empty ones at its end are cut. MSH counts its separator as the first."""
    first = 2 if name == "MSH" else 1
    texts = [fields.get(number, "") for number in range(first, max(fields) + 1)]
    return "|".join((name, *texts)).rstrip("|")


def message_of(lines: Sequence[str], id_: str, sent: Sequence[SentReport] = (), codec: str = "utf-8") -> Message:
    """Segments with their ends."""
    return Message("".join(f"{line}\r" for line in lines).encode(codec), id_, tuple(sent))
