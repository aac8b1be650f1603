"""Nonin pulse oximeters on a serial port: the ASCII line a second, and Data Format 2 with its pleth.

ASCII (operator's manuals 2500, 8500, 9600, 9847, "Real-Time Serial Output"), a line a second ended by CR LF:

    [HH:MM:SS ]SPO2=XXX HR=YYY[ F][*][B]    "---" no reading, F fast averaging, * event marked, B breath (9847)
    NONIN …, TIME …                         a header at power-up

Data Format 2 (OEM III and Xpod "Specification and Technical Information", "Serial Data Format #2"), 75 frames a second
of 5 bytes, 25 to a packet; the reports here take three packets, one second:

    | 1  | status                                                | pleth | by frame of the packet            | check   |
    | 01 | 1 SNSD ARTF OOT SNSA red·green SYNC (frame 1 only)    | 0-255 | 1-2 HR (bits 8-7, 6-0), 3 SpO2, … | sum mod |
    |    |                                                       |       | 511 and 127: no reading           | 256     |

HR and SpO2 are the 4-beat averages "formatted for recording", which go missing as soon as the finger is out. What the
status says of them, by the manual's own words:

- SNSD, sensor disconnected, and SNSA, "unusable data for analysis", hold as long as they last: INVALID.
- OOT, "absence of consecutive good pulse signals", holds as long as it lasts: QUESTIONABLE.
- ARTF and the perfusion bits say something of one pulse, "only during pulse", held for 160 ms, 12 frames; the average
  is made of four. It is QUESTIONABLE where the second has a pulse that is an artifact, or where most of its pulses are
  red: red is low signal quality, green high, both together yellow, medium. A pulse of which the second has less than
  half is the other second's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source
from adapters.formats.nonin_status import quality, unusable_stretches
from adapters.formats.redaction import nothing_to_redact
from adapters.quality import Quality, done, exempt
from adapters.sessions.lines import LineSession
from adapters.sessions.nonin_df2 import FRAME, PACKET, SECOND, NoninDf2Session, begins_packet
from schemas.errors import FrameError
from schemas.report import (
    Alarm,
    AlarmKind,
    AlarmState,
    AsSent,
    Kind,
    Record,
    RecordKind,
    Report,
    Samples,
    Validity,
)

SPO2 = Channel("SPO2", 150456, 262688)  # MDC_PULS_OXIM_SAT_O2, MDC_DIM_PERCENT
PULSE_RATE = Channel("HR", 149530, 264864)  # MDC_PULS_OXIM_PULS_RATE, MDC_DIM_BEAT_PER_MIN
PLETH = Channel("PLETH", 150452, 262656)  # MDC_PULS_OXIM_PLETH, MDC_DIM_DIMLESS

_NUMBER = rb"( {2}\d| \d\d|\d{3}|---)"
_LINE = re.compile(rb"(?:\d\d:\d\d:\d\d +)?SPO2=" + _NUMBER + rb" +HR=" + _NUMBER + rb" *F? *([*B ]{0,4})")
_HEADER = re.compile(rb"(?i:NONIN|TIME|DATE)[ -~]*")

SAMPLES_PER_S = SECOND // FRAME  # 75
_HR_MISSING, _SPO2_MISSING = 511, 127
_SNSD, _SNSA = 0x40, 0x08
_UNUSABLE = _SNSD | _SNSA
# The conditions that the device alarms of: status bit, its own name for it, in words.
_CONDITIONS = ((_SNSD, "SNSD", "sensor disconnected"), (_SNSA, "SNSA", "sensor off or unusable"))


class NoninSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one oximeter."""

    device: Annotated[
        str | None, Meta(description="its identity, site:nonin:serial; the port stands for it when left out")
    ] = None


def read_ascii(frame: bytes, source: Source[NoninSettings]) -> Sequence[Report]:
    """One line, without its end. A time of day without its day is no instant, and no time of the frame's own."""
    claim = source.claim(source.settings.device)
    line = frame.strip(b"\r\n")
    if _HEADER.fullmatch(line):
        header = Record(kind=RecordKind.TEXT, text=line.decode("ascii"), as_sent=AsSent("Nonin", "header"))
        return (source.report(Kind.EVENT, (header,), claim=claim),)
    match = _LINE.fullmatch(line)
    if match is None:
        raise FrameError("not-a-reading", f"{len(frame)} bytes")
    spo2, rate, flags = match.groups()
    records = [
        SPO2.record(None if spo2 == b"---" else spo2.decode("ascii")),
        PULSE_RATE.record(None if rate == b"---" else rate.decode("ascii")),
    ]
    marks = flags.decode("ascii").strip()
    if marks:
        records.append(Record(kind=RecordKind.TEXT, text=marks, as_sent=AsSent("Nonin", "mark")))
    return (source.report(Kind.METRIC, records, claim=claim),)


