r"""Blood gas, glucose and electrolyte analysers near the patient: ASTM E1394, now CLSI LIS02-A2 (LIS2-A2).

A message, as `adapters/sessions/astm.py` gives it, is records ended by CR; the letter says which, H-2 the delimiters:

    H|\^&|||ABG-7^SN 0815|||||||P|LIS2-A2|20260921141000    sender (H-5), processing id (H-12), time (H-14)
      P|1|4711                                              patient (P-3, P-4, P-5), place (P-26)
        O|1|S-1||^^^BG|||20260921140500||||N||||Arterial    specimen (O-3, O-4, O-16), collected (O-8), action (O-12)
          R|1|^^^pO2|71.2|mmHg|75-100|L||F||||20260921140912
                                                            test, value, unit, range, flags (R-7), status (R-9), time
            C|1|I|haemolysis suspected                      comment on the result before
    L|1|N

The results of an order that were completed at one time (R-13, else begun, R-12, else H-14) are one report. The test is
R-3: universal code, its name, its coding system, the maker's own code, and what belongs to that (`^^^pO2^M`: measured,
not entered). The site says what a code is; LOINC is known without. What is not live by H-12, and what was measured in a
control solution (O-12 is Q), is marked as training. Names of people are not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from adapters.driver import DeviceDriver, SerialSettings, Source, fitting
from adapters.formats.instants import DTM_CHARS_MAX, Instant, parse_dtm
from adapters.sessions.astm import AstmSession
from adapters.site import Mapped, scaled
from schemas.errors import FrameError
from schemas.nomenclature import METRIC_BY_LOINC, conversion, unit_from_text
from schemas.report import (
    COMPARATORS,
    AsSent,
    ChannelWords,
    ClockQuality,
    Kind,
    Mark,
    Record,
    RecordKind,
    Report,
    Validity,
)

RESULTS_MAX = 2000  # of a message
REMEMBERED_MAX = 1000  # contexts and channels of a connection's devices; beyond it all are told anew
CLAIM_CHARS_MAX = 250
TIME_CHARS_MAX = 80  # of one that cannot be read
SECOND_MS = 1000
_CONTEXT = {"P": (3, 4, 5, 26), "O": (3, 4, 8, 16)}  # fields that say whose a result is, where, and of what
_COUNTED_NAME = re.compile(r"[A-Z][A-Z0-9]?")
_BOUND = re.compile(r"(<=|>=|<|>) *(.*)")
_NO_READING = re.compile(r"[-*?_. ]*")
_OFF_SCALE = ("<", ">")  # the value is the end of what the instrument can measure
# R-9 (LIS02-A2): correction, preliminary, final, previously transmitted, verified, answer to a query, partial, MIC.
_RESULT_STATUS = frozenset("CPFRVQSM")
_QUESTIONABLE_STATUS = frozenset("WI")  # validity is questionable; pending in the instrument
_UNMAPPED = Mapped(0, 0)


class AstmSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one instrument, or the data manager before several, writes its results."""

    device: Annotated[
        str | None,
        Meta(description="the one instrument on this line, site:vendor:serial; as the field says when left out"),
    ] = None
    device_field: Annotated[
        Literal["H-5", "R-14"],
        Meta(description="which field names the device: the sender, or each result's instrument behind a data manager"),
    ] = "H-5"
    processing_ids_live: Annotated[
        tuple[str, ...], Meta(description="H-12 of messages that are no training and no test")
    ] = ("P", "")
    charset: Annotated[
        Literal["utf-8", "iso-8859-1", "windows-1252", "gb18030"],
        Meta(description="of texts; one that cannot be decoded is kept as bytes"),
    ] = "utf-8"


@dataclass(frozen=True)
class _Delimiters:
    """As H-2 declares them; `escape` may be missing."""

    field: str
    repeat: str
    component: str
    escape: str

    def unescaped(self, text: str) -> str:
        """`&F&` and its like as what they stand for; an unknown sequence stays as it is."""
        if not self.escape or self.escape not in text:
            return text
        meant = {"F": self.field, "S": self.component, "R": self.repeat, "E": self.escape}

        def replaced(match: re.Match[str]) -> str:
            sequence = match[1]
            return meant.get(sequence) or bytes.fromhex(sequence[1:]).decode("latin-1")

        mark = re.escape(self.escape)
        return re.sub(f"{mark}([FSRE]|X(?:[0-9A-Fa-f]{{2}})+){mark}", replaced, text)


