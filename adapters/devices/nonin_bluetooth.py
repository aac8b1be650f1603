"""Nonin's wireless oximeters (9560 Onyx II, WristOx2 3150) by the serial port that a Bluetooth adapter makes of them.

"9560 OEM Specification and Technical Information" 6470-000-01. Data Format 7, 75 frames a second of 5 bytes, 25 to a
packet; the reports here take three packets, one second:

    | status                           | pleth, high | low | by frame of the packet             | sum of the four |
    | 1 - ARTF OOT SNSA red green SYNC | 16 bits           | 1-2 HR, 3 SpO2, 4 firmware, 8 STAT2 | modulo 256      |

Data Format 13, a measurement at a time, 14 bytes of data or more:

    | 0 - 6                 | 7        | 8           | 9            | 10 - 11 | 12       | 13   |
    | century YY MM DD hh mm ss, BCD | fraction | status high | status low   | HR      | reserved | SpO2 |

HR 511 and SpO2 127 are no reading. Status high: 02 SmartPoint, 01 no measurement; low: 10 from memory, 01 low battery.
STAT2: 20 SmartPoint, 01 low battery. HR and SpO2 of format 7 are the 4-beat averages; the others are not read. Which
format the device sends is set on it: nothing is sent to it. A reading from memory has its own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source
from adapters.formats.alarm_changes import changed_alarms
from adapters.formats.moments import moment_of
from adapters.formats.nonin_status import quality, unusable_stretches
from adapters.formats.redaction import nothing_to_redact
from adapters.quality import Quality, done, exempt
from adapters.sessions.nonin_df7 import FRAME, PACKET, SECOND, NoninDf7Session, begins_packet
from adapters.sessions.nonin_df13 import DATA_BYTES_MIN, ETX, HEAD, HEAD_BYTES, TAIL_BYTES, NoninDf13Session
from schemas.errors import FrameError
from schemas.report import Alarm, AlarmKind, AsSent, Kind, Record, RecordKind, Report, Samples, Validity

SPO2 = Channel("SPO2", 150456, 262688)  # MDC_PULS_OXIM_SAT_O2, MDC_DIM_PERCENT
PULSE_RATE = Channel("HR", 149530, 264864)  # MDC_PULS_OXIM_PULS_RATE, MDC_DIM_BEAT_PER_MIN
PLETH = Channel("PLETH", 150452, 262656)  # MDC_PULS_OXIM_PLETH, MDC_DIM_DIMLESS

SAMPLES_PER_S = SECOND // FRAME  # 75
_HR_MISSING, _SPO2_MISSING = 511, 127
_SNSA = 0x08
_FIRMWARE, _STAT2 = 3, 7  # places in a packet
_LOW_BATTERY = 0x01
_NO_MEASUREMENT, _FROM_MEMORY = 0x01, 0x10
_SIGN_OFFSET = 32768  # the samples are signed


class NoninBluetoothSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one oximeter."""

    device: Annotated[
        str | None, Meta(description="its identity, site:nonin:serial; the port stands for it when left out")
    ] = None


def _claim(source: Source[NoninBluetoothSettings]) -> str:
    return source.claim(source.settings.device)


# --- format 7 ---------------------------------------------------------------------------------------------------------


def read_df7(frame: bytes, source: Source[NoninBluetoothSettings]) -> Sequence[Report]:
    """One second: 75 frames, SYNC first."""
    if len(frame) != SECOND or not all(begins_packet(frame[at : at + PACKET]) for at in range(0, SECOND, PACKET)):
        raise FrameError("framing", f"{len(frame)} bytes")
    first_sample: int = source.memory.get("samples", 0)
    source.memory["samples"] = first_sample + SAMPLES_PER_S  # of a second that cannot be read too: it shows as lost
    for at in range(0, SECOND, FRAME):
        if sum(frame[at : at + 4]) & 0xFF != frame[at + 4]:
            raise FrameError("checksum", f"frame {at // FRAME + 1} of {SAMPLES_PER_S}")
    status, extra = frame[0::FRAME], frame[3 + 2 * PACKET :: FRAME]
    validity = Validity.INVALID if any(s & _SNSA for s in status) else quality(status)
    rate, spo2 = (extra[0] & 0x03) << 7 | extra[1] & 0x7F, extra[2] & 0x7F
    values = (
        SPO2.record(None if spo2 == _SPO2_MISSING else spo2, validity),
        PULSE_RATE.record(None if rate == _HR_MISSING else rate, validity),
    )
    claim = _claim(source)
    wave = _wave(frame, status, first_sample)
    reports = [
        source.report(Kind.METRIC, values, claim=claim),
        source.report(Kind.WAVEFORM, (wave,), claim=claim, began_us=1_000_000),
    ]
    present = {}
    if any(s & _SNSA for s in status):
        present["SNSA"] = Alarm("SNSA", kind=AlarmKind.TECHNICAL, text="sensor off or unusable")
    if extra[_STAT2] & _LOW_BATTERY:
        present["low battery"] = _battery_alarm()
    reports += _alarms(present, source)
    firmware = str(extra[_FIRMWARE] & 0x7F)
    if source.memory.get("firmware") != firmware:
        source.remember_emitted("firmware", firmware)
        record = Record(kind=RecordKind.TEXT, text=firmware, as_sent=AsSent("Nonin", "firmware"))
        reports.append(source.report(Kind.EVENT, (record,), claim=claim))
    return reports


