"""Nellcor pulse oximeters on a serial port: the rows of N-560, N-595 and the NPB-290/295/395 family, and the N-200.

Rows ("Data Port Protocol" of the NPB-290/295 and N-395 manuals; rows that public receivers recorded of an N-560), 9600
8N1, one each 2 s; a heading of three lines every 25 rows and when it changes:

    N-560    VERSION 1.56.00    CRC:XXXX  SpO2 Limit: 90-100%    PR Limit: 60-170BPM
                                 ADULT            0SAT-S             [SPO2 RESP MODE: NORMAL]
    TIME                 %SpO2   BPM     PA     Status
    29-Dec-17 07:19:03    77*     66      30    MO SL       AS

"---" is no reading, and so is a 0 while the pulse is searched (PS). A star is taken as what the status says anyway: a
value in alarm. On the same port is a menu by which the clock and trends are changed: nothing is ever sent. A row has no
length and no checksum that would be told; it counts with its line end alone.

N-200 (manual, pages 52 and 56), packets of three-digit numbers, drawn in `adapters/sessions/nellcor_n200.py`: R rate,
S saturation, P amplitude, L and H rate limits, O lower saturation limit, A alarms, M status. What T and Q are, and the
speed of the port (9600 here, unless the link says another), no document tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source
from adapters.formats.alarm_changes import changed_alarms
from adapters.formats.moments import moment_of
from adapters.formats.redaction import nothing_to_redact
from adapters.formats.site_rows import mapped_records
from adapters.quality import Quality, done, exempt
from adapters.sessions.lines import LineSession
from adapters.sessions.nellcor_n200 import NellcorN200Session
from schemas.errors import FrameError
from schemas.report import Alarm, AlarmKind, AsSent, Kind, Record, RecordKind, Report, Validity

SYSTEM = "Nellcor"
SPO2 = Channel("SpO2", 150456, 262688)  # MDC_PULS_OXIM_SAT_O2, MDC_DIM_PERCENT
PULSE_RATE = Channel("BPM", 149530, 264864)  # MDC_PULS_OXIM_PULS_RATE, MDC_DIM_BEAT_PER_MIN
_AMPLITUDE = AsSent(SYSTEM, "PA")

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_ROW = re.compile(
    rb"(\d\d)-([A-Za-z]{3})-(\d\d) (\d\d):(\d\d):(\d\d) +(\d{1,3}|---)(\*?) +(\d{1,3}|---)(\*?) +(\d{1,3}|---)(\*?)"
    rb"((?: +[A-Z]{2})*) *"
)
_LIMITS = re.compile(
    rb"(\S+) +VERSION +(\S+) +CRC: ?(\S+) +SpO2 Limit: *(\d+)- *(\d+)% +PR Limit: *(\d+)- *(\d+)BPM *", re.IGNORECASE
)
_MODES = re.compile(rb" *(ADULT|NEO[A-Z]*) +(\d+)SAT-S(?: +SPO2 RESP MODE: *([A-Z]+))? *", re.IGNORECASE)
_COLUMNS = re.compile(rb" *TIME +%SPO2 +BPM +PA +Status *", re.IGNORECASE)
# Conditions: whether they are the patient's, in words.
_PATIENT, _DEVICE = AlarmKind.PHYSIOLOGICAL, AlarmKind.TECHNICAL
_ALARMS = {
    "SH": (_PATIENT, "saturation above its limit"), "SL": (_PATIENT, "saturation below its limit"),
    "PH": (_PATIENT, "pulse rate above its limit"), "PL": (_PATIENT, "pulse rate below its limit"),
    "LP": (_PATIENT, "loss of pulse"), "LM": (_PATIENT, "loss of pulse, with motion"),
    "SD": (_DEVICE, "sensor disconnected"), "SO": (_DEVICE, "sensor off"), "LB": (_DEVICE, "low battery"),
}  # fmt: skip
_WORDS = {
    "AO": "alarm off", "AS": "alarm silenced", "BU": "on battery", "MO": "interference", "PS": "pulse search",
}  # fmt: skip
_NO_SIGNAL = frozenset(("SD", "SO", "LP"))
_DOUBTFUL = frozenset(("MO", "PS", "LM"))
_SILENT = frozenset(("AO", "AS"))
_ABOUT_SPO2 = frozenset(("SH", "SL", "high saturation", "low saturation"))

_PACKET = re.compile(
    rb"\x02R(\d{3})S(\d{3})P(\d{3})L(\d{3})H(\d{3})O(\d{3})A(\d{3})M(\d{3})T(\d{6})Q(\d{3})\r\n\x03?.\x03", re.DOTALL
)
_LOCKED, _ATTACHED, _AUDIO_ON, _WITHOUT_ECG, _LOST = 0x01, 0x02, 0x04, 0x08, 0x80
_ALARM_BITS = {0x01: "high rate", 0x02: "low rate", 0x04: "low saturation", 0x08: "high saturation"}

Limits = dict[str, int]  # "SpO2 low" and so on


class NellcorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one oximeter."""

    device: Annotated[
        str | None, Meta(description="its identity, site:nellcor:serial; the port stands for it when left out")
    ] = None


