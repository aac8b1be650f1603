"""What a report's tail says in words, as `report.texts` holds it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.batch import Table
from schemas.layout import REPORT_LEVEL, TailKind
from schemas.report import Alarm, RecordKind, Samples
from schemas.tail import alarm_of, as_sent_of, samples_of, tail_entries

_json = msgspec.json.Encoder()

Numbers = tuple[tuple[int, int], ...]  # of the enumerations of a report: record, number


def texts_json(table: Table, report: int) -> bytes:
    """A list of {record, text, bytes, note, system, code, unit, value, samples, alarm}; of the report {claim, frame}.

    `value` is the number of an enumeration. `bytes` is a text that could not be decoded, escaped. Samples and the bytes
    of rejected frames stay in the batch: of the former are here only rate and count, of the latter the length.
    """
    records = slice(*table.record_start[report : report + 2].tolist())
    numbers = tuple(
        (record, int(table.mantissa[records][record]))
        for record in np.flatnonzero(table.record_kind[records] == RecordKind.CODE).tolist()
    )
    tail = slice(*table.tail_start[report : report + 2].tolist())
    return _texts(table.tails[tail], numbers)


@dataclass(frozen=True)
class DistinctTexts:
    """What reports say, each text once, and which of these each report says."""

    texts: list[bytes]
    which: list[int]


def texts_json_of(table: Table, reports: NDArray[Any]) -> list[bytes]:
    """The same of many reports."""
    distinct = distinct_texts(table, reports)
    return [distinct.texts[which] for which in distinct.which]


def distinct_texts(table: Table, reports: NDArray[Any]) -> DistinctTexts:
    """The same of many reports, of which most may say the same: a device without a mapping names all its values."""
    if not len(reports):
        return DistinctTexts([], [])
    enumerations = np.flatnonzero(table.record_kind == RecordKind.CODE)
    of = table.report_of_record[enumerations]
    index = enumerations - table.record_start[of]
    numbers: dict[int, Numbers] = {}
    for report, record, number in zip(of.tolist(), index.tolist(), table.mantissa[enumerations].tolist(), strict=True):
        numbers[report] = (*numbers.get(report, ()), (record, number))
    begins, ends = table.tail_start[reports].tolist(), table.tail_start[reports + 1].tolist()
    tails = table.tails
    numbered: dict[tuple[bytes, Numbers], int] = {}
    which = [
        numbered.setdefault((tails[begin:end], numbers.get(report, ())), len(numbered))
        for report, begin, end in zip(reports.tolist(), begins, ends, strict=True)
    ]
    return DistinctTexts([_texts(tail, said) for tail, said in numbered], which)


def _texts(tail: bytes, numbers: Numbers) -> bytes:
    if len(tail) <= _TAIL_BYTES_REMEMBERED and len(numbers) <= _NUMBERS_REMEMBERED:
        return _remembered_texts(tail, numbers)
    return _worded(tail, numbers)


def _worded(tail: bytes, numbers: Numbers) -> bytes:
    found: dict[int, dict[str, Any]] = {record: {"record": record, "value": number} for record, number in numbers}
    for index, kind, data in tail_entries(tail):
        entry = found.setdefault(index, {} if index == REPORT_LEVEL else {"record": index})
        match kind:
            case TailKind.TEXT:
                entry["text"] = storable(data.decode())
            case TailKind.BYTES:
                entry["bytes"] = escaped(data)
            case TailKind.NOTE:
                entry["note"] = storable(data.decode())
            case TailKind.AS_SENT:
                sent = as_sent_of(data)
                entry |= {
                    name: storable(text)
                    for name, text in (("system", sent.system), ("code", sent.code), ("unit", sent.unit))
                    if text
                }
            case TailKind.SAMPLES:
                entry["samples"] = _samples(samples_of(data))
            case TailKind.ALARM:
                entry["alarm"] = _alarm(alarm_of(data))
            case TailKind.FRAME:
                entry["frame"] = len(data)
            case TailKind.CLAIM:
                entry["claim"] = storable(data.decode())
    return _json.encode(list(found.values()))


# A device says the same words in report after report; a longer tail is samples or a frame, of which no two are equal.
_TAIL_BYTES_REMEMBERED = 4096
_NUMBERS_REMEMBERED = 64
_remembered_texts = lru_cache(4096)(_worded)


class _ReportedText(msgspec.Struct):
    """What `texts_json` says of a record, or of the whole report."""

    record: int = -1
    text: str | None = None
    bytes: str | None = None
    value: int | None = None


def words_of(texts: bytes | str) -> dict[int, str]:
    """The words by record, of what `texts_json` made: a text, the bytes of one, or the number of an enumeration."""
    words = {}
    for reported in msgspec.json.decode(texts, type=list[_ReportedText]):
        found = next((w for w in (reported.text, reported.bytes, reported.value) if w is not None), None)
        if reported.record >= 0 and found is not None:
            words[reported.record] = str(found)
    return words


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
