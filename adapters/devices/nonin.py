"""Nonin pulse oximeters on a serial port: the ASCII line a second, and Data Format 2 with its pleth.

ASCII (operator's manuals 2500, 8500, 9600, 9847, "Real-Time Serial Output"), a line a second ended by CR LF:

    [HH:MM:SS ]SPO2=XXX HR=YYY[ F][*][B]    "---" no reading, F fast averaging, * event marked, B breath (9847)
    NONIN …, TIME …                         a header at power-up

Data Format 2 (OEM III and Xpod "Specification and Technical Information", "Serial Data Format #2"), 75 frames a second
of 5 bytes, 25 to a packet; the reports here take three packets, one second:

    | 1  | status                                                | pleth | by frame of the packet            | check   |
    | 01 | 1 SNSD ARTF OOT SNSA red·green SYNC (frame 1 only)    | 0-255 | 1-2 HR (bits 8-7, 6-0), 3 SpO2, … | sum mod |
    |    |                                                       |       | 511 and 127: no reading           | 256     |

HR and SpO2 are the 4-beat averages "formatted for recording", which go missing as soon as the finger is out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapters.driver import Channel, DeviceDriver, Piece, SerialSettings, Source
from adapters.formats.lines import LineFramer
from schemas.errors import FrameError
from schemas.report import AsSent, Kind, Record, RecordKind, Report, Samples, Validity

SPO2 = Channel("SPO2", 150456, 262688)  # MDC_PULS_OXIM_SAT_O2, MDC_DIM_PERCENT
PULSE_RATE = Channel("HR", 149530, 264864)  # MDC_PULS_OXIM_PULS_RATE, MDC_DIM_BEAT_PER_MIN
PLETH = Channel("PLETH", 150452, 262656)  # MDC_PULS_OXIM_PLETH, MDC_DIM_DIMLESS

_NUMBER = rb"( {2}\d| \d\d|\d{3}|---)"
_LINE = re.compile(rb"(?:(\d\d:\d\d:\d\d) +)?SPO2=" + _NUMBER + rb" +HR=" + _NUMBER + rb" *F? *([*B ]{0,4})")
_HEADER = re.compile(rb"(?i:NONIN|TIME|DATE)[ -~]*")
FRAME, PACKET, SECOND = 5, 125, 375  # bytes
_HR_MISSING, _SPO2_MISSING = 511, 127
# Status bit, the device's own name for it, what it makes of the values, and whether the device alarms.
_STATUS = (
    (0x40, "SNSD", Validity.INVALID, "sensor disconnected"),
    (0x08, "SNSA", Validity.INVALID, "sensor off or unusable"),
    (0x20, "ARTF", Validity.QUESTIONABLE, ""),
    (0x10, "OOT", Validity.QUESTIONABLE, ""),
)
_PERFUSION, _RED = 0x06, 0x04  # red alone is low signal quality; with green it is yellow


def read_ascii(frame: bytes, source: Source) -> Sequence[Report]:
    """One line, without its end."""
    line = frame.strip(b"\r\n")
    if _HEADER.fullmatch(line):
        said = Record(kind=RecordKind.TEXT, text=line.decode(), as_sent=AsSent("Nonin", "header"))
        return (source.report(Kind.EVENT, (said,)),)
    match = _LINE.fullmatch(line)
    if match is None:
        raise FrameError("not-a-reading", f"{len(frame)} bytes")
    clock, spo2, rate, flags = match.groups()
    records = [c.record(None if v == b"---" else v.decode()) for c, v in ((SPO2, spo2), (PULSE_RATE, rate))]
    if flags.strip():
        records.append(Record(kind=RecordKind.TEXT, text=flags.decode().strip(), as_sent=AsSent("Nonin", "mark")))
    # A time of day without its day is no instant, but with it the same bytes say the same thing twice.
    return (source.report(Kind.METRIC, records, own_time=clock is not None),)


def read_df2(frame: bytes, source: Source) -> Sequence[Report]:
    """One second: 75 frames, SYNC first."""
    if len(frame) != SECOND or not all(_begins_packet(frame[at : at + PACKET]) for at in range(0, SECOND, PACKET)):
        raise FrameError("framing", f"{len(frame)} bytes")
    for at in range(0, SECOND, FRAME):
        if sum(frame[at : at + 4]) & 0xFF != frame[at + 4]:
            raise FrameError("checksum", f"frame {at // FRAME + 1} of {SECOND // FRAME}")
    status, pleth, extra = frame[1::FRAME], frame[2::FRAME], frame[3 + 2 * PACKET :: FRAME]
    raised = [row for row in _STATUS if any(s & row[0] for s in status)]
    low = any(s & _PERFUSION == _RED for s in status)
    validity = max((row[2] for row in raised), default=Validity.QUESTIONABLE if low else Validity.VALID)
    rate, spo2 = (extra[0] & 0x03) << 7 | extra[1] & 0x7F, extra[2]
    values = (
        SPO2.record(None if spo2 == _SPO2_MISSING else spo2, validity),
        PULSE_RATE.record(None if rate == _HR_MISSING else rate, validity),
    )
    samples = Samples(1_000_000 // len(pleth), 1, 0, 0, tuple(pleth))
    wave = Record(PLETH.code, PLETH.unit, kind=RecordKind.SAMPLES, validity=validity, samples=samples)
    reports = [
        source.report(Kind.METRIC, values),
        source.report(Kind.WAVEFORM, (wave,), began_us=1_000_000),  # at its first sample
    ]
    alarms = {row[1]: row[3] for row in raised if row[3]}
    before: dict[str, str] = source.memory.get("alarms", {})
    if alarms != before:  # once as it begins and once as it ends, not once a second
        source.memory["alarms"] = alarms
        texts = alarms | {name: f"{text}: over" for name, text in before.items() if name not in alarms}
        records = [Record(kind=RecordKind.TEXT, text=t, as_sent=AsSent("Nonin", name)) for name, t in texts.items()]
        reports.append(source.report(Kind.ALERT, records))
    return reports


def _begins_packet(part: bytes) -> bool:
    """Whether a packet can begin with these bytes, up to 125: each frame's 01, bit 7 set, SYNC in the first alone."""
    starts, status = part[0::FRAME], part[1::FRAME]
    return starts == b"\x01" * len(starts) and all(s & 0x81 == (0x80 if i else 0x81) for i, s in enumerate(status))