@dataclass(frozen=True)
class _Row:
    """One record; fields are counted from 1, as the standard does, with the letter as the first."""

    letter: str
    fields: list[str]
    delimiters: _Delimiters

    def raw(self, number: int) -> str:
        """A field as it was sent; "" where the record ends before it."""
        return self.fields[number - 1].strip() if number <= len(self.fields) else ""

    def text(self, number: int) -> str:
        """A field as people read it, with its component delimiters; what cannot be decoded as `\\xb5`."""
        trimmed = self.raw(number).rstrip(self.delimiters.component)
        return _printable(self.delimiters.unescaped(trimmed))

    def parts(self, number: int, delimiter: str) -> list[str]:
        """A field in its components or repeats."""
        return [self.delimiters.unescaped(part).strip() for part in self.raw(number).split(delimiter)]

    def first(self, number: int) -> str:
        """A field's first component."""
        return self.parts(number, self.delimiters.component)[0]


@dataclass
class _Result:
    row: _Row
    comments: list[str] = field(default_factory=list)


@dataclass
class _Order:
    """What was ordered of one specimen of one patient; either record may be missing."""

    patient: _Row | None
    order: _Row | None = None
    results: list[_Result] = field(default_factory=list)


@dataclass(frozen=True)
class _Moment:
    """When something was measured, None where no time can be read; `unread` is one that is there and cannot be."""

    instant: Instant | None
    unread: str


def read(frame: bytes, source: Source[AstmSettings]) -> Sequence[Report]:
    """One message: for each order its context, where that has changed, and its results."""
    rows = _rows(frame, source.settings.charset)
    if len(source.memory) > REMEMBERED_MAX:
        source.memory.clear()
    header = rows[0]
    orders = _orders(rows, source)
    if not orders and len(rows) > 2:  # header and terminator alone are a sign of life
        raise FrameError("no-results", f"{len(rows)} records")
    if sum(len(order.results) for order in orders) > RESULTS_MAX:
        raise FrameError("too-many-results", f"more than {RESULTS_MAX}")
    _learn_texts([result for order in orders for result in order.results], source)
    reports: list[Report] = []
    for order in orders:
        reports += _reports(order, header, source)
    return fitting(reports, frame)


def _rows(frame: bytes, charset: str) -> list[_Row]:
    """The records of a message; FrameError where it is none, or not whole."""
    try:
        # Of a multibyte set a byte may look like a delimiter: there all must be readable.
        text = frame.decode(charset, "strict" if charset == "gb18030" else "surrogateescape")
    except UnicodeDecodeError:
        raise FrameError("charset", f"not {charset}") from None
    lines = [stripped for line in text.split("\r") if (stripped := line.strip("\n\0 "))]
    if not lines or lines[0][0] not in "Hh" or lines[0][1:2].isalnum():
        raise FrameError("no-header", f"{len(frame)} bytes")
    delimiters = _delimiters(lines[0])
    rows = []
    for line in lines:
        fields = line.split(delimiters.field)
        rows.append(_Row(fields[0].strip().upper(), fields, delimiters))
    letters = [row.letter for row in rows]
    if not frame.endswith((b"\r", b"\r\n")) or letters[-1] != "L":
        raise FrameError("no-terminator", f"{len(rows)} records")
    if letters.count("H") > 1 or letters.count("L") > 1:
        raise FrameError("several-messages", "one answer cannot serve two")
    return rows


def _delimiters(header: str) -> _Delimiters:
    separator = header[1:2]
    declared = header[2:].partition(separator)[0] if separator else ""
    each = [separator, *declared[:3]]
    if len(each) < 3 or len(set(each)) < len(each) or any(d.isalnum() or d.isspace() for d in each):
        raise FrameError("delimiters", "H-2 declares none that can be told apart")
    return _Delimiters(separator, declared[0], declared[1], declared[2:3])


