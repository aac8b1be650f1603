"""A point-of-care analyser that dials a hospital's data manager: POCT1-A, the device's side.

Documents: Siemens DCA Vantage host guide 17306 Rev D, PixCell HemoScreen HS-IL-00067, Nova DML. Messages, keys and the
order of the conversation are theirs; framing is bare XML that ends with the root's close tag, but for HemoScreen, which
wraps it as MLLP. Values are those of a simulated sample.

Not told there, and so chosen here: `topic_cd` of results is OBS; an analyser with nothing to say ends after
`IDLE_S` where the host asked for nothing; a directive other than START_CONTINUOUS is answered AE and noted in
`directives`; where the host asks for events, there are none and EOT follows at once. `reason_cd` is left out.
"""

from __future__ import annotations

import asyncio
import re
import time
import xml.etree.ElementTree as ElementTree
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from random import Random
from xml.sax.saxutils import escape, quoteattr

from simulators import faults
from simulators.patient import Patient

ZONE = timezone(timedelta(hours=8))
APPLICATION_TIMEOUT_S = 60.0
KEEP_ALIVE_S = 20.0
IDLE_S = 5.0
AGAIN_AFTER_S = 15.0  # from one conversation to the next
RETRY_S = 0.5
POLL_S = 0.01
SAMPLE_EVERY_S, CONTROL_EVERY = 20.0, 5  # each fifth sample is of a control material
MLLP_START, MLLP_END = b"\x0b", b"\x1c\r"
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'


@dataclass(frozen=True)
class Analyte:
    """What is measured: `decimals` of its value, the limits it is normal in, how it follows the patient."""

    code: str
    coding: str
    name: str
    unit: str
    decimals: int
    low: float
    high: float
    of: Callable[[dict[str, float]], float]
    method: str = "M"  # C: calculated


@dataclass(frozen=True)
class Model:
    """An analyser. `waits_after_eot`: it goes on when its EOT was acknowledged, else at once."""

    vendor: str
    model: str
    analytes: tuple[Analyte, ...]
    is_mllp: bool = False
    waits_after_eot: bool = True
    has_zone: bool = True  # of observation_dttm; the header's has one always
    flags_as_notes: bool = False
    labelled_notes: tuple[str, ...] = ()


_LOINC = "LN"
_BLOOD_GAS = (
    Analyte("11558-4", _LOINC, "pH", "", 3, 7.35, 7.45, lambda p: 7.4 - (p["etco2"] - 38) * 0.008),
    Analyte("11557-6", _LOINC, "pCO2", "mmHg", 1, 35, 45, lambda p: p["etco2"] + 4),
    Analyte("11556-8", _LOINC, "pO2", "mmHg", 1, 80, 100, lambda p: p["spo2"] * 2 - 100),
    Analyte("6298-4", _LOINC, "K", "mmol/L", 2, 3.5, 5.1, lambda p: 3.2 + p["rr"] / 20),
    Analyte("2947-0", _LOINC, "Na", "mmol/L", 0, 136, 146, lambda p: 120 + p["hr"] / 4),
    Analyte("32693-4", _LOINC, "Lac", "mmol/L", 1, 0.5, 1.6, lambda p: p["hr"] / 60),
    Analyte("1959-6", _LOINC, "HCO3", "mmol/L", 1, 22, 26, lambda p: p["etco2"] * 0.62, "C"),
)
_COUNTS = (
    Analyte("6690-2", _LOINC, "WBC", "10*3/uL", 2, 4.0, 10.0, lambda p: p["hr"] / 10),
    Analyte("789-8", _LOINC, "RBC", "10*6/uL", 2, 4.0, 5.5, lambda p: 3.5 + p["rr"] / 15),
    Analyte("718-7", _LOINC, "HGB", "g/dL", 1, 12.0, 17.0, lambda p: 8 + p["etco2"] / 8),
    Analyte("777-3", _LOINC, "PLT", "10*3/uL", 0, 150, 400, lambda p: p["hr"] * 3),
)
_HBA1C = (Analyte("HbA1c", "SIEM", "HbA1c", "%", 1, 4.0, 6.0, lambda p: 2.5 + p["rr"] / 4),)
MODELS = {
    "dca": Model("SIEM", "DCA Vantage", _HBA1C, waits_after_eot=False, has_zone=False,
                 labelled_notes=("Operator comment^fasting",)),
    "hemoscreen": Model("PIXCELL", "HemoScreen", _COUNTS, is_mllp=True, flags_as_notes=True),
    "nova": Model("NOVA", "Stat Profile Prime", _BLOOD_GAS),
}  # fmt: skip


def element(name: str, value: str, **attributes: str) -> str:
    """`name V="value"`, with a unit or a coding system beside it."""
    more = "".join(f" {key}={quoteattr(each)}" for key, each in attributes.items() if each)
    return f"<{name} V={_quoted(value)}{more}/>"