def _wave(frame: bytes, status: bytes, first_sample: int) -> Record:
    """The pleth; where the sensor gave nothing usable, the stretches are invalid."""
    raw = bytearray()
    for high, low in zip(frame[1::FRAME], frame[2::FRAME], strict=True):
        raw += ((high << 8 | low) - _SIGN_OFFSET).to_bytes(2, "little", signed=True)
    invalid = unusable_stretches(status, _SNSA)
    samples = Samples(
        rate_numerator=SAMPLES_PER_S,
        rate_denominator=1,
        scale_mantissa=1,
        offset_mantissa=_SIGN_OFFSET,
        exponent=0,
        raw=bytes(raw),
        first_sample=first_sample,
        invalid=invalid,
    )
    validity = Validity.INVALID if invalid == ((0, len(status)),) else quality(status)
    return Record(PLETH.code, PLETH.unit, kind=RecordKind.SAMPLES, validity=validity, samples=samples)


def _battery_alarm() -> Alarm:
    return Alarm("low battery", kind=AlarmKind.TECHNICAL, text="low battery")


def _alarms(present: dict[str, Alarm], source: Source[NoninBluetoothSettings]) -> list[Report]:
    changed = changed_alarms(present, source, _claim(source))
    if not changed:
        return []
    records = [Record(SPO2.code, SPO2.unit, kind=RecordKind.ALARM, alarm=alarm) for _, alarm in changed]
    return [source.report(Kind.ALARM, records, claim=_claim(source))]


# --- format 13 --------------------------------------------------------------------------------------------------------


def read_df13(frame: bytes, source: Source[NoninBluetoothSettings]) -> Sequence[Report]:
    """One measurement, whole with head and end."""
    data = frame[HEAD_BYTES:-TAIL_BYTES]
    is_whole = len(frame) >= HEAD_BYTES + DATA_BYTES_MIN + TAIL_BYTES and frame[-1] == ETX and frame.startswith(HEAD)
    if not is_whole or int.from_bytes(frame[4:6], "big") != len(data):
        raise FrameError("framing", f"{len(frame)} bytes")
    if sum(data) & 0xFF != frame[-TAIL_BYTES]:
        raise FrameError("checksum")
    high, low = data[8], data[9]
    rate, spo2 = int.from_bytes(data[10:12], "big") & 0x1FF, data[13] & 0x7F
    is_none = bool(high & _NO_MEASUREMENT)
    # Hexadecimal digits of BCD are the decimal ones; what is no BCD is no time, and noted as such.
    moment = moment_of((("time", data[:7].hex()),), source.time_zone, source.received_at_us)
    records = [
        SPO2.record(None if is_none or spo2 == _SPO2_MISSING else spo2),
        PULSE_RATE.record(None if is_none or rate == _HR_MISSING else rate),
    ]
    if low & _FROM_MEMORY:
        records.append(Record(kind=RecordKind.TEXT, text="from memory", as_sent=AsSent("Nonin", "status")))
    reports = [moment.report(Kind.METRIC, _claim(source), moment.noted(records))]
    if not low & _FROM_MEMORY:
        reports += _alarms({"low battery": _battery_alarm()} if low & _LOW_BATTERY else {}, source)
    return reports


DF7 = DeviceDriver(
    name="nonin_df7",
    title="Nonin wireless oximeter, Data Format 7 with pleth",
    manual="9560 OEM Specification and Technical Information 6470-000-01: Data Format 7",
    settings=NoninBluetoothSettings,
    read=read_df7,
    session=lambda settings: NoninDf7Session(),
    channels=(SPO2, PULSE_RATE, PLETH),
    serial=SerialSettings(9600),
    quality=Quality(
        numerics=done("4-beat averages"),
        waves=done("pleth, 75 Hz, 16 bits"),
        alarms=done("sensor, battery"),
        settings=exempt("the format has none"),
        clock=exempt("the format has none but a counter"),
        no_reading=done(),
        disconnect=done("a port that is gone is told and opened again"),
    ),
    redact=nothing_to_redact,
)
DF13 = DeviceDriver(
    name="nonin_df13",
    title="Nonin wireless oximeter, Data Format 13: a measurement at a time",
    manual="9560 OEM Specification and Technical Information 6470-000-01: Data Format 13",
    settings=NoninBluetoothSettings,
    read=read_df13,
    session=lambda settings: NoninDf13Session(),
    channels=(SPO2, PULSE_RATE),
    serial=SerialSettings(9600),
    has_local_times=lambda _: True,
    speaks_regularly=False,
    quality=Quality(
        numerics=done(),
        waves=exempt("a measurement at a time"),
        alarms=done("battery; the format has no others"),
        settings=exempt("the format has none"),
        clock=done("local, BCD; readings from memory have theirs"),
        no_reading=done(),
        disconnect=done("a port that is gone is told and opened again"),
    ),
    redact=nothing_to_redact,
)