def _orders(rows: list[_Row], source: Source[AstmSettings]) -> list[_Order]:
    """Results under their order and patient; what is not read is counted by its record's name."""
    orders: list[_Order] = []
    before = "H"
    for row in rows[1:-1]:
        if row.letter == "P":
            orders.append(_Order(row))
        elif row.letter == "O":
            if orders and orders[-1].order is None and not orders[-1].results:
                orders[-1].order = row
            else:
                orders.append(_Order(orders[-1].patient if orders else None, row))
        elif row.letter == "R":
            if not orders:
                orders.append(_Order(None))
            orders[-1].results.append(_Result(row))
        elif row.letter == "C" and before == "R":
            orders[-1].results[-1].comments.append(row.text(4))
            continue
        else:
            source.counts[f"record:{row.letter if _COUNTED_NAME.fullmatch(row.letter) else 'other'}"] += 1
        before = row.letter if row.letter != "C" else before
    return orders


def _reports(order: _Order, header: _Row, source: Source[AstmSettings]) -> list[Report]:
    """An order's results, by device and time; before each device's first the context, where it has changed."""
    groups: dict[tuple[str, _Moment], list[_Result]] = {}
    for result in order.results:
        key = _claim(header, result.row, source), _moment(result.row, header, source)
        groups.setdefault(key, []).append(result)
    if not groups:
        groups[_claim(header, None, source), _moment(None, header, source)] = []
    reports = []
    marks = _marks(order, header, source)
    context = _context(order, marks)
    for (claim, moment), results in groups.items():
        if context and source.memory.get(f"context:{claim}") != context:
            source.remember_emitted(f"context:{claim}", context)
            reports.append(_report(Kind.CONTEXT, claim, moment, context, header, source))
        records, channels = _told_apart([_record(result, marks, source) for result in results])
        described = _described(claim, records, channels, source)
        if described:
            reports.append(_report(Kind.DESCRIPTION, claim, moment, described, header, source))
        if records and moment.unread:
            note = "\n".join(filter(None, (records[0].note, moment.unread)))
            records[0] = replace(records[0], note=note)
        if records:
            reports.append(_report(Kind.METRIC, claim, moment, tuple(records), header, source))
    return reports


def _claim(header: _Row, result: _Row | None, source: Source[AstmSettings]) -> str:
    """The device: as declared, else by the field that names it, else by the line."""
    if source.settings.device:
        return source.settings.device
    if source.settings.device_field == "R-14" and result is not None and result.text(14):
        return f"{source.name}/R-14={result.text(14)[:CLAIM_CHARS_MAX]}"
    sender = header.text(5)[:CLAIM_CHARS_MAX]
    return f"{source.name}/H-5={sender}" if sender else source.claim()


def _moment(result: _Row | None, header: _Row, source: Source[AstmSettings]) -> _Moment:
    """When a result was completed, else begun, else sent: the first of these times that can be read."""
    unread = ""
    for row, number in ((result, 13), (result, 12), (header, 14)):
        text = row.raw(number) if row else ""
        if not text:
            continue
        instant = parse_dtm(text[:DTM_CHARS_MAX], source.time_zone)
        if instant is not None:
            return _Moment(instant, unread)
        letter = "R" if row is result else "H"
        unread = unread or f"{letter}-{number} as sent: {_printable(text[:TIME_CHARS_MAX])}"
    return _Moment(None, unread)


def _report(
    kind: Kind, claim: str, moment: _Moment, records: tuple[Record, ...], header: _Row, source: Source[AstmSettings]
) -> Report:
    received = source.received_at_us
    if moment.instant is None:
        quality = ClockQuality.DOUBTFUL if moment.unread else ClockQuality.RECEIVED
        return Report(kind, claim, received, received, quality, records)
    at, uncertainty_ms, _ = moment.instant
    sent_at = _moment(None, header, source).instant
    to_the_second = [
        instant for instant in (moment.instant, sent_at) if instant and instant.uncertainty_ms <= SECOND_MS
    ]
    return Report(
        kind, claim, at, received, ClockQuality.DOUBTFUL if moment.unread else ClockQuality.DEVICE, records,
        device_at_us=at, uncertainty_ms=uncertainty_ms, own_time=bool(to_the_second) and not moment.unread,
    )  # fmt: skip