def read_rows(frame: bytes, source: Source[NellcorSettings]) -> Sequence[Report]:
    """One line, without its end."""
    row = _ROW.fullmatch(frame)
    if row is not None:
        return _row(row, source)
    limits, modes = _LIMITS.fullmatch(frame), _MODES.fullmatch(frame)
    if limits is not None:
        return _heading(limits, source)
    if modes is not None:
        return _modes(modes, source)
    if _COLUMNS.fullmatch(frame):
        return ()
    raise FrameError("not-a-reading", f"{len(frame)} bytes")


def _row(row: re.Match[bytes], source: Source[NellcorSettings]) -> list[Report]:
    fields = [field.decode("ascii") for field in row.groups()]
    day, month, year, hour, minute, second, spo2, spo2_star, rate, rate_star, amplitude, pa_star, status = fields
    codes = status.split()
    number = _MONTHS.index(month.upper()) + 1 if month.upper() in _MONTHS else 0
    stated = f"20{year}{number:02}{day}{hour}{minute}{second}"
    moment = moment_of((("time", stated),), source.time_zone, source.received_at_us)
    values = [
        _value(SPO2, None, spo2, spo2_star, codes),
        _value(PULSE_RATE, None, rate, rate_star, codes),
        _value(None, _AMPLITUDE, amplitude, pa_star, codes),
    ]
    records = mapped_records(values, source)
    claim = source.claim(source.settings.device)
    reports = [moment.report(Kind.METRIC, claim, moment.noted(records))]
    alarms = _alarm_records(_row_alarms(codes, source), source)
    if alarms:
        reports.append(moment.report(Kind.ALARM, claim, alarms))
    words = ", ".join(_WORDS.get(code, code) for code in codes if code not in _ALARMS)
    if source.memory.get("status", "") != words:
        source.remember_emitted("status", words)
        reports.append(moment.report(Kind.EVENT, claim, (_text("status", words or "none"),)))
    return reports


def _value(channel: Channel | None, as_sent: AsSent | None, sent: str, star: str, codes: Sequence[str]) -> Record:
    """A value of a row; none without a signal, and none while the pulse is searched and it is 0."""
    code, unit = (channel.code, channel.unit) if channel else (0, 0)
    is_none = sent == "---" or not _NO_SIGNAL.isdisjoint(codes) or ("PS" in codes and int(sent) == 0)
    if is_none:
        return Record(code, unit, validity=Validity.NOT_AVAILABLE, as_sent=as_sent)
    validity = Validity.VALID if _DOUBTFUL.isdisjoint(codes) else Validity.QUESTIONABLE
    note = "in alarm" if star else None
    return Record(code, unit, validity=validity, mantissa=int(sent), note=note, as_sent=as_sent)