def _quoted(value: str) -> str:
    return '"' + escape(value, {'"': "&quot;"}) + '"'


def moment(at: datetime, *, has_zone: bool = True) -> str:
    """ISO 8601 in whole seconds, with its offset or without."""
    return at.isoformat(timespec="seconds") if has_zone else at.replace(tzinfo=None).isoformat(timespec="seconds")


def message(root: str, control_id: int, at: datetime, body: str) -> str:
    """A message with its header."""
    header = (
        element("HDR.control_id", f"{control_id}") + element("HDR.version_id", "POCT1")
        + element("HDR.creation_dttm", moment(at))
    )  # fmt: skip
    return f"<{root}><HDR>{header}</HDR>{body}</{root}>"


def acknowledgement(control_id: int, at: datetime, of: str, code: str = "AA") -> str:
    """That a message was taken (AA) or was not (AE)."""
    body = element("ACK.type_cd", code) + element("ACK.ack_control_id", of)
    return message("ACK.R01", control_id, at, f"<ACK>{body}</ACK>")


@dataclass(frozen=True)
class Sample:
    """A measurement that waits to be fetched. `level` is that of a control material, None: a patient's blood."""

    number: int
    at_s: float
    level: str | None


@dataclass
class Analyser:
    """One analyser and its conversation: pure, all times are seconds since it was switched on."""

    patient: Patient
    model: Model = MODELS["dca"]
    serial: str = "SN20417"
    began_at: datetime = datetime(2026, 9, 21, 14, 13, 20, tzinfo=ZONE)
    sample_every_s: float = SAMPLE_EVERY_S
    acks_requests: bool = False
    waiting: deque[Sample] = field(default_factory=deque)
    taken: list[Sample] = field(default_factory=list)  # that the host acknowledged
    directives: list[str] = field(default_factory=list)  # that a listener has no business to send
    is_continuous: bool = False
    _step: str = ""
    _expects: str = ""  # the control id whose ACK is due
    _topic: str = ""  # of the request that is being answered, with its control id
    _request_id: str = ""
    _control_id: int = 0
    _measured: int = 0
    _heard_s: float = 0.0
    _sent_s: float = 0.0
    _has_closed: bool = False
    _heard: bytearray = field(default_factory=bytearray)
    _out: bytearray = field(default_factory=bytearray)

    # --- the conversation ---------------------------------------------------------------------------------------------

    def opened(self, t_s: float) -> None:
        """It has dialled: HEL."""
        self._heard.clear()
        self._out.clear()
        self._has_closed = self.is_continuous = False
        self._request_id = ""
        self._heard_s = t_s
        self._step = "hello"
        self._tell("HEL.R01", self._hello(), t_s)

    @property
    def has_closed(self) -> bool:
        """It has hung up; what it said before is still to be sent."""
        return self._has_closed

    def hear(self, data: bytes, t_s: float) -> None:
        """Bytes of the host."""
        self._heard += data
        while True:
            document = self._cut()
            if document is None:
                return
            try:
                root = ElementTree.fromstring(document)
            except ElementTree.ParseError:
                continue  # no message: it is waited for as if nothing had come
            self._heard_s = t_s
            self._take(root, t_s)

    def _cut(self) -> bytes | None:
        """The next message of the host, without its frame."""
        heard = bytes(self._heard)
        if self.model.is_mllp:
            end = heard.find(MLLP_END)
            if end < 0:
                return None
            del self._heard[: end + len(MLLP_END)]
            return heard[heard.find(MLLP_START) + 1 : end]
        root = re.search(rb"<([A-Za-z]\w*\.R\d\d)[\s>]", heard)
        end = heard.find(b"</" + root[1] + b">") if root else -1
        if root is None or end < 0:
            return None
        after = end + len(root[1]) + 3
        del self._heard[:after]
        return heard[root.start() : after]

    def _take(self, root: ElementTree.Element, t_s: float) -> None:
        control_id = _value(root, "HDR.control_id")
        match root.tag:
            case "ACK.R01":
                acked = _value(root, "ACK.ack_control_id") or _value(root, "ACK.control_id")
                if acked == self._expects:
                    self._expects = ""
                    self._acked(_value(root, "ACK.type_cd") == "AA", t_s)
            case "REQ.R01":
                if self.acks_requests:
                    self._put(self._ack(control_id, t_s))
                self._topic, self._request_id = _value(root, "REQ.request_cd"), control_id
                self._step = "results" if self._topic == "ROBS" else "events"
                self._go_on(t_s)
            case "EOT.R01":
                self._put(self._ack(control_id, t_s))
            case "END.R01":
                self._put(self._ack(control_id, t_s))
                self._has_closed = True
            case "ESC.R01":
                self._has_closed = True
            case tag:
                self._take_directive(tag, root, control_id, t_s)

    def _take_directive(self, tag: str, root: ElementTree.Element, control_id: str, t_s: float) -> None:
        is_start = tag == "DTV.R01" and any(each.get("V") == "START_CONTINUOUS" for each in root.iter())
        if not is_start:
            self.directives.append(tag)
        self._put(self._ack(control_id, t_s, "AA" if is_start else "AE"))
        if is_start:
            self.is_continuous, self._step = True, "continuous"

    def _acked(self, is_accepted: bool, t_s: float) -> None:
        if not is_accepted:
            self._has_closed = True
        elif self._step == "hello":
            self._step = "status"
            self._tell("DST.R01", self._status(t_s), t_s)
        elif self._step == "status":
            self._step = "asked"
        elif self._step in ("results", "continuous-result"):
            self.taken.append(self.waiting.popleft())
            self._step = "continuous" if self.is_continuous else "results"
            self._go_on(t_s)
        elif self._step == "ended":
            self._has_closed = True
        elif self._step == "eot":
            self._step = "asked"

    def _go_on(self, t_s: float) -> None:
        """The next result of those that were asked for, or the end of the topic."""
        if self._step == "results" and self.waiting:
            self._tell("OBS.R02" if self.waiting[0].level else "OBS.R01", self._result(self.waiting[0]), t_s)
        elif self._step in ("results", "events"):
            body = element("EOT.topic_cd", "OBS" if self._step == "results" else "EVS")
            body += element("EOT.eot_control_id", self._request_id)
            self._tell("EOT.R01", f"<EOT>{body}</EOT>", t_s)
            self._step = "eot"
            if not self.model.waits_after_eot:
                self._expects = ""
                self._step = "asked"

    def speak(self, t_s: float) -> bytes:
        """What is due by now."""
        self._measure(t_s)
        if self._step and not self._has_closed:
            self._keep(t_s)
        data = bytes(self._out)
        self._out.clear()
        return b"" if self.patient.is_silent(t_s) else data

    def _keep(self, t_s: float) -> None:
        quiet_s = t_s - max(self._heard_s, self._sent_s)
        if t_s - self._heard_s > APPLICATION_TIMEOUT_S:
            self._has_closed = True
        elif self._step == "continuous" and self.waiting and not self._expects:
            self._step = "continuous-result"
            self._tell("OBS.R02" if self.waiting[0].level else "OBS.R01", self._result(self.waiting[0]), t_s)
        elif self._step == "continuous" and quiet_s >= KEEP_ALIVE_S:
            self._tell("KPA.R01", "", t_s)
            self._step = "continuous-kept"
        elif self._step == "continuous-kept" and not self._expects:
            self._step = "continuous"
        elif self._step == "asked" and quiet_s >= IDLE_S:
            self._step = "ended"
            self._tell("END.R01", f"<TRM>{element('TRM.reason_cd', 'NRM')}</TRM>", t_s)

    def _tell(self, root: str, body: str, t_s: float) -> None:
        self._control_id += 1
        self._expects = f"{self._control_id}"
        self._put(message(root, self._control_id, self._now(t_s), body))
        self._sent_s = t_s

    def _ack(self, of: str, t_s: float, code: str = "AA") -> str:
        self._control_id += 1
        return acknowledgement(self._control_id, self._now(t_s), of, code)

    def _put(self, text: str) -> None:
        document = (DECLARATION + text).encode()
        self._out += MLLP_START + document + MLLP_END if self.model.is_mllp else document

    # --- what it says -------------------------------------------------------------------------------------------------

    def _now(self, t_s: float) -> datetime:
        return self.began_at + timedelta(seconds=t_s + self.patient.clock_offset_s(t_s))

    def _measure(self, t_s: float) -> None:
        while self._measured * self.sample_every_s <= t_s:
            at_s = self._measured * self.sample_every_s
            self._measured += 1
            is_control = self._measured % CONTROL_EVERY == 0
            self.waiting.append(Sample(self._measured, at_s, "2" if is_control else None))

    def _hello(self) -> str:
        model = self.model
        device = (
            element("DEV.device_id", self.serial) + element("DEV.vendor_id", model.vendor)
            + element("DEV.model_id", model.model) + element("DEV.serial_id", self.serial)
            + element("DEV.hw_version", "1.0") + element("DEV.sw_version", "4.4.0.0")
        )  # fmt: skip
        timeout = element("DCP.application_timeout", f"{APPLICATION_TIMEOUT_S:.0f}")
        supported = (
            element("DSC.connection_profile_cd", "CS") + element("DSC.topics_supported_cd", "OBS")
            + element("DSC.directives_supported_cd", "START_CONTINUOUS")
        )  # fmt: skip
        return f"<DEV>{device}</DEV><DCP>{timeout}</DCP><DSC>{supported}</DSC>"

    def _status(self, t_s: float) -> str:
        status = (
            element("DST.status_dttm", moment(self._now(t_s))) + element("DST.new_observations_qty", f"{self._new()}")
            + element("DST.new_events_qty", "0") + element("DST.condition_cd", "R")
        )  # fmt: skip
        return f"<DST>{status}</DST>"

    def _new(self) -> int:
        return len(self.waiting)

    def _result(self, sample: Sample) -> str:
        at = moment(self._now(sample.at_s), has_zone=self.model.has_zone)
        service = (
            element("SVC.role_cd", "LQC" if sample.level else "OBS") + element("SVC.observation_dttm", at)
            + element("SVC.sequence_nbr", f"{sample.number}")
        )  # fmt: skip
        numbers = {name: value or 0.0 for name, value in self.patient.numbers(sample.at_s).items()}
        results = "".join(self._observation(analyte, numbers) for analyte in self.model.analytes)
        if sample.level:
            control = (
                element("CTC.name", "Control") + element("CTC.lot_number", "L0423")
                + element("CTC.level_cd", sample.level)
            )  # fmt: skip
            subject = f"<CTC>{control}{results}</CTC>"
        else:
            subject = f"<PT>{element('PT.patient_id', f'{self.patient.seed:06}')}{results}</PT>"
        operator = f"<OPR>{element('OPR.operator_id', 'OP7')}</OPR>"
        reagent = (
            element("RGT.name", "Cartridge") + element("RGT.lot_number", "0426")
            + element("RGT.expiration_date", "2027-03-31")
        )  # fmt: skip
        return f"<SVC>{service}{subject}{operator}<RGT>{reagent}</RGT></SVC>"

    def _observation(self, analyte: Analyte, numbers: dict[str, float]) -> str:
        value = f"{analyte.of(numbers):.{analyte.decimals}f}"
        flag = "L" if float(value) < analyte.low else "H" if float(value) > analyte.high else "N"
        parts = [
            element("OBS.observation_id", analyte.code, SN=analyte.coding, DN=analyte.name),
            element("OBS.value", value, U=analyte.unit),
            element("OBS.method_cd", analyte.method),
            element("OBS.interpretation_cd", flag),
            element("OBS.normal_lo-hi_limit", f"[{analyte.low:g};{analyte.high:g}]"),
        ]
        notes = list(self.model.labelled_notes) + (["*"] if self.model.flags_as_notes and flag != "N" else [])
        parts += [f"<NTE>{element('NTE.text', note)}</NTE>" for note in notes]
        return f"<OBS>{''.join(parts)}</OBS>"


