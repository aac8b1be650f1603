"""Fresenius infusion pumps in an Orchestra Base, or a Module DPS alone: what they answer to reads.

No document of the maker was seen; what is here is what a public reader has: infupy (fresenius.py). A field is a letter
and a number in hex, `d0078`:

    d   rate, 0.1 mL/h     r   volume, 0.001 mL     k, s   bolus rate and volume     m   mode     a, e   alarm, error
    b   of the base: its modules, a bit each; of a module: the kind of device

Scales of k and s, and what the bits of m, a and e mean, are not told: k, s and m are kept as they were sent, and each
bit of a and e is an alarm of its own, without a priority, until it is cleared or its module is taken out. An answer of
error is an event, and so is what a module says by itself, but for values, which are read. A field without its number is
no reading. There is no time on the line. The Agilia family speaks another protocol, which is not read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source
from adapters.formats.alarm_changes import changed_alarms
from adapters.formats.orchestra_frames import BASE, DONE, ERROR, Answer, read_answer
from adapters.formats.redaction import nothing_to_redact
from adapters.formats.values import text_record
from adapters.quality import Quality, done, exempt
from adapters.sessions.orchestra import REQUESTS, OrchestraSession
from schemas.report import Alarm, AlarmKind, AsSent, Kind, Record, RecordKind, Report

SYSTEM = "Fresenius Orchestra"
RATE = Channel("d", 157784, 265266)  # MDC_FLOW_FLUID_PUMP, MDC_DIM_MILLI_L_PER_HR
VOLUME = Channel("r", 157864, 263762)  # MDC_VOL_FLUID_DELIV, MDC_DIM_MILLI_L
_SCALES = {"d": (RATE, -1), "r": (VOLUME, -3)}  # exponent of ten of a unit
_NAMES = {"k": "bolus rate", "s": "bolus volume", "m": "mode"}
_ALARM_WORDS = {"a": "alarm", "e": "error"}
_MODULES = ("1", "2", "3", "4", "5")
_HEX = re.compile("[0-9A-Fa-f]{1,8}")
# Of the application; those of the link are of single bytes, which its session answers.
_ERRORS = {
    "01": "unknown command", "02": "mode", "03": "status", "04": "syntax", "05": "mode change", "06": "mode change",
    "07": "mode change", "08": "limit", "09": "mode change", "0A": "identifier", "0B": "identifier", "0C": "too long",
    "0D": "base not open", "0E": "module impossible", "12": "alarm", "14": "rate", "15": "volume", "16": "empty",
    "1A": "event", "1E": "module not open", "1F": "not manual", "20": "port", "22": "mode", "24": "connection mode",
    "25": "drug",
}  # fmt: skip


class OrchestraSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one base, or one pump that stands alone."""

    device: Annotated[
        str | None, Meta(description="its identity, site:fresenius:serial; the port stands for it when left out")
    ] = None
    base: Annotated[bool, Meta(description="whether an Orchestra Base is on the port, else a Module DPS alone")] = True
    poll_s: Annotated[float, Meta(ge=0.5, le=60, description="how often each pump is asked")] = 2.0


OrchestraSource = Source[OrchestraSettings]


def read(frame: bytes, source: OrchestraSource) -> Sequence[Report]:
    """One answer, or what was said without being asked."""
    answer = read_answer(frame)
    claim = _claim(answer.origin, source)
    if answer.status == ERROR:
        words = [f"{code} {_ERRORS.get(code.upper(), '')}".strip() for code in answer.fields]
        return _once("error", claim, Kind.EVENT, [text_record(SYSTEM, "error", word) for word in words], source)
    values = {field[0]: field[1:] for field in answer.fields if field}
    if answer.origin == BASE:
        return _base(values, claim, source)
    return _pump(answer, values, claim, source)


def _claim(origin: str, source: OrchestraSource) -> str:
    """The base is its port, or as declared; a pump in it is its place there."""
    whole = source.claim(source.settings.device)
    return whole if origin in ("", BASE) else f"{whole}/module={origin}"


def _once(
    key: str, claim: str, kind: Kind, records: Iterable[Record], source: OrchestraSource
) -> list[Report]:  # fmt: skip
    """What holds until it changes is told when it does, and at a connection's start."""
    now = tuple(records)
    if not now or source.memory.get(f"{key} {claim}") == now:
        return []
    source.remember_emitted(f"{key} {claim}", now)
    return [source.report(kind, now, claim=claim)]


