r"""Philips by its own codes (MDIL): Efficia monitors and the IntelliVue Information Center.

Efficia CM Data Export Guide, pages 2-1 to 3-20, and messages that public readers recorded of Information Centers. A
code is partition and term in hexadecimal; no reading is an empty value with X. Alarms are texts whose OBX-3 begins with
their class: 1 red, 2 yellow, 6 a soft inop. An Information Center lists them among the values as long as they stand, an
Efficia sends each at once when it begins; how it says that one has ended is not known, and so it does not.
The alarm text's stars and the rows of settings are as recorded; more of those is not known.
"""

from __future__ import annotations

from simulators.acked_log import SentReport
from simulators.bed_alarms import BedAlarm, present_alarms
from simulators.hl7_oru import Message, dtm
from simulators.hl7_writing import Bed, message_of, new_cuff, segment

_BPM, _RPM, _PERCENT = "0004-0aa0^bpm^MDIL", "0004-0ae0^rpm^MDIL", "0004-0220^%^MDIL"
_MMHG, _CELSIUS, _PER_MIN = "0004-0f20^mmHg^MDIL", "0004-17a0^°C^MDIL", "0004-09e0^/min^MDIL"
ROWS = {
    "hr": ("4182", "HR", _BPM),
    "pvc": ("4261", "PVC", _PER_MIN),
    "spo2": ("4bb8", "SpO2", _PERCENT),
    "pr": ("4822", "Pulse", _BPM),
    "rr": ("500a", "RR", _RPM),
    "temp_c": ("4b60", "Tcore", _CELSIUS),
    "abp_sys": ("4a15", "ABPs", _MMHG),
    "abp_dia": ("4a16", "ABPd", _MMHG),
    "abp_mean": ("4a17", "ABPm", _MMHG),
    "nibp_sys": ("4a05", "NBPs", _MMHG),
    "nibp_dia": ("4a06", "NBPd", _MMHG),
    "nibp_mean": ("4a07", "NBPm", _MMHG),
}
CENTER_ROWS = ROWS | {
    "pr": ("480a", "Pulse", _BPM),
    "rr": ("5000", "Resp", _RPM),
    "temp_c": ("f0c7", "Temp1", _CELSIUS),
}
LIMITS = {"hr": "50-95", "spo2": "90-100"}
BEGINNINGS = ("start", "escalate", "de-escalate")  # when an Efficia's alarm stands there as another one
CODEC = "latin-1"  # MSH-18 8859/1


def _class_of(alarm: BedAlarm) -> int:
    if alarm.is_technical:
        return 6
    return 1 if alarm.priority == "high" else 2


def alarm_text(alarm: BedAlarm) -> str:
    """As the monitor shows it: stars say how grave it is."""
    stars = {"high": "*** ", "medium": "** ", "low": ""}[alarm.priority]
    return f"{stars}{alarm.text}"


def _alarm_row(alarm: BedAlarm, device_id: str) -> str:
    text = alarm_text(alarm)
    return segment("OBX", {2: "TX", 3: f"{_class_of(alarm)}^{text}^MDIL-ALERT", 4: device_id, 5: text, 11: "F"})


class Efficia:
    """An Efficia monitor."""

    def __init__(self, bed: Bed) -> None:
        self._bed, self._cuffs, self._written = bed, -1, 0
        self.device = f"ICU^^{bed.name}"

    def messages(self, t_s: float, at_us: int) -> list[Message]:
        """Values, and a message of its own for alarms that have begun or become graver."""
        at_us -= at_us % 1_000_000
        found = [self._values(t_s, at_us)]
        changed = [change for change in self._bed.course.step(t_s) if change.phase in BEGINNINGS]
        if changed:
            rows = [_alarm_row(change.alarm, "") for change in changed]
            found.append(self._message("ALARM", at_us, rows, []))
        return found

    def _values(self, t_s: float, at_us: int) -> Message:
        values = {name: text for name, text in self._bed.patient.report(t_s).items() if name in ROWS}
        rows = [self._row(name, text, "") for name, text in values.items()]
        sent = [(at_us, values)]
        cuff = new_cuff(self._bed.patient, t_s, at_us, self._cuffs)
        if cuff is not None:
            self._cuffs = cuff.number
            rows += [self._row(name, text, dtm(cuff.at_us, bare=True)) for name, text in cuff.values.items()]
            sent.append((cuff.at_us, dict(cuff.values)))
        return self._message("MONITOR", at_us, rows, sent)

    def _row(self, name: str, text: str | None, at: str) -> str:
        term, label, unit = ROWS[name]
        source = f"0002-{ROWS['spo2'][0]}^SpO2^MDIL" if name == "pr" else ""
        return segment("OBX", {2: "NM", 3: f"0002-{term}^{label}^MDIL", 5: text or "", 6: unit,
                               11: "F" if text else "X", 14: at, 17: source})  # fmt: skip

    def _message(
        self, word: str, at_us: int, rows: list[str], sent: list[tuple[int, dict[str, str | None]]]
    ) -> Message:
        self._written += 1
        id_, at = f"HP{self._bed.patient.seed}{self._written:06}", dtm(at_us, bare=True)
        number, name = self._bed.person
        lines = [
            segment("MSH", {2: r"^~\&", 7: at, 9: "ORU^R01", 10: id_, 11: "P", 12: "2.4", 18: "8859/1"}),
            segment("PID", {3: number, 5: name}),
            segment("PV1", {2: "I", 3: self.device}),
            segment("OBR", {1: "1", 4: word, 7: at}),
            *rows,
        ]
        reports = [SentReport(self.device, id_, when, values) for when, values in sent]
        return message_of(lines, id_, reports, CODEC)


class InformationCenter:
    """A bed of an Information Center; its header has no time."""

    def __init__(self, bed: Bed) -> None:
        self._bed, self._cuffs, self._written = bed, -1, 0
        self.device = f"ICU^^{bed.name}&3&1"

    def messages(self, t_s: float, at_us: int) -> list[Message]:
        """One."""
        self._written += 1
        id_ = f"HP{self._bed.patient.seed}{self._written:06}"
        at_us -= at_us % 1_000_000
        number, name = self._bed.person
        values = {each: text for each, text in self._bed.patient.report(t_s).items() if each in CENTER_ROWS}
        cuff = new_cuff(self._bed.patient, t_s, at_us, self._cuffs)
        if cuff is not None:
            self._cuffs = cuff.number
            values |= cuff.values
        lines = [
            segment("MSH", {2: r"^~\&", 9: "ORU^R01", 10: id_, 11: "P", 12: "2.3", 18: "8859/1"}),
            segment("PID", {3: number, 5: name}),
            segment("PV1", {2: "I", 3: self.device}),
            segment("OBR", {1: "1", 4: "MONITOR", 7: dtm(at_us, bare=True)}),
            *(self._row(each, text) for each, text in values.items()),
            segment("OBX", {2: "NM", 3: "0402-4182^HR High^MDIL", 4: "0", 5: "95", 6: _BPM, 11: "F", 13: "SETTING"}),
            *(_alarm_row(alarm, "0") for alarm in present_alarms(self._bed.patient, t_s).values()),
        ]
        return [message_of(lines, id_, [SentReport(self.device, id_, at_us, values)], CODEC)]

    def _row(self, name: str, text: str | None) -> str:
        term, label, unit = CENTER_ROWS[name]
        fields = {2: "NM", 3: f"0002-{term}^{label}^MDIL", 4: "0", 5: text or "", 6: unit, 7: LIMITS.get(name, "")}
        return segment("OBX", fields | {11: "F" if text else "X"})