def _marks(order: _Order, header: _Row, source: Source[AstmSettings]) -> Mark:
    """What holds for all results of an order: a control solution is no patient."""
    is_control = order.order is not None and "Q" in order.order.parts(12, header.delimiters.repeat)
    is_live = header.first(12).upper() in [each.strip().upper() for each in source.settings.processing_ids_live]
    return Mark(0) if is_live and not is_control else Mark.TRAINING


def _context(order: _Order, marks: Mark) -> tuple[Record, ...]:
    """Whose, where, and of what, as the sender claims it."""
    records = []
    for row in (order.patient, order.order):
        if row is None:
            continue
        for number in _CONTEXT[row.letter]:
            text = row.text(number)
            if text:
                as_sent = AsSent("ASTM", f"{row.letter}-{number}")
                records.append(Record(kind=RecordKind.TEXT, text=text, marks=marks, as_sent=as_sent))
    return tuple(records)


@dataclass(frozen=True)
class _Meaning:
    """What a result's test and unit are in standard words, and how its values are written."""

    code: int
    unit: int
    row: Mapped
    as_sent: AsSent | None

    def number(self, text: str) -> tuple[int, int] | None:
        """Mantissa and exponent of a numeral; None if it is none."""
        if self.row.decimal_comma:
            text = text.replace(",", ".")
        return scaled(text, self.row.exponent_shift)


def _meaning(result: _Row, source: Source[AstmSettings]) -> _Meaning:
    """R-3 and R-5: by the site's row, else by LOINC."""
    universal, system, code, text = _named(result)
    row = _site_row(system, code, text, source)
    metric = row.code
    if not metric and system.upper() in ("LN", "LOINC"):
        loinc = METRIC_BY_LOINC.get(universal or code)
        metric = loinc.code if loinc else 0
    sent_unit = _printable(result.first(5))
    unit = _unit(sent_unit, row)
    as_sent = None
    if not metric or (sent_unit and not unit):
        as_sent = AsSent(system, f"{code}^{text}" if text else code, sent_unit)
    return _Meaning(metric, unit, row, as_sent)


def _named(result: _Row) -> tuple[str, str, str, str]:
    """R-3: universal code, system, the code that counts, and the words beside it."""
    parts = [_printable(part) for part in result.parts(3, result.delimiters.component)]
    universal, name, system, local, *rest = (*parts, "", "", "", "")
    return universal, system, local or universal, " ".join(part for part in (name, *rest) if part)


def _learn_texts(results: list[_Result], source: Source[AstmSettings]) -> None:
    """Which texts come with the codes of rows that name none, before one of them is applied."""
    for _, system, code, text in [_named(result.row) for result in results]:
        row = source.site.find(system, code, text)
        if row is not None and row.any_text:
            texts: set[str] = source.lasting.setdefault(f"texts of {row.row}", set())
            if len(texts) < 2:
                texts.add(text.casefold())


def _site_row(system: str, code: str, text: str, source: Source[AstmSettings]) -> Mapped:
    """The site's row; one that names no text is not applied to a code that comes with several."""
    row = source.site.find(system, code, text)
    if row is None:
        return _UNMAPPED
    if row.any_text and len(source.lasting[f"texts of {row.row}"]) > 1:
        source.counts[f"several-texts:{row.row}"] += 1
        return _UNMAPPED
    return row


def _unit(sent: str, row: Mapped) -> int:
    """The unit's code, 0 where none is known: one that is stated is used, and contradicts the row or confirms it."""
    stated = unit_from_text(sent) if sent else None
    if stated is None or row.unit_is_wrong:
        return row.unit
    if not row.unit or row.unit == stated.code:
        return stated.code
    factor, offset = conversion(stated.code, row.unit) or (0.0, 0.0)
    if offset == 0.0 and abs(factor / 10.0**row.exponent_shift - 1) < 1e-9:  # the row's shift is what turns one into it
        return row.unit
    return 0


