r"""Mindray by two ways: its gateway, which writes as IHE says, and a monitor's own Patient Data Share.

- `EGateway`: HL7 2.6, as the samples of a public reader have it: ORU^R01 with values, ORU^R01 with a second of waves,
  and ORU^R40 as IHE PCD ACM (PCD-04) for each change of an alarm, "continue" each 20 s. A metric's node in OBX-4 ends
  with its code, a facet's with its number behind that. MSH-7 and OBR-7 have milliseconds without a dot, OBX-14 none.
- `PatientDataShare`: HL7 2.3.1, the monitor is the server: MSH-10 is the kind of a message. 106 both ways, 103 who lies
  where, 204 values once they are asked for (QRY^R02, 1203), -100 for no reading, 205 the level of each parameter's
  alarm, 54 alarms. How limits come (51) and what is in an idle 54 or 56 is not known, nor how `ZMW` packs its waves
  and whether it comes beside values: here it does both, with bytes that are no text.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from simulators.acked_log import SentReport
from simulators.bed_alarms import AlarmCourse, BedAlarm, Transition, present_alarms
from simulators.hl7_oru import Message, dtm
from simulators.hl7_writing import EUI48, GE_MDS, MDC_BY_CHANNEL, VMD_NODES, Bed, message_of, new_cuff, segment
from simulators.patient import Patient, shape

NO_SAMPLE = 32767
ECG_HZ, PLETH_HZ = 500, 60
ECG_RESOLUTION, ECG_SPAN = "0.01", 120  # mV per count, counts of a pulse
PLETH_SPAN = 4000
_VMD = {"hr": 5, "pvc": 5, "rr": 5, "spo2": 22, "pr": 22, "temp_c": 26, "abp_sys": 13, "abp_dia": 13, "abp_mean": 13}
_CUFF_VMD = 14
_CUFF = {
    "nibp_sys": "150301^MDC_PRESS_CUFF_SYS",
    "nibp_dia": "150302^MDC_PRESS_CUFF_DIA",
    "nibp_mean": "150303^MDC_PRESS_CUFF_MEAN",
}
_PRIORITIES = {"high": "PH", "medium": "PM", "low": "PL"}
_ALARM_PROFILE = "IHE_PCD_ACM_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.4.1^ISO"
_VALUE_PROFILE = "IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"


class EGateway:
    """One bed of a gateway."""

    def __init__(self, bed: Bed) -> None:
        self._bed, self._cuffs, self._waves_until_s = bed, -1, math.nan
        self._equipment = f"{bed.name}^MINDRAY^{bed.eui64(EUI48)}^EUI-64"
        self._written = 0

    def messages(self, t_s: float, at_us: int) -> list[Message]:
        """Values, waves, and alarms that have changed."""
        return [
            self._values(t_s, at_us),
            self._waves(t_s, at_us),
            *(self._alarm(transition, at_us) for transition in self._bed.course.step(t_s)),
        ]

    def _head(self, event: str, profile: str, at_us: int) -> tuple[str, list[str]]:
        self._written += 1
        id_ = f"{self._bed.patient.seed}.{at_us // 1000}.{self._written}"
        number, name = self._bed.person
        return id_, [
            segment("MSH", {2: r"^~\&", 3: f"MINDRAY_EGATEWAY^{self._bed.eui64(EUI48)}^EUI-64", 4: "MINDRAY",
                            7: _milliseconds(at_us), 9: event, 10: id_, 11: "P", 12: "2.6", 15: "AL", 16: "NE",
                            18: "UNICODE UTF-8", 21: profile}),
            segment("PID", {3: f"{number}^^^Hospital^PI", 5: f"{name}^^^^^L", 10: "2106-3^^CDCREC"}),
            segment("PV1", {2: "I", 3: f"ICU^{self._bed.name}"}),
        ]  # fmt: skip

    def _values(self, t_s: float, at_us: int) -> Message:
        id_, lines = self._head("ORU^R01^ORU_R01", _VALUE_PROFILE, at_us)
        at = _milliseconds(at_us)
        lines.append(segment("OBR", {1: "1", 2: id_, 3: id_, 4: "182777000^monitoring of patient^SCT", 7: at}))
        lines.append(self._device(1, GE_MDS, "1.0.0.0"))
        cuff = new_cuff(self._bed.patient, t_s, at_us, self._cuffs)
        modules = [*sorted(set(_VMD.values())), *([] if cuff is None else [_CUFF_VMD])]
        lines += [self._device(n, VMD_NODES[vmd], f"1.{vmd}.0.0") for n, vmd in enumerate(modules, 2)]
        values = {name: text for name, text in self._bed.patient.report(t_s).items() if name in _VMD}
        for number, (name, text) in enumerate(values.items(), 2 + len(modules)):
            mdc, unit = MDC_BY_CHANNEL[name]
            node = f"1.{_VMD[name]}.1.{mdc.partition('^')[0]}"
            lines.append(segment("OBX", {1: str(number), 2: "NM", 3: f"{mdc}^MDC", 4: node, 5: text or "",
                                         6: f"{unit}^MDC", 11: "R" if text else "X"}))  # fmt: skip
        sent = [SentReport(self._equipment, id_, at_us, values)]
        if cuff is not None:
            self._cuffs = cuff.number
            for name, text in cuff.values.items():
                code, (_, unit) = _CUFF[name], MDC_BY_CHANNEL[name]
                node = f"1.{_CUFF_VMD}.1.{code.partition('^')[0]}"
                number = 1 + sum(line.startswith("OBX") for line in lines)
                lines.append(segment("OBX", {1: str(number), 2: "NM", 3: f"{code}^MDC", 4: node, 5: text,
                                             6: f"{unit}^MDC", 11: "R", 14: dtm(cuff.at_us, bare=True)}))  # fmt: skip
            sent.append(SentReport(self._equipment, id_, cuff.at_us, dict(cuff.values)))
        return message_of(lines, id_, sent)

    def _device(self, number: int, node: str, place: str) -> str:
        equipment = self._equipment if place == "1.0.0.0" else ""
        return segment("OBX", {1: str(number), 3: f"{node}^MDC", 4: place, 11: "X", 18: equipment})

    def _waves(self, t_s: float, at_us: int) -> Message:
        """The samples since the message before; the rates may give more of them than a second has, or fewer."""
        from_s = t_s - 1.0 if math.isnan(self._waves_until_s) else self._waves_until_s
        self._waves_until_s = t_s
        id_, lines = self._head("ORU^R01^ORU_R01", _VALUE_PROFILE, at_us)
        began_us = at_us - round((t_s - from_s) * 1e6)
        lines.append(segment("OBR", {1: "1", 2: id_, 3: id_, 4: "100001^CONTINUOUS WAVEFORM^99MNDRY",
                                     7: _milliseconds(began_us), 8: _milliseconds(at_us)}))  # fmt: skip
        lines.append(self._device(1, GE_MDS, "1.0.0.0"))
        patient = self._bed.patient
        ecg, pleth = ecg_samples(patient, from_s, t_s), pleth_samples(patient, from_s, t_s)
        mv, dimless = "266418^MDC_DIM_MILLI_VOLT^MDC", "262656^MDC_DIM_DIMLESS^MDC"
        lines += self._wave(2, "131329^MDC_ECG_LEAD_I", "1.5.1.131329", ecg, ECG_HZ, (ECG_RESOLUTION, mv))
        lines += self._wave(6, "150452^MDC_PULS_OXIM_PLETH", "1.22.1.150452", pleth, PLETH_HZ, ("1", dimless))
        return message_of(lines, id_)

    def _wave(
        self, first: int, code: str, node: str, samples: list[int], rate_hz: int, resolution: tuple[str, str]
    ) -> list[str]:
        joined = "^".join(str(sample) for sample in samples)
        step, unit = resolution
        children = (
            ("0^MDC_ATTR_SAMP_RATE^MDC", str(rate_hz), "264608^MDC_DIM_HZ^MDC"),
            ("2327^MDC_ATTR_NU_MSMT_RES^MDC", step, unit),
            ("196660^MDC_EVT_INOP^MDC", str(NO_SAMPLE), ""),
        )
        lines = [segment("OBX", {1: str(first), 2: "NA", 3: f"{code}^MDC", 4: node, 5: joined, 11: "R"})]
        for number, (child, text, child_unit) in enumerate(children, 1):
            lines.append(segment("OBX", {1: str(first + number), 2: "NM", 3: child, 4: f"{node}.{number}", 5: text,
                                         6: child_unit, 11: "R"}))  # fmt: skip
        return lines

    def _alarm(self, transition: Transition, at_us: int) -> Message:
        id_, lines = self._head("ORU^R40^ORU_R40", _ALARM_PROFILE, at_us)
        instance = f"{self._bed.patient.seed}-{transition.instance}"
        lines.append(segment("OBR", {1: "1", 2: id_, 3: instance, 4: "196616^MDC_EVT_ALARM^MDC",
                                     7: _milliseconds(at_us)}))  # fmt: skip
        alarm, has_ended = transition.alarm, transition.phase == "end"
        sound = "audio-paused" if alarm.is_silenced else "enabled"
        (mdc, unit), node = MDC_BY_CHANNEL[alarm.channel], f"1.{_VMD[alarm.channel]}.1"
        code = mdc.partition("^")[0]
        facets: list[dict[int, str]] = [
            {2: "CWE", 3: "196616^MDC_EVT_ALARM^MDC", 5: _event_of(alarm), 8: _flags_of(alarm),
             14: dtm(at_us, bare=True), 18: self._equipment},
            {2: "NM", 3: f"{mdc}^MDC", 5: alarm.value, 6: f"{unit}^MDC", 7: f"{alarm.low}-{alarm.high}"},
            {2: "ST", 3: "68481^MDC_ATTR_EVENT_PHASE^MDC", 5: transition.phase},
            {2: "ST", 3: "68482^MDC_ATTR_ALARM_STATE^MDC", 5: "inactive" if has_ended else "active"},
            {2: "ST", 3: "68483^MDC_ATTR_ALARM_INACTIVATION_STATE^MDC", 5: sound},
            {2: "ST", 3: "68484^MDC_ATTR_ALARM_PRIORITY^MDC", 5: _PRIORITIES[alarm.priority]},
            {2: "ST", 3: "68485^MDC_ATTR_ALERT_TYPE^MDC", 5: "ST" if alarm.is_technical else "SP"},
            {2: "ST", 3: "68546^MDC_ATTR_ALERT_TEXT^MDC", 5: alarm.text},
        ]  # fmt: skip
        if alarm.is_technical:
            facets[1] = {2: "CWE", 3: "68480^MDC_ATTR_ALERT_SOURCE^MDC", 5: f"{mdc}^MDC"}
        for number, fields in enumerate(facets, 1):
            place = {1: str(number), 4: f"{node}.{code}.{number}", 11: "R"}
            lines.append(segment("OBX", fields | place))
        return message_of(lines, id_)


def _event_of(alarm: BedAlarm) -> str:
    if alarm.is_technical:
        return "196660^MDC_EVT_INOP^MDC"
    return "196670^MDC_EVT_LO^MDC" if alarm.name.endswith("low") else "196648^MDC_EVT_HI^MDC"


def _flags_of(alarm: BedAlarm) -> str:
    flags = [] if alarm.is_technical else ["L" if alarm.name.endswith("low") else "H"]
    return "~".join([*flags, _PRIORITIES[alarm.priority], "ST" if alarm.is_technical else "SP"])


def _milliseconds(at_us: int) -> str:
    return f"{dtm(at_us, bare=True)}{at_us // 1000 % 1000:03}"


def _times(rate_hz: int, from_s: float, until_s: float) -> NDArray[np.float64]:
    return np.arange(math.floor(from_s * rate_hz), math.floor(until_s * rate_hz)) / rate_hz


def ecg_samples(patient: Patient, from_s: float, until_s: float) -> list[int]:
    """Lead I between two times; it need not look like one."""
    beat = shape(patient.beats(_times(ECG_HZ, from_s, until_s)))
    return [int(sample) for sample in np.rint(ECG_SPAN * (beat - 0.25))]


def pleth_samples(patient: Patient, from_s: float, until_s: float) -> list[int]:
    """The pleth between two times, with what stands for no sample while the finger is out."""
    t = _times(PLETH_HZ, from_s, until_s)
    samples = [int(sample) for sample in np.rint(PLETH_SPAN * patient.pleth(t))]
    return [sample if patient.has_finger(float(at)) else NO_SAMPLE for at, sample in zip(t, samples, strict=True)]


# --- Patient Data Share -----------------------------------------------------------------------------------------------

HEARTBEAT_S = 3.0
SHARE_EVERY_S = 1.0
PDS_NO_READING = {0: "-100", 1: "-100.00"}  # by the decimals of a value
_SHARE_ROWS = {
    "hr": ("101^HR", 2101, 0),
    "pvc": ("102^PVCs", 2101, 0),
    "rr": ("151^RR", 2102, 0),
    "spo2": ("160^SpO2", 2103, 0),
    "pr": ("161^PR", 2103, 0),
    "pi": ("162^PI", 2103, 1),
    "temp_c": ("200^T1", 2104, 1),
    "abp_sys": ("500^ART-Sys", 2116, 0),
    "abp_mean": ("501^ART-Mean", 2116, 0),
    "abp_dia": ("502^ART-Dia", 2116, 0),
    "etco2": ("250^EtCO2", 2106, 0),
}
_SHARE_CUFF = {"nibp_sys": ("170^NIBP S", 2105), "nibp_dia": ("171^NIBP D", 2105), "nibp_mean": ("172^NIBP M", 2105)}
SHARE_LEVELS = {"high": 1, "medium": 2, "low": 3}
SHARE_ALARM_IDS = {"spo2 low": 10022, "hr high": 10001, "spo2 sensor": 20045}  # any: no table of them is public


class PatientDataShare:
    """A monitor that is dialled: what it says on a connection, and what it hears there."""

    def __init__(self, bed: str, patient: Patient) -> None:
        self._bed, self._patient = bed, patient
        self._buffer, self._next_heartbeat_s = b"", 0.0
        self._course = AlarmCourse(patient)
        self.is_asked = False
        self.heard: list[str] = []  # MSH-10 of what came

    def hear(self, data: bytes) -> None:
        """What the client sends."""
        self._buffer += data
        while b"\x1c\r" in self._buffer:
            frame, _, self._buffer = self._buffer.partition(b"\x1c\r")
            fields = frame.lstrip(b"\x0b").decode("latin-1").split("\r")[0].split("|")
            self.heard.append(fields[9])
            self.is_asked |= fields[8].startswith("QRY") and fields[9] == "1203"

    def greeting(self) -> list[bytes]:
        """What a connection begins with: who lies where, and messages of an idle stream, which hold nothing."""
        lines = [
            segment("PID", {3: f"{self._patient.seed:06}", 5: "Doe^Jane", 8: "F"}),
            segment("PV1", {2: "I", 3: f"^^ICU&{self._bed}&3232237756&4601&&1"}),
            segment("OBR", {4: "Mindray Monitor"}),
        ]
        return [self._message(103, lines), self._message(54, []), self._message(56, [])]

    def speak(self, t_s: float) -> list[bytes]:
        """What is said at a time: whole seconds, once each."""
        found = []
        if t_s >= self._next_heartbeat_s:
            self._next_heartbeat_s = t_s + HEARTBEAT_S
            found.append(self._message(106, []))
        if not self.is_asked:
            return found
        wave = b"ZMW|" + self._packed(t_s) + b"\r\x1c\r"
        values = self._message(204, self._values(t_s)).removesuffix(b"\x1c\r") + wave
        found += [values, self._message(205, self._levels(t_s))]
        if changed := [
            transition for transition in self._course.step(t_s) if transition.phase not in ("continue", "update")
        ]:
            rows = [transition.alarm for transition in changed if transition.phase != "end"]
            lines = [segment("OBX", {2: "CE", 3: "2016^", 4: "1", 5: f"{SHARE_ALARM_IDS[alarm.name]}^{alarm.text}",
                                     11: "F"}) for alarm in rows]  # fmt: skip
            found.append(self._message(54, lines))
        found.append(self._message(204, []).removesuffix(b"\x1c\r") + wave)
        return found

    def shown(self, t_s: float) -> dict[str, str | None]:
        """The values of a time, as they are sent."""
        cuff = self._patient.cuff(t_s)
        values = {name: text for name, text in self._patient.report(t_s).items() if name in _SHARE_ROWS}
        return values | (dict(cuff.values) if cuff else {})

    def _values(self, t_s: float) -> list[str]:
        lines = []
        for name, text in self.shown(t_s).items():
            if name in _SHARE_CUFF:
                code, module = _SHARE_CUFF[name]
                none = PDS_NO_READING[0]
            else:
                code, module, decimals = _SHARE_ROWS[name]
                none = PDS_NO_READING[decimals]
            fields = {2: "NM", 3: code, 4: str(module), 5: text or none, 11: "F"}
            lines.append(segment("OBX", fields))
        return lines

    def _levels(self, t_s: float) -> list[str]:
        present = {alarm.channel: alarm for alarm in present_alarms(self._patient, t_s).values()}
        lines = []
        for name, (code, _, _) in _SHARE_ROWS.items():
            level = SHARE_LEVELS[present[name].priority] if name in present else 2
            fields = {2: "CE", 3: "2037^", 4: code.partition("^")[0], 5: f"{level}^", 11: "F"}
            lines.append(segment("OBX", fields))
        return lines

    def _packed(self, t_s: float) -> bytes:
        """Bytes from 80 on in groups of eight: neither a segment's end nor a block's is among them."""
        samples = np.rint(127 * self._patient.pleth(_times(56, t_s, t_s + 1))).astype(int)
        groups = [samples[start : start + 7] for start in range(0, len(samples), 7)]
        return b"".join(bytes(0x80 | int(sample) for sample in group) + b"\x80" for group in groups)

    def _message(self, kind: int, lines: list[str]) -> bytes:
        head = segment("MSH", {2: r"^~\&", 9: "ORU^R01", 10: str(kind), 11: "P", 12: "2.3.1"})
        return b"\x0b" + message_of([head, *lines], str(kind)).payload + b"\x1c\r"


async def serve_share(bed: str, patient: Patient, host: str, port: int, stop: asyncio.Event) -> None:
    """A monitor that listens here until `stop`, and begins anew for each that dials it."""
    begin = time.monotonic()
    connections: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        device = PatientDataShare(bed, patient)
        with suppress(OSError):
            writer.writelines(device.greeting())
            while not stop.is_set():
                writer.writelines(device.speak(float(math.floor(time.monotonic() - begin))))
                await writer.drain()
                if await _heard_for(reader, device, SHARE_EVERY_S):
                    break
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(converse(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    async with await asyncio.start_server(accept, host, port):
        await stop.wait()
        await asyncio.gather(*connections)


async def _heard_for(reader: asyncio.StreamReader, device: PatientDataShare, seconds: float) -> bool:
    """Hear what comes within these seconds; True where the client has hung up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while data := await reader.read(4096):
                device.hear(data)
            return True
    return False
