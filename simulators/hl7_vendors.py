r"""Monitors and gateways of makers that write HL7 v2 in their own way, each a row of `VENDORS`.

- `ge-b40`: GE B40/B20 HL7 Reference Manual 2062665-001 G, p. 10 to 24: PCD-01 with fixed numbers of modules; a value
  that is not there has no row; MSH-15 NE, MSH-16 AL.
- `mindray-egateway`: HL7 2.6; times of 17 digits, the metric's code in OBX-4, waves as NA of one second with rate,
  resolution and 32767 for no sample, alarms by PCD-04.
- `nihon-kohden`: HL7 2.4; codes of six digits, MSH-10 counts up within a day, cuff pressures in a message of their own.
- `philips-efficia`: HL7 2.4, Data Export Guide p. 2-1 to 3-20: MDIL, empty with X where there is no reading, alarms in
  messages of their own as they begin.
- `philips-pic`: MDIL, without a time in MSH; alarms among the values as long as they last.

What no public document tells (further codes, limits, Nihon Kohden's alarms) is not sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simulators.acked_log import SentReport
from simulators.hl7_oru import _MDS, _ROWS, NAMES, Message, dtm
from simulators.patient import Patient

SPO2_LOW = 90
WAVE_HZ, NO_SAMPLE = 60, 32767
_PLETH = "150452^MDC_PULS_OXIM_PLETH^MDC"


@dataclass(frozen=True)
class Vendor:
    """How one maker writes: MSH with {at}, {type} and {id}, PV1-3 with {bed}, and its channels (OBX-3, OBX-6)."""

    name: str
    msh: str
    place: str
    channels: dict[str, tuple[str, str]]
    codec: str = "utf-8"
    sends_missing: bool = False  # an OBX without a value and with X; False: there is none
    milliseconds: bool = False  # times of 17 digits
    modules: tuple[tuple[str, int], ...] = ()  # of the channels, the second number of OBX-4


def _mdc(*names: str) -> dict[str, tuple[str, str]]:
    return {name: (f"{_ROWS[name].mdc}^MDC", f"{_ROWS[name].unit}^MDC") for name in names}


_BPM, _RPM, _PERCENT, _MMHG, _CELSIUS = (
    "0004-0aa0^bpm^MDIL", "0004-0ae0^rpm^MDIL", "0004-0220^%^MDIL", "0004-0f20^mmHg^MDIL", "0004-17a0^C^MDIL",
)  # fmt: skip
_MDIL = {
    "hr": ("0002-4182^HR^MDIL", _BPM),
    "pr": ("0002-4822^Pulse^MDIL", _BPM),
    "spo2": ("0002-4bb8^SpO2^MDIL", _PERCENT),
    "rr": ("0002-5000^Resp^MDIL", _RPM),
    "temp_c": ("0002-4b48^Temp^MDIL", _CELSIUS),
    "abp_sys": ("0002-4a11^ARTs^MDIL", _MMHG),
    "abp_dia": ("0002-4a12^ARTd^MDIL", _MMHG),
    "abp_mean": ("0002-4a13^ARTm^MDIL", _MMHG),
    "etco2": ("0002-50b0^etCO2^MDIL", _MMHG),
    "nibp_sys": ("0002-4a05^NBPs^MDIL", _MMHG),
    "nibp_dia": ("0002-4a06^NBPd^MDIL", _MMHG),
    "nibp_mean": ("0002-4a07^NBPm^MDIL", _MMHG),
}
_NIHON_KOHDEN = {
    "hr": ("001000^VITAL HR", "/min"),
    "spo2": ("007000^VITAL SpO2", "%"),
    "pr": ("007001^VITAL PR(spo2)", "bpm"),
    "nibp_sys": ("009000^VITAL NIBP SYS", "mmHg"),
    "nibp_dia": ("009001^VITAL NIBP DIAS", "mmHg"),
    "nibp_mean": ("009002^VITAL NIBP MEAN", "mmHg"),
}
_ALL = _mdc("hr", "pr", "spo2", "rr", "temp_c", "abp_sys", "abp_dia", "abp_mean", "nibp_sys", "nibp_dia", "nibp_mean")
VENDORS = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            name="ge-b40",
            msh=r"MSH|^~\&|VSP^{eui64}^EUI-64|GE Healthcare|||{at}||{type}|{id}|P|2.6|||NE|AL||UNICODE UTF-8|||"
            "PCD_DEC_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO",
            place="ICU^^{bed}",
            channels=_ALL,
            modules=(("hr", 5), ("rr", 6), ("abp", 13), ("nibp", 14), ("spo2", 22), ("pr", 22), ("temp", 26)),
        ),
        Vendor(
            name="mindray-egateway",
            msh=r"MSH|^~\&|MINDRAY_EGATEWAY^00A037000001^EUI-64|MINDRAY|||{at}||{type}|{id}|P|2.6|||AL|NE||"
            "UNICODE UTF-8|||{profile}",
            place="ICU^^{bed}",
            channels=_ALL,
            milliseconds=True,
        ),
        Vendor(
            name="nihon-kohden",
            msh=r"MSH|^~\&|NIHON KOHDEN|NIHON KOHDEN|CLIENT APP|CLIENT FACILITY|{at}||{type}|{id}|P|2.4|||NE|AL||"
            "ASCII||ASCII",
            place="^^{bed}^10.0.0.7:2221",
            channels=_NIHON_KOHDEN,
            codec="ascii",
        ),
        Vendor(
            name="philips-efficia",
            msh=r"MSH|^~\&|||||||{type}|HP{id}|P|2.4||||||8859/1",
            place="ICU^^{bed}",
            channels=_MDIL,
            codec="latin-1",
            sends_missing=True,
        ),
        Vendor(
            name="philips-pic",
            msh=r"MSH|^~\&|||||||{type}|HP{id}|P|2.3||||||8859/1",
            place="ICU^^&{bed}&1",
            channels=_MDIL,
            codec="latin-1",
            sends_missing=True,
        ),
    )
}
_PCD_01 = "IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"
_PCD_04 = "IHE_PCD_ACM_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.4.1^ISO"
Values = dict[str, str | None]


class VendorMonitor:
    """One monitor at one bed that writes as its maker does; see `hl7_oru.Monitor`."""

    def __init__(self, name: str, bed: str, patient: Patient) -> None:
        if name not in VENDORS:
            raise ValueError(f"no dialect {name!r}: one of {', '.join(VENDORS)}")
        self._vendor, self._patient = VENDORS[name], patient
        self._eui64 = f"02{patient.seed // 1000 & 0xFFFF:04X}FFFE{patient.seed % 1000:06X}"
        self._place = self._vendor.place.format(bed=bed)
        self.device = self._eui64.lower() if name == "ge-b40" else self._place
        self._family = NAMES[-1]  # of those in every charset
        self._number, self._cuff_number = 0, -1
        self._alarm_id = ""  # OBR-3 of the start of the alarm that is there
        self._build: dict[str, Callable[[Values, Values, int, int], list[Message]]] = {
            "ge-b40": self._tree, "mindray-egateway": self._tree, "nihon-kohden": self._nihon_kohden,
            "philips-efficia": self._mdil, "philips-pic": self._mdil,
        }  # fmt: skip

    def greeting(self) -> list[Message]:
        """Nothing comes first."""
        return []

    def heartbeat(self) -> list[Message]:
        """Nor beside."""
        return []

    def messages(self, t_s: float, at_us: int) -> list[Message]:
        """What the monitor says at `t_s` of its patient; `at_us` is its clock in whole ms."""
        report, cuff = self._patient.report(t_s), self._patient.cuff(t_s)
        values = {name: report[name] for name in self._vendor.channels if name in report}
        if not self._vendor.sends_missing:
            values = {name: text for name, text in values.items() if text is not None}
        cuff_values: Values = {}
        if cuff and cuff.number != self._cuff_number:
            self._cuff_number = cuff.number
            cuff_values = {**cuff.values}
        cuff_at_us = at_us - round((t_s - cuff.at_s) * 1000) * 1000 if cuff else at_us
        messages = self._build[self._vendor.name](values, cuff_values, at_us, cuff_at_us)
        if self._vendor.name == "mindray-egateway":
            messages += [self._wave(t_s, at_us), *self._alarm(values, at_us)]
        return messages

    # --- what all have in common

    def _time(self, at_us: int) -> str:
        bare = dtm(at_us, bare=True)
        return f"{bare}{at_us // 1000 % 1000:03}" if self._vendor.milliseconds else bare

    def _seen_us(self, at_us: int) -> int:
        """The moment that the written time states."""
        return at_us - at_us % (1_000 if self._vendor.milliseconds else 1_000_000)

    def _message(
        self, lines: list[str], at_us: int, *sent: SentReport, kind: str = "ORU^R01^ORU_R01", profile: str = _PCD_01
    ) -> Message:  # fmt: skip
        self._number += 1
        id_ = f"{dtm(at_us, bare=True)[:8]}{self._number:06}"
        head = self._vendor.msh.format(at=self._time(at_us), type=kind, id=id_, eui64=self._eui64, profile=profile)
        id_ = head.split("|")[9]
        who = [f"PID|||{self._patient.seed:06}||{self._family}^^^^^L", f"PV1||I|{self._place}"]
        text = "".join(f"{line}\r" for line in (head, *who, *lines))
        return Message(text.encode(self._vendor.codec), id_, sent)

    # --- trees of MDC codes

    def _tree(self, values: Values, cuff: Values, at_us: int, cuff_at_us: int) -> list[Message]:
        is_ge = self._vendor.name == "ge-b40"
        equipment = f"|||||||{self._eui64}^B40_GE" if is_ge else ""
        order = f"{self._eui64}^{self._time(at_us)}"
        lines = [
            f"OBR|1|{order}|{order}|182777000^monitoring of patient^SCT|||{self._time(at_us)}",
            f"OBX|1||{_MDS}^MDC|1.0.0.0|||||||X{equipment}",
        ]
        for place, (name, text) in enumerate((values | cuff).items(), 2):
            code, unit = self._vendor.channels[name]
            time = self._time(cuff_at_us) if name in cuff else ""
            lines.append(f"OBX|{place}|NM|{code}|{self._node(name)}|{text}|{unit}|||||R|||{time}")
        sent = [SentReport(self.device, order, self._seen_us(at_us), values)]
        if cuff:
            sent.append(SentReport(self.device, order, self._seen_us(cuff_at_us), cuff))
        return [self._message(lines, at_us, *sent)]

    def _node(self, name: str) -> str:
        code = _ROWS[name].mdc.partition("^")[0]
        if not self._vendor.modules:
            return f"1.{_ROWS[name].vmd}.1.{code}"
        module = next(number for begin, number in self._vendor.modules if name.startswith(begin))
        return f"1.{module}.1.{list(self._vendor.channels).index(name) + 1}"

    def _wave(self, t_s: float, at_us: int) -> Message:
        """The second of the pleth that begins at `t_s`."""
        t = t_s + np.arange(WAVE_HZ) / WAVE_HZ
        pleth = np.rint(self._patient.pleth(t) * 1000).astype(int)
        shown = [str(sample) if self._patient.has_finger(float(at)) else str(NO_SAMPLE) for sample, at in
                 zip(pleth, t, strict=True)]  # fmt: skip
        lines = [
            f"OBR|1|||100001^CONTINUOUS WAVEFORM^99MNDRY|||{self._time(at_us)}",
            f"OBX|1|NA|{_PLETH}|1.22.1.150452|{'^'.join(shown)}|262656^MDC_DIM_DIMLESS^MDC|||||R",
            f"OBX|2|NM|0^MDC_ATTR_SAMP_RATE^MDC|1.22.1.150452.1|{WAVE_HZ}|264608^MDC_DIM_PER_SEC^MDC|||||R",
            "OBX|3|NM|2327^MDC_ATTR_NU_MSMT_RES^MDC|1.22.1.150452.2|1|262656^MDC_DIM_DIMLESS^MDC|||||R",
            f"OBX|4|NM|196660^MDC_EVT_INOP^MDC|1.22.1.150452.3|{NO_SAMPLE}||||||R",
        ]
        return self._message(lines, at_us, profile="")

    def _alarm(self, values: Values, at_us: int) -> list[Message]:
        """PCD-04: the start of the saturation's alarm, that it goes on, and its end."""
        shown = values.get("spo2")
        is_low = shown is not None and int(shown) < SPO2_LOW
        if not is_low and not self._alarm_id:
            return []
        own = f"{self._number + 1}^MINDRAY_EGATEWAY"
        phase = "end" if not is_low else "continue" if self._alarm_id else "start"
        parent = f"^{self._alarm_id.replace('^', '&')}" if self._alarm_id else ""
        self._alarm_id = "" if phase == "end" else self._alarm_id or own
        code, unit = self._vendor.channels["spo2"]
        node = "1.22.1.150456"
        lines = [
            f"OBR|1||{own}|196616^MDC_EVT_ALARM^MDC|||{self._time(at_us)}" + "|" * 22 + parent,
            f"OBX|1|CWE|196616^MDC_EVT_ALARM^MDC|{node}.1|196670^MDC_EVT_LO^MDC|||L~PM~SP|||R",
            f"OBX|2|NM|{code}|{node}.2|{shown or ''}|{unit}|{SPO2_LOW}-100||||{'R' if shown else 'X'}",
            f"OBX|3|ST|68481^MDC_ATTR_EVENT_PHASE^MDC|{node}.3|{phase}||||||R",
            f"OBX|4|ST|68482^MDC_ATTR_ALARM_STATE^MDC|{node}.4|{'active' if is_low else 'inactive'}||||||R",
            f"OBX|5|ST|68483^MDC_ATTR_ALARM_INACTIVATION_STATE^MDC|{node}.5|||||||R",
        ]
        return [self._message(lines, at_us, kind="ORU^R40^ORU_R40", profile=_PCD_04)]

    # --- Nihon Kohden

    def _nihon_kohden(self, values: Values, cuff: Values, at_us: int, cuff_at_us: int) -> list[Message]:
        messages = []
        for word, group, its_us in (("VITAL", values, at_us), ("NIBP", cuff, cuff_at_us)):
            if not group:
                continue
            time = self._time(its_us)
            lines = ["ORC|RE", f"OBR|1|||{word}|||{time}" + "|" * 18 + "A"]
            for place, (name, text) in enumerate(group.items(), 1):
                code, unit = self._vendor.channels[name]
                lines.append(f"OBX|{place}|NM|{code}|1|{text}|{unit}|||||F|||{time}")
            sent = SentReport(self.device, word, self._seen_us(its_us), group)
            messages.append(self._message(lines, at_us, sent))
        return messages

    # --- Philips

    def _mdil(self, values: Values, cuff: Values, at_us: int, cuff_at_us: int) -> list[Message]:
        is_efficia = self._vendor.name == "philips-efficia"
        time = self._time(at_us) if is_efficia else ""
        node = "" if is_efficia else "0"
        lines = [f"OBR|1|||MONITOR|||{time}"]
        for name, text in values.items():
            code, unit = self._vendor.channels[name]
            lines.append(f"OBX||NM|{code}|{node}|{text or ''}|{unit}|||||{'F' if text else 'X'}")
        sent = [SentReport(self.device, "MONITOR", self._seen_us(at_us) if is_efficia else None, values)]
        shown = values.get("spo2")
        alarm = f"OBX||TX|2^Yellow^MDIL-ALERT|{node}|** SpO2 LOW||||||F"
        is_low = shown is not None and int(shown) < SPO2_LOW
        if is_low and not is_efficia:
            lines.append(alarm)
        messages = [self._message(lines, at_us, *sent)]
        if cuff:
            messages.append(self._cuff(cuff, at_us, cuff_at_us, node))
        if is_efficia and is_low and not self._alarm_id:
            messages.append(self._message([f"OBR|1|||ALARM|||{time}", alarm], at_us))
        self._alarm_id = "there" if is_low else ""
        return messages

    def _cuff(self, cuff: Values, at_us: int, cuff_at_us: int, node: str) -> Message:
        time = self._time(cuff_at_us)
        lines = ["OBR|1|||MONITOR|||"]
        for name, text in cuff.items():
            code, unit = self._vendor.channels[name]
            lines.append(f"OBX||NM|{code}|{node}|{text}|{unit}|||||F|||{time}")
        return self._message(lines, at_us, SentReport(self.device, "MONITOR", self._seen_us(cuff_at_us), cuff))