def _record(result: _Result, marks: Mark, source: Source[AstmSettings]) -> Record:
    """R-4 as a number, a bound, a text, or no reading."""
    row, meaning = result.row, _meaning(result.row, source)
    value = row.delimiters.unescaped(row.raw(4))
    status = row.first(9).upper()
    validity = Validity.VALID
    if status == "C":
        marks |= Mark.CORRECTION
    if status in _QUESTIONABLE_STATUS:
        validity = Validity.QUESTIONABLE
    elif status and status != "X" and status not in _RESULT_STATUS:
        source.counts["result-status:other"] += 1
        validity = Validity.QUESTIONABLE
    record = Record(
        meaning.code, meaning.unit,
        validity=validity, marks=marks, note=_note(result, status), as_sent=meaning.as_sent,
    )  # fmt: skip
    if status == "X" or value in meaning.row.missing or _NO_READING.fullmatch(value):
        text, mark = _text_or_bytes(value, source)
        return replace(record, validity=Validity.NOT_AVAILABLE, text=text or None, marks=marks | mark)
    comparator, numeral = _compared(value)
    number = meaning.number(numeral)
    if number is None:
        text, mark = _text_or_bytes(value, source)
        return replace(record, kind=RecordKind.TEXT, text=text, marks=marks | mark)
    record = replace(record, mantissa=number[0], exponent=number[1])
    for flag in row.parts(7, row.delimiters.repeat):
        if flag in _OFF_SCALE:
            if comparator and flag not in comparator:  # the two contradict each other
                record = replace(record, validity=Validity.QUESTIONABLE)
            comparator = comparator or flag
    if comparator:
        record = replace(record, kind=RecordKind.BOUND, marks=marks | COMPARATORS[comparator])
    return record


def _compared(value: str) -> tuple[str, str]:
    """The comparator before a number, "" if none, and the rest."""
    match = _BOUND.fullmatch(value)
    return (match[1], match[2]) if match else ("", value)


def _note(result: _Result, status: str) -> str | None:
    """What stands beside the value, for people."""
    row = result.row
    lines = [
        f"{name}: {text}"
        for name, text in (("flags", row.text(7)), ("range", row.text(6)), ("status", status), ("by", row.text(14)))
        if text and (name, text) not in (("flags", "N"), ("status", "F"))
    ]
    return "\n".join([*lines, *filter(None, result.comments)]) or None


def _told_apart(records: list[Record]) -> tuple[list[Record], dict[int, ChannelWords]]:
    """One test twice at one time: nothing says which is which, so they are ambiguous channels, numbered in order."""
    counted: dict[object, list[int]] = {}
    for place, record in enumerate(records):
        counted.setdefault(record.code or record.as_sent, []).append(place)
    told, channels = list(records), dict[int, ChannelWords]()
    for places in counted.values():
        for ordinal, place in enumerate(places, 1):
            if len(places) > 1:
                words = ChannelWords(ordinals=str(ordinal))
                channels[words.number] = words
                told[place] = replace(records[place], channel=words.number, marks=records[place].marks | Mark.AMBIGUOUS)
    return told, channels


def _described(
    claim: str, records: list[Record], channels: dict[int, ChannelWords], source: Source[AstmSettings]
) -> tuple[Record, ...]:
    """The words of channels that this device had not had."""
    known: frozenset[object] = source.memory.get(f"channels:{claim}", frozenset())
    new: dict[object, Record] = {}
    for record in records:
        key = record.code or record.as_sent, record.channel
        if record.channel and key not in known:
            text = msgspec.json.encode(channels[record.channel]).decode()
            new[key] = Record(
                record.code, record.unit, record.channel, RecordKind.TEXT,
                marks=record.marks & (Mark.AMBIGUOUS | Mark.TRAINING), text=text, as_sent=record.as_sent,
            )  # fmt: skip
    if new:
        source.remember_emitted(f"channels:{claim}", known | new.keys())
    return tuple(new.values())


def _printable(text: str) -> str:
    """A text without what could not be decoded, which is written as `\\xb5`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _text_or_bytes(text: str, source: Source[AstmSettings]) -> tuple[str | bytes, Mark]:
    """A value that is no number; as bytes where it could not be decoded."""
    if text == _printable(text):
        return text, Mark(0)
    return text.encode(source.settings.charset, "surrogateescape"), Mark.UNDECODED


DRIVER = DeviceDriver(
    "astm", "Laboratory instruments near the patient: ASTM E1394 / LIS2-A2",
    manual="CLSI LIS01-A2 (ASTM E1381) and LIS02-A2 (ASTM E1394)",
    settings=AstmSettings, read=read, session=lambda settings: AstmSession(), serial=SerialSettings(9600),
    has_local_times=lambda _: True,
)  # fmt: skip
