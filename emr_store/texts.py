"""What a report's tail says in words, as `report.texts` holds it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from schemas.batch import Table, alarm_of, as_sent_of, samples_of
from schemas.layout import REPORT_LEVEL, TailKind
from schemas.report import Alarm, RecordKind, Samples

_json = msgspec.json.Encoder()


def texts_json(table: Table, report: int) -> bytes:
    """A list of {record, text, bytes, note, system, code, unit, value, samples, alarm}; of the report {claim, frame}.

    `value` is the number of an enumeration. `bytes` is a text that could not be decoded, escaped. Samples and the bytes
    of rejected frames stay in the batch: of the former are here only rate and count, of the latter the length.
    """
    found: dict[int, dict[str, Any]] = {}
    cells = slice(*table.record_start[report : report + 2].tolist())
    for record in np.flatnonzero(table.record_kind[cells] == RecordKind.CODE).tolist():
        found[record] = {"record": record, "value": int(table.mantissa[cells][record])}
    for index, kind, data in table.tail(report):
        entry = found.setdefault(index, {} if index == REPORT_LEVEL else {"record": index})
        match kind:
            case TailKind.TEXT:
                entry["text"] = storable(data.decode())
            case TailKind.BYTES:
                entry["bytes"] = escaped(data)
            case TailKind.NOTE:
                entry["note"] = storable(data.decode())
            case TailKind.AS_SENT:
                entry |= {k: storable(v) for k, v in msgspec.to_builtins(as_sent_of(data)).items() if v}
            case TailKind.SAMPLES:
                entry["samples"] = _samples(samples_of(data))
            case TailKind.ALARM:
                entry["alarm"] = _alarm(alarm_of(data))
            case TailKind.FRAME:
                entry["frame"] = len(data)
            case TailKind.CLAIM:
                entry["claim"] = storable(data.decode())
    return _json.encode(list(found.values()))


def storable(text: str) -> str:
    """The same for a column of PostgreSQL, whose texts hold no NUL."""
    return text.replace("\x00", "␀")


def escaped(data: bytes) -> str:
    """Bytes of an unknown charset: ASCII as it is, the rest and the backslash as an escape."""
    return storable(data.replace(b"\\", b"\\x5c").decode("ascii", "backslashreplace"))


def number(parts: tuple[int, int] | None) -> float | None:
    """mantissa x 10^exponent."""
    if parts is None:
        return None
    mantissa, exponent = parts
    return mantissa * 10.0**exponent if exponent >= 0 else mantissa / 10.0**-exponent


def _samples(samples: Samples) -> dict[str, int]:
    return {
        "rate_numerator": samples.rate_numerator,
        "rate_denominator": samples.rate_denominator,
        "first_sample": samples.first_sample,
        "count": samples.count,
    }


def _alarm(alarm: Alarm) -> dict[str, Any]:
    return {
        "condition": storable(alarm.condition),
        "state": alarm.state.name.lower(),
        "priority": alarm.priority.name.lower(),
        "kind": alarm.kind.name.lower(),
        "since_us": alarm.since_us,
        "low": number(alarm.low),
        "high": number(alarm.high),
        "latched": alarm.latched,
        "audio_paused": alarm.audio_paused,
        "text": storable(alarm.text),
    }