def _value(root: ElementTree.Element, name: str) -> str:
    """The V of the first element of this name; "" where there is none."""
    return next((each.get("V", "") for each in root.iter(name)), "")


# --- faults and the line ----------------------------------------------------------------------------------------------


def cut(data: bytes, rng: Random) -> bytes:
    """It breaks off within a message."""
    return data[: rng.randrange(len(data))]


# POCT1-A has no check sum: only what a reader notices.
FAULTS: Mapping[str, Callable[[bytes, Random], bytes]] = {
    **{kind: faults.FAULTS[kind] for kind in faults.NOTICED}, "cut": cut, "silent": faults.silent,
}  # fmt: skip


class Spoiler(faults.Spoiler):
    """With the faults of this format."""

    known = FAULTS


async def converse(device: Analyser, address: tuple[str, int], spoiler: Spoiler, stop: asyncio.Event,
                   begin: float) -> None:  # fmt: skip
    """One conversation; it ends when either side hangs up (OSError where nobody answers). `begin`: switched on then."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        device.opened(time.monotonic() - begin)
        while not stop.is_set():
            heard = b""
            try:
                async with asyncio.timeout(POLL_S):
                    heard = await reader.read(4096)
                if not heard:
                    return
            except TimeoutError:
                pass
            now_s = time.monotonic() - begin
            device.hear(heard, now_s)
            writer.write(spoiler.sent(device.speak(now_s)))
            await writer.drain()
            if device.has_closed:
                return
    finally:
        writer.close()


async def run(
    model: str, address: tuple[str, int], patient: Patient, stop: asyncio.Event, again_after_s: float = AGAIN_AFTER_S
) -> None:
    """Dial again and again until `stop`; its clock is this machine's."""
    began_at = datetime.now().astimezone().replace(microsecond=0)
    device, begin = Analyser(patient, MODELS[model], began_at=began_at), time.monotonic()
    while not stop.is_set():
        wait_s = again_after_s
        try:
            await converse(device, address, Spoiler(), stop, begin)
        except OSError:
            wait_s = RETRY_S  # nobody listens yet
        try:
            await asyncio.wait_for(stop.wait(), wait_s)
        except TimeoutError:
            continue