def _base(values: Mapping[str, str], claim: str, source: OrchestraSource) -> list[Report]:
    """Which modules are in it, and whatever else it says."""
    records = []
    ended: list[Report] = []
    for name, sent in values.items():
        if name == "b" and _HEX.fullmatch(sent):
            places = [str(n + 1) for n in range(4 * len(sent)) if int(sent, 16) >> n & 1]
            records.append(text_record(SYSTEM, "modules", ", ".join(places) or "none"))
            for module in (each for each in _MODULES if each not in places):
                for word in _ALARM_WORDS.values():
                    ended += _changed({}, word, _claim(module, source), source)
        else:
            records.append(text_record(SYSTEM, name, sent))
    return [*_once("base", claim, Kind.EVENT, records, source), *ended]


def _pump(answer: Answer, values: Mapping[str, str], claim: str, source: OrchestraSource) -> list[Report]:
    metrics = [_scaled(*_SCALES[name], sent) for name, sent in values.items() if name in _SCALES]
    reports = [source.report(Kind.METRIC, metrics, claim=claim)] if metrics else []
    if "b" in values:
        reports += _once("kind", claim, Kind.SETTING, [text_record(SYSTEM, "kind of device", values["b"])], source)
    for name, sent in values.items():
        if name in _ALARM_WORDS:
            reports += _alarms(name, sent, claim, source)
        elif name not in _SCALES and name != "b":
            record = text_record(SYSTEM, f"{name}^{_NAMES[name]}" if name in _NAMES else name, sent)
            reports += _once(name, claim, Kind.EVENT, [record], source)
    if not values and answer.status != DONE:
        reports += _once("said", claim, Kind.EVENT, [text_record(SYSTEM, "spontaneous", answer.status)], source)
    return reports


def _scaled(channel: Channel, exponent: int, sent: str) -> Record:
    if not sent:
        return channel.record(None)
    if not _HEX.fullmatch(sent):
        return text_record(SYSTEM, channel.name, sent)
    return Record(channel.code, channel.unit, mantissa=int(sent, 16), exponent=exponent)


def _alarms(name: str, sent: str, claim: str, source: OrchestraSource) -> list[Report]:
    """A bit each. What cannot be read changes nothing, and is an event."""
    if not _HEX.fullmatch(sent):
        return _once(name, claim, Kind.EVENT, [text_record(SYSTEM, name, sent)], source) if sent else []
    bits = int(sent, 16)
    present = {
        f"{name} {bit}": Alarm(
            condition=f"{name} {bit}", kind=AlarmKind.TECHNICAL, text=f"{_ALARM_WORDS[name]}, bit {bit}"
        )
        for bit in range(4 * len(sent))
        if bits >> bit & 1
    }
    return _changed(present, _ALARM_WORDS[name], claim, source)


def _changed(present: Mapping[str, Alarm], word: str, claim: str, source: OrchestraSource) -> list[Report]:
    records = [
        Record(kind=RecordKind.ALARM, as_sent=AsSent(SYSTEM, condition), alarm=alarm)
        for condition, alarm in changed_alarms(present, source, f"{word} {claim}")
    ]
    return [source.report(Kind.ALARM, records, claim=claim)] if records else []


DRIVER = DeviceDriver(
    name="orchestra",
    title="Fresenius pumps in an Orchestra Base or a Module DPS, reads alone",
    manual="no maker's document was seen; infupy (fresenius.py)",
    settings=OrchestraSettings,
    read=read,
    session=lambda settings: OrchestraSession(is_base=settings.base, poll_s=settings.poll_s),
    channels=(RATE, VOLUME),
    serial=SerialSettings(19200, data_bits=7, parity="E"),
    requests=REQUESTS,
    quality=Quality(
        numerics=done(
            "rate and volume; bolus rate, bolus volume and mode as they were sent, their scales are not told"
        ),
        waves=exempt("pumps have none"),
        alarms=done("each bit of alarm and error, begin and end; what the bits mean is not told"),
        settings=done("the kind of device"),
        clock=exempt("no time is on the line"),
        no_reading=done("a value that is left empty; no document names a word for it"),
        disconnect=done("a base or module that does not answer is connected to again; FC is the last word"),
    ),
    redact=nothing_to_redact,
)