class SecondFramer:
    """Three packets to a frame, aligned on SYNC; after a lost byte it looks for the next packet."""

    def __init__(self) -> None:
        self._buffer = b""
        self._whole = 0  # bytes at the front that are whole packets

    def feed(self, data: bytes) -> list[Piece]:
        """Pieces that are complete with these bytes."""
        self._buffer += data
        pieces = []
        while len(self._buffer) >= self._whole + PACKET:
            part = self._buffer[self._whole : self._whole + PACKET]
            if _begins_packet(part):
                self._whole += PACKET
                end, reason = (SECOND, "") if self._whole == SECOND else (0, "")
            else:
                end = self._whole + next(i for i in range(1, PACKET + 1) if _begins_packet(part[i:]))
                reason = "framing"
            if end:
                pieces.append(Piece(self._buffer[:end], reason))
                self._buffer, self._whole = self._buffer[end:], 0
        return pieces


ASCII = DeviceDriver(
    "nonin_ascii", "Nonin pulse oximeter, ASCII line a second",
    manual="Operator's manuals 2500, 8500, 9600, 9847: Real-Time Serial Output",
    transport="serial", channels=(SPO2, PULSE_RATE), read=read_ascii, framer=LineFramer, serial=SerialSettings(9600),
)  # fmt: skip
DF2 = DeviceDriver(
    "nonin_df2", "Nonin pulse oximeter, Data Format 2 with pleth",
    manual="OEM III and Xpod Specification and Technical Information: Serial Data Format #2",
    transport="serial", channels=(SPO2, PULSE_RATE, PLETH), read=read_df2, framer=SecondFramer,
    serial=SerialSettings(9600),
)  # fmt: skip