def read_df2(frame: bytes, source: Source[NoninSettings]) -> Sequence[Report]:
    """One second: 75 frames, SYNC first."""
    if len(frame) != SECOND or not all(begins_packet(frame[at : at + PACKET]) for at in range(0, SECOND, PACKET)):
        raise FrameError("framing", f"{len(frame)} bytes")
    first_sample: int = source.memory.get("samples", 0)
    source.memory["samples"] = first_sample + SAMPLES_PER_S  # of a second that cannot be read too: it shows as lost
    for at in range(0, SECOND, FRAME):
        if sum(frame[at : at + 4]) & 0xFF != frame[at + 4]:
            raise FrameError("checksum", f"frame {at // FRAME + 1} of {SECOND // FRAME}")
    claim = source.claim(source.settings.device)
    status, pleth, extra = frame[1::FRAME], frame[2::FRAME], frame[3 + 2 * PACKET :: FRAME]
    validity = Validity.INVALID if any(s & _UNUSABLE for s in status) else quality(status)
    rate, spo2 = (extra[0] & 0x03) << 7 | extra[1] & 0x7F, extra[2] & 0x7F
    values = (
        SPO2.record(None if spo2 == _SPO2_MISSING else spo2, validity),
        PULSE_RATE.record(None if rate == _HR_MISSING else rate, validity),
    )
    reports = [
        source.report(Kind.METRIC, values, claim=claim),
        source.report(Kind.WAVEFORM, (_wave(status, pleth, first_sample),), claim=claim, began_us=1_000_000),
    ]
    alarms = _alarms(status, source)
    if alarms:
        reports.append(source.report(Kind.ALARM, alarms, claim=claim))
    return reports


def _wave(status: bytes, pleth: bytes, first_sample: int) -> Record:
    """The pleth; where the sensor gave nothing usable, the stretches are invalid."""
    invalid = unusable_stretches(status, _UNUSABLE)
    validity = Validity.INVALID if invalid == ((0, len(status)),) else quality(status)
    raw = bytearray(2 * len(pleth))
    raw[0::2] = pleth  # the high byte of each is 0
    samples = Samples(
        rate_numerator=SAMPLES_PER_S,
        rate_denominator=1,
        scale_mantissa=1,
        offset_mantissa=0,
        exponent=0,
        raw=bytes(raw),
        first_sample=first_sample,
        invalid=invalid,
    )
    return Record(PLETH.code, PLETH.unit, kind=RecordKind.SAMPLES, validity=validity, samples=samples)


def _alarms(status: bytes, source: Source[NoninSettings]) -> list[Record]:
    """The state of each condition at a connection's start and whenever one begins or ends; none where none changed."""
    states = {name: AlarmState(any(s & bit for s in status)) for bit, name, _ in _CONDITIONS}
    if states == source.memory.get("alarms"):
        return []
    source.remember_emitted("alarms", states)
    alarms = [Alarm(name, state=states[name], kind=AlarmKind.TECHNICAL, text=text) for _, name, text in _CONDITIONS]
    return [Record(SPO2.code, SPO2.unit, kind=RecordKind.ALARM, alarm=alarm) for alarm in alarms]


_NO_SETTING = "the serial output tells none"
_DISCONNECT = "no session: it speaks by itself as soon as it is plugged in, and is begun anew with each connection"
ASCII_QUALITY = Quality(
    numerics=done("SpO2 and pulse rate"),
    waves=exempt("the line has none: Data Format 2 has"),
    alarms=exempt("the line has none; its marks are kept as a text"),
    settings=exempt(_NO_SETTING),
    clock=exempt("some models print a time of day without its day, which is no instant"),
    no_reading=done("three dashes"),
    disconnect=done(_DISCONNECT),
)
DF2_QUALITY = Quality(
    numerics=done("SpO2 and pulse rate, averages of four beats"),
    waves=done("the pleth, 75 a second"),
    alarms=done("sensor disconnected, sensor off: each as it begins and ends"),
    settings=exempt(_NO_SETTING),
    clock=exempt("the format has none"),
    no_reading=done("511 and 127"),
    disconnect=done(_DISCONNECT),
)
ASCII = DeviceDriver(
    name="nonin_ascii",
    title="Nonin pulse oximeter, ASCII line a second",
    manual="Operator's manuals 2500, 8500, 9600, 9847: Real-Time Serial Output",
    redact=nothing_to_redact,
    settings=NoninSettings,
    read=read_ascii,
    session=lambda settings: LineSession(),
    channels=(SPO2, PULSE_RATE),
    serial=SerialSettings(9600),
    quality=ASCII_QUALITY,
)
DF2 = DeviceDriver(
    name="nonin_df2",
    title="Nonin pulse oximeter, Data Format 2 with pleth",
    manual="OEM III and Xpod Specification and Technical Information: Serial Data Format #2",
    redact=nothing_to_redact,
    settings=NoninSettings,
    read=read_df2,
    session=lambda settings: NoninDf2Session(),
    channels=(SPO2, PULSE_RATE, PLETH),
    serial=SerialSettings(9600),
    quality=DF2_QUALITY,
)