def _row_alarms(codes: Sequence[str], source: Source[NellcorSettings]) -> dict[str, Alarm]:
    limits: Limits = source.memory.get("limits", {})
    is_silent = not _SILENT.isdisjoint(codes)
    present = {}
    for code in codes:
        if code in _ALARMS:
            kind, words = _ALARMS[code]
            low, high = _limits_of(code, limits)
            present[code] = Alarm(code, kind=kind, low=low, high=high, audio_paused=is_silent, text=words)
    return present


def _limits_of(code: str, limits: Limits) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """The limits that a condition is about, where the device has told them."""
    name = {"SH": "SpO2", "SL": "SpO2", "PH": "PR", "PL": "PR"}.get(code, "")
    low, high = limits.get(f"{name} low"), limits.get(f"{name} high")
    return None if low is None else (low, 0), None if high is None else (high, 0)


def _alarm_records(present: Mapping[str, Alarm], source: Source[NellcorSettings]) -> list[Record]:
    records = []
    for name, alarm in changed_alarms(present, source, source.claim(source.settings.device)):
        channel = SPO2 if name in _ABOUT_SPO2 or alarm.kind is _DEVICE else PULSE_RATE
        records.append(Record(channel.code, channel.unit, kind=RecordKind.ALARM, alarm=alarm))
    return records


def _heading(match: re.Match[bytes], source: Source[NellcorSettings]) -> list[Report]:
    """Model, version and limits, where they have changed."""
    model, version, crc = (part.decode("ascii", "backslashreplace") for part in match.groups()[:3])
    numbers = [int(number) for number in match.groups()[3:]]
    names = ("SpO2 low", "SpO2 high", "PR low", "PR high")
    limits = dict(zip(names, numbers, strict=True))
    reports = _changed_limits(limits, source)
    text = f"{model}, version {version}, CRC {crc}"
    if source.memory.get("model") != text:
        source.remember_emitted("model", text)
        claim = source.claim(source.settings.device)
        reports.append(source.report(Kind.EVENT, (_text("model", text),), claim=claim))
    return reports


def _changed_limits(limits: Limits, source: Source[NellcorSettings]) -> list[Report]:
    if source.memory.get("limits") == limits:
        return []
    source.remember_emitted("limits", limits)
    records = []
    for name, number in limits.items():
        unit, word = (SPO2.unit, "%") if name.startswith("SpO2") else (PULSE_RATE.unit, "BPM")
        records.append(Record(0, unit, mantissa=number, as_sent=AsSent(SYSTEM, f"{name} limit", word)))
    return [source.report(Kind.SETTING, records, claim=source.claim(source.settings.device))]


def _modes(match: re.Match[bytes], source: Source[NellcorSettings]) -> list[Report]:
    """Which patients, the limit of SatSeconds and the response, where they have changed."""
    patients, seconds, response = (None if part is None else part.decode("ascii") for part in match.groups())
    records = [
        _text("patient", patients or ""),
        Record(mantissa=int(seconds or "0"), as_sent=AsSent(SYSTEM, "SAT-S")),
    ]
    if response is not None:
        records.append(_text("SPO2 RESP MODE", response))
    if source.memory.get("modes") == records:
        return []
    source.remember_emitted("modes", records)
    return [source.report(Kind.SETTING, records, claim=source.claim(source.settings.device))]


def _text(name: str, text: str) -> Record:
    return Record(kind=RecordKind.TEXT, text=text, as_sent=AsSent(SYSTEM, name))


# --- N-200 ------------------------------------------------------------------------------------------------------------


