r"""Monitors that write HL7 v2 as their makers do, each in its own dialect, over MLLP.

- `ge-b40`: GE B40/B20 HL7 Reference Manual 2062665-001, pages 7 to 25: PCD-01 with GE's fixed numbers of modules.
- `mindray-egateway`: in `hl7_mindray`, as are Mindray's monitors themselves (Patient Data Share).
- `nihon-kohden`: 0614-905894, as public readers have it: HL7 2.4, plain words in OBR-4, codes without a coding system.
- `philips-efficia`, `philips-pic`: in `hl7_philips`.

A value that has no code in any public source is not sent: Nihon Kohden's respiration and temperatures but the rectal
one, GE's EtCO2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from simulators.acked_log import SentReport
from simulators.bed_alarms import AlarmCourse
from simulators.hl7_mindray import EGateway
from simulators.hl7_oru import NAMES, Message, dtm
from simulators.hl7_philips import Efficia, InformationCenter
from simulators.hl7_writing import EUI64, GE_MDS, MDC_BY_CHANNEL, VMD_NODES, Bed, message_of, new_cuff, segment
from simulators.patient import Patient

NK_PORT = 7998
# Numbers of GE's modules, and channels below them: the number of an invasive pressure's is the monitor's own.
_GE_VMD = {"hr": 5, "pvc": 5, "rr": 6, "abp_sys": 13, "abp_dia": 13, "abp_mean": 13, "spo2": 22, "pr": 22, "temp_c": 26}
_GE_CUFF_VMD, _GE_AIRWAY_VMD = 14, 20  # which the cuff has is not known
_GE_TEMPERATURES = 2
# Nihon Kohden's codes and names with the units that go with them.
_NK_ROWS = {
    "hr": ("001000", "HR", "/min"),
    "spo2": ("007000", "SpO2", "%"),
    "pr": ("007001", "PR(spo2)", "bpm"),
    "temp_c": ("014000", "TRECT", "C"),
    "nibp_sys": ("009000", "NIBP SYS", "mmHg"),
    "nibp_dia": ("009001", "NIBP DIAS", "mmHg"),
    "nibp_mean": ("009002", "NIBP MEAN", "mmHg"),
}
_NK_REPEATED_PULSE_RATE = ("072007", "rPR(spo2)", "bpm")


class _Dialect(Protocol):
    """What writes for a monitor."""

    def messages(self, t_s: float, at_us: int) -> list[Message]:
        """What is said at a time."""
        ...


class GeB40:
    """GE B40: values without a reading have no row, and without any there is no message."""

    def __init__(self, bed: Bed) -> None:
        self._bed, self._cuffs = bed, -1

    def messages(self, t_s: float, at_us: int) -> list[Message]:
        """One, with what is valid."""
        at_us -= at_us % 1_000_000
        values = {name: text for name, text in self._bed.patient.report(t_s).items() if name in _GE_VMD and text}
        cuff = new_cuff(self._bed.patient, t_s, at_us, self._cuffs)
        if not values and cuff is None:
            return []
        at, eui64 = _ge_time(at_us), self._bed.eui64(EUI64)
        rows = [self._device(1, GE_MDS, "1.0.0.0")]
        modules = [*dict.fromkeys(_GE_VMD[name] for name in values), _GE_AIRWAY_VMD]
        modules += [] if cuff is None else [_GE_CUFF_VMD]
        rows += [self._device(n, VMD_NODES[vmd], f"1.{vmd}.0.0") for n, vmd in enumerate(modules, 2)]
        for vmd, channel, each in self._placed(values):
            place = 1 + list(_GE_VMD).index(each)
            rows.append(self._row(len(rows) + 1, each, f"1.{vmd}.{channel}.{place}", values[each], ""))
        if cuff is not None:
            self._cuffs = cuff.number
            for place, (name, text_of) in enumerate(cuff.values.items(), 1):
                node = f"1.{_GE_CUFF_VMD}.1.{place}"
                rows.append(self._row(len(rows) + 1, name, node, text_of, _ge_time(cuff.at_us)))
        id_ = f"{eui64}{at_us // 1_000_000}"
        profile = "PCD_DEC_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"
        person = self._bed.person
        lines = [
            segment("MSH", {2: r"^~\&", 3: f"VSP^{eui64}^EUI-64", 7: at, 9: "ORU^R01^ORU_R01", 10: id_, 11: "P",
                            12: "2.6", 15: "NE", 16: "AL", 18: "UNICODE UTF-8", 21: profile}),
            segment("PID", {3: f"{person[0]}^^^SIM^MR", 5: f"{person[1]}^^^^^L"}),
            segment("PV1", {2: "I", 3: f"ICU^^{self._bed.name}"}),
            segment("OBR", {1: "1", 2: f"{id_}^VSP", 3: f"{id_}^VSP", 4: "182777000^monitoring of patient^SCT",
                            7: at, 8: at}),
            *rows,
        ]  # fmt: skip
        sent = [SentReport(eui64.lower(), id_, at_us, dict(values))] if values else []
        if cuff is not None:
            sent.append(SentReport(eui64.lower(), id_, cuff.at_us, dict(cuff.values)))
        return [message_of(lines, id_, sent)]

    def _placed(self, values: Mapping[str, str]) -> list[tuple[int, int, str]]:
        """Modules, channels and names; breaths from the airway and a second temperature have one code too."""
        found = [(_GE_VMD[name], 1, name) for name in values]
        return [*found, (_GE_AIRWAY_VMD, 1, "rr"), (_GE_VMD["temp_c"], _GE_TEMPERATURES, "temp_c")]

    def _device(self, number: int, node: str, place: str) -> str:
        equipment = f"{self._bed.eui64(EUI64)}^B40_GE"
        return segment("OBX", {1: str(number), 3: f"{node}^MDC", 4: place, 11: "X", 18: equipment})

    def _row(self, number: int, name: str, place: str, text: str, at: str) -> str:
        mdc, unit = MDC_BY_CHANNEL[name]
        equipment = f"{self._bed.eui64(EUI64)}^B40_GE"
        return segment("OBX", {1: str(number), 2: "NM", 3: f"{mdc}^MDC", 4: place, 5: text, 6: f"{unit}^MDC",
                               11: "R", 14: at, 18: equipment})  # fmt: skip


def _ge_time(at_us: int) -> str:
    return dtm(at_us, bare=True) + "+0800"


class NihonKohden:
    """A bedside monitor by way of its gateway: what it does not measure has no row, the cuff has an OBR of its own."""

    def __init__(self, bed: Bed) -> None:
        self._bed, self._cuffs = bed, -1
        self._day, self._number = "", 0

    def messages(self, t_s: float, at_us: int) -> list[Message]:
        """One."""
        at_us -= at_us % 1_000_000
        at = dtm(at_us, bare=True)
        self._number = self._number + 1 if at[:8] == self._day else 1
        self._day = at[:8]
        id_ = f"{self._day}{self._number:06}"
        place = f"^^{self._bed.name}^192.168.1.7:{NK_PORT}"
        values = {name: text for name, text in self._bed.patient.report(t_s).items() if name in _NK_ROWS and text}
        rows = [(_NK_ROWS[name], text) for name, text in values.items()]
        if "pr" in values:
            rows.append((_NK_REPEATED_PULSE_RATE, values["pr"]))
        maker, number, name = "NIHON KOHDEN", *self._bed.person
        lines = [
            segment("MSH", {2: r"^~\&", 3: maker, 4: maker, 5: "CLIENT APP", 6: "CLIENT FACILITY", 7: at,
                            9: "ORU^R01^ORU_R01", 10: id_, 11: "P", 12: "2.4", 15: "NE", 16: "AL", 18: "ASCII",
                            20: "ASCII"}),
            segment("PID", {3: number, 5: f"{name}^^^^^L^A", 8: "O"}),
            segment("PV1", {2: "I", 3: place}),
            segment("ORC", {1: "RE"}),
            *self._block("1", "VITAL", at, rows),
        ]  # fmt: skip
        sent = [SentReport(place, id_, at_us, dict(values))]
        cuff = new_cuff(self._bed.patient, t_s, at_us, self._cuffs)
        if cuff is not None:
            self._cuffs = cuff.number
            cuff_rows = [(_NK_ROWS[each], text) for each, text in cuff.values.items()]
            lines += self._block("2", "NIBP", dtm(cuff.at_us, bare=True), cuff_rows)
            sent.append(SentReport(place, id_, cuff.at_us, dict(cuff.values)))
        return [message_of(lines, id_, sent)]

    def _block(self, number: str, word: str, at: str, rows: list[tuple[tuple[str, str, str], str]]) -> list[str]:
        lines = [segment("OBR", {1: number, 4: word, 7: at, 25: "A"})]
        for place, ((code, name, unit), text) in enumerate(rows, 1):
            fields = {1: str(place), 2: "NM", 3: f"{code}^VITAL {name}", 4: "1", 5: text, 6: unit, 11: "F", 14: at}
            lines.append(segment("OBX", fields))
        return lines


VENDORS: dict[str, Callable[[Bed], _Dialect]] = {
    "ge-b40": GeB40,
    "mindray-egateway": EGateway,
    "nihon-kohden": NihonKohden,
    "philips-efficia": Efficia,
    "philips-pic": InformationCenter,
}


class VendorMonitor:
    """A monitor of a maker at a bed: from a patient and a time to messages, the same for the same patient."""

    def __init__(self, dialect: str, bed: str, patient: Patient) -> None:
        if dialect not in VENDORS:
            raise ValueError(f"no dialect {dialect!r}: one of {', '.join(VENDORS)}")
        self.dialect = dialect
        person = f"{patient.seed:06}", next(name for name in NAMES if name.isascii())
        self._writer: _Dialect = VENDORS[dialect](Bed(bed, patient, person, AlarmCourse(patient)))

    def greeting(self) -> list[Message]:
        """None of these says anything first."""
        return []

    def heartbeat(self) -> list[Message]:
        """None of these has one."""
        return []

    def messages(self, t_s: float, at_us: int) -> list[Message]:
        """What is said at `t_s`; `at_us` is its clock in whole ms, never the same twice."""
        return self._writer.messages(t_s, at_us)