def read_n200(frame: bytes, source: Source[NellcorSettings]) -> Sequence[Report]:
    """One packet."""
    match = _PACKET.fullmatch(frame)
    if match is None:
        raise FrameError("not-a-reading", f"{len(frame)} bytes")
    rate, spo2, amplitude, low_rate, high_rate, low_spo2, alarms, status = (int(n) for n in match.groups()[:8])
    unknown = f"T={match[9].decode('ascii')} Q={match[10].decode('ascii')}"
    has_signal = bool(status & _LOCKED) and bool(status & _ATTACHED) and not status & _LOST
    records = [
        _number(SPO2.code, SPO2.unit, spo2, None, has_signal, unknown),
        _number(PULSE_RATE.code, PULSE_RATE.unit, rate, None, has_signal),
        _number(0, 0, amplitude, AsSent(SYSTEM, "P"), has_signal),
    ]
    claim = source.claim(source.settings.device)
    reports = [source.report(Kind.METRIC, mapped_records(records, source), claim=claim)]
    reports += _changed_limits({"SpO2 low": low_spo2, "PR low": low_rate, "PR high": high_rate}, source)
    present = {
        name: Alarm(
            name,
            kind=_PATIENT,
            low={0x02: (low_rate, 0), 0x04: (low_spo2, 0)}.get(bit),
            high=(high_rate, 0) if bit == 0x01 else None,
            audio_paused=not status & _AUDIO_ON,
        )
        for bit, name in _ALARM_BITS.items()
        if alarms & bit
    }
    changed = _alarm_records(present, source)
    if changed:
        reports.append(source.report(Kind.ALARM, changed, claim=claim))
    words = _n200_words(status)
    if source.memory.get("status") != words:
        source.remember_emitted("status", words)
        reports.append(source.report(Kind.EVENT, (_text("status", words),), claim=claim))
    return reports


def _number(
    code: int, unit: int, number: int, as_sent: AsSent | None, has_signal: bool, note: str | None = None
) -> Record:
    if not has_signal:
        return Record(code, unit, validity=Validity.NOT_AVAILABLE, note=note, as_sent=as_sent)
    return Record(code, unit, mantissa=number, note=note, as_sent=as_sent)


def _n200_words(status: int) -> str:
    words = [
        "pulse locked" if status & _LOCKED else "pulse search",
        "sensor attached" if status & _ATTACHED else "no sensor",
        "audio on" if status & _AUDIO_ON else "audio off",
    ]
    if not status & _WITHOUT_ECG:
        words.append("ECG in use")
    if status & _LOST:
        words.append("monitor lost")
    return ", ".join(words)


N595 = DeviceDriver(
    name="nellcor_n595",
    title="Nellcor N-560, N-595, NPB-290/295/395: a row each two seconds",
    manual="NPB-290/295 and N-395 manuals: Data Port Protocol",
    settings=NellcorSettings,
    read=read_rows,
    session=lambda settings: LineSession(),
    channels=(SPO2, PULSE_RATE),
    serial=SerialSettings(9600, flow_control="xon-xoff"),
    has_local_times=lambda _: True,
    quality=Quality(
        numerics=done(),
        waves=exempt("the rows have none"),
        alarms=done("limits with their values, loss of pulse, sensor, battery; silenced"),
        settings=done("limits, patients, response, SatSeconds"),
        clock=done("local, two digits of the year"),
        no_reading=done("dashes, no sensor, and zero while the pulse is searched"),
        disconnect=done("a port that is gone is told and opened again"),
    ),
    redact=nothing_to_redact,
)
N200 = DeviceDriver(
    name="nellcor_n200",
    title="Nellcor N-200, packets each ten seconds and on change",
    manual="N-200 manual, pages 52 and 56",
    settings=NellcorSettings,
    read=read_n200,
    session=lambda settings: NellcorN200Session(),
    channels=(SPO2, PULSE_RATE),
    serial=SerialSettings(9600),
    quality=Quality(
        numerics=done("T and Q as they came: no document tells what they are"),
        waves=exempt("the packets have none"),
        alarms=done(),
        settings=done("limits"),
        clock=exempt("the packets have none"),
        no_reading=done("pulse search, no sensor, monitor lost"),
        disconnect=done("a port that is gone is told and opened again"),
    ),
    redact=nothing_to_redact,
)
