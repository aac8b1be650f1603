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
from functools import cached_property
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from adapters.driver import DeviceDriver, SerialSettings, Source, fitting
from adapters.formats.astm_records import AstmRecord, read_records
from adapters.formats.astm_redaction import redact_astm
from adapters.formats.moments import StatedMoment, moment_of
from adapters.formats.values import is_no_reading, printable, read_number, text_or_bytes, text_record
from adapters.quality import Quality, done, exempt
from adapters.sessions.astm import AstmSession
from adapters.site import Mapped, unit_of
from schemas.errors import FrameError
from schemas.nomenclature import METRIC_BY_LOINC
from schemas.report import COMPARATORS, AsSent, ChannelWords, Kind, Mark, Record, RecordKind, Report, Validity

RESULTS_MAX = 2000  # of a message
REMEMBERED_MAX = 1000  # contexts and channels of a connection's devices; beyond it all are told anew
CLAIM_CHARS_MAX = 250
_CONTEXT = {"P": (3, 4, 5, 26), "O": (3, 4, 8, 16)}  # fields that say whose a result is, where, and of what
_COUNTED_NAME = re.compile(r"[A-Z][A-Z0-9]?")
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
class _Test:
    """What a result is of, in the sender's words (R-3)."""

    universal: str
    local: str
    system: str
    text: str

    @property
    def code(self) -> str:
        return self.local or self.universal


@dataclass
class _Result:
    row: AstmRecord
    comments: list[str] = field(default_factory=list)
    mapped: Mapped | None = None  # the site's row

    @cached_property
    def test(self) -> _Test:
        """R-3: universal code, its name, its coding system, the maker's own code, and what belongs to that."""
        parts = [printable(part) for part in self.row.components(3)]
        universal, name, system, local, *rest = (*parts, "", "", "", "")
        return _Test(universal, local, system, " ".join(part for part in (name, *rest) if part))


@dataclass
class _Order:
    """What was ordered of one specimen of one patient; either record may be missing."""

    patient: AstmRecord | None
    order: AstmRecord | None = None
    results: list[_Result] = field(default_factory=list)


def read(frame: bytes, source: Source[AstmSettings]) -> Sequence[Report]:
    """One message: for each order its context, where that has changed, and its results."""
    rows = read_records(frame, source.settings.charset)
    if len(source.memory) > REMEMBERED_MAX:
        source.memory.clear()
    header = rows[0]
    orders = _orders(rows, source)
    if not orders and len(rows) > 2:  # header and terminator alone are a sign of life
        raise FrameError("no-results", f"{len(rows)} records")
    results = [result for order in orders for result in order.results]
    if len(results) > RESULTS_MAX:
        raise FrameError("too-many-results", f"more than {RESULTS_MAX}")
    _apply_site(results, source)
    reports = source.ambiguous_rows(_claim(header, None, source))
    for order in orders:
        reports += _reports(order, header, source)
    return fitting(reports, frame, source)


def _apply_site(results: list[_Result], source: Source[AstmSettings]) -> None:
    """The site's row for each result; a second text anywhere in the message takes a row from all of it."""
    ambiguous = -1
    while ambiguous != len(source.rows.ambiguous):
        ambiguous = len(source.rows.ambiguous)
        for result in results:
            result.mapped = source.rows.find(result.test.system, result.test.code, result.test.text)


def _orders(rows: list[AstmRecord], source: Source[AstmSettings]) -> list[_Order]:
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
            orders[-1].results[-1].comments.append(row.words(4))
            continue
        else:
            source.counts[f"record:{row.letter if _COUNTED_NAME.fullmatch(row.letter) else 'other'}"] += 1
        before = row.letter if row.letter != "C" else before
    return orders


def _reports(order: _Order, header: AstmRecord, source: Source[AstmSettings]) -> list[Report]:
    """An order's results, by device and time; before each device's first the context, where it has changed."""
    groups: dict[tuple[str, StatedMoment], list[_Result]] = {}
    for result in order.results:
        key = _claim(header, result.row, source), _moment(header, result.row, source)
        groups.setdefault(key, []).append(result)
    if not groups:
        groups[_claim(header, None, source), _moment(header, None, source)] = []
    reports = []
    marks = _marks(order, header, source)
    context = _context(order, marks)
    for (claim, moment), results in groups.items():
        if context and source.memory.get(f"context:{claim}") != context:
            source.remember_emitted(f"context:{claim}", context)
            reports.append(moment.report(Kind.CONTEXT, claim, context))
        records, channels = _with_ordinals([_record(result, marks, source) for result in results])
        described = _described(claim, records, channels, source)
        if described:
            reports.append(moment.report(Kind.DESCRIPTION, claim, described))
        if records:
            reports.append(moment.report(Kind.METRIC, claim, moment.noted(records)))
    return reports


def _claim(header: AstmRecord, result: AstmRecord | None, source: Source[AstmSettings]) -> str:
    """The device: as declared, else by the field that names it, else by the line."""
    if source.settings.device:
        return source.settings.device
    if source.settings.device_field == "R-14" and result is not None and result.words(14):
        return f"{source.name}/R-14={result.words(14)[:CLAIM_CHARS_MAX]}"
    sender = header.words(5)[:CLAIM_CHARS_MAX]
    return f"{source.name}/H-5={sender}" if sender else source.claim()


def _moment(header: AstmRecord, result: AstmRecord | None, source: Source[AstmSettings]) -> StatedMoment:
    """When a result was completed, else begun, else sent."""
    levels = [("H-14", header.raw(14))]
    if result is not None:
        levels = [("R-13", result.raw(13)), ("R-12", result.raw(12)), *levels]
    return moment_of(tuple(levels), source.time_zone, source.received_at_us)


def _marks(order: _Order, header: AstmRecord, source: Source[AstmSettings]) -> Mark:
    """What holds for all results of an order: a control solution is no patient."""
    is_control = order.order is not None and "Q" in order.order.repeats(12)
    is_live = header.first(12).upper() in [each.strip().upper() for each in source.settings.processing_ids_live]
    return Mark(0) if is_live and not is_control else Mark.TRAINING


def _context(order: _Order, marks: Mark) -> tuple[Record, ...]:
    """Whose, where, and of what, as the sender claims it."""
    return tuple(
        text_record("ASTM", f"{row.letter}-{number}", text, row.delimiters.codec, int(marks))
        for row in (order.patient, order.order)
        if row is not None
        for number in _CONTEXT[row.letter]
        if (text := row.text(number))
    )


def _metric_by_loinc(test: _Test) -> int:
    metric = METRIC_BY_LOINC.get(test.universal or test.local) if test.system.upper() in ("LN", "LOINC") else None
    return metric.code if metric else 0


def _record(result: _Result, marks: Mark, source: Source[AstmSettings]) -> Record:
    """A result as its test, its unit (R-5) and its status (R-9) have it."""
    row, test, mapped = result.row, result.test, result.mapped
    sent_unit = printable(row.first(5))
    code = mapped.code if mapped else _metric_by_loinc(test)
    unit = unit_of([sent_unit], mapped)
    as_sent = None
    if not code or (sent_unit and not unit):
        as_sent = AsSent(test.system, f"{test.code}^{test.text}" if test.text else test.code, sent_unit)
    status = row.first(9).upper()
    validity = Validity.VALID
    if status in _QUESTIONABLE_STATUS:
        validity = Validity.QUESTIONABLE
    elif status and status != "X" and status not in _RESULT_STATUS:
        source.counts["result-status:other"] += 1
        validity = Validity.QUESTIONABLE
    if status == "C":
        marks |= Mark.CORRECTION
    record = Record(code, unit, validity=validity, marks=marks, note=_note(result, status), as_sent=as_sent)
    return _with_value(record, row, mapped or _UNMAPPED, has_result=status != "X")


def _with_value(record: Record, row: AstmRecord, mapped: Mapped, *, has_result: bool) -> Record:
    """The record with R-4 as a number, a bound, a text, or no reading.

    R-4 has no type. What is no number is a word of its own where the test is no known metric.
    """
    value = row.value(4).strip()
    number = read_number(value, mapped.exponent_shift, decimal_comma=mapped.decimal_comma)
    is_missing = not has_result or not value or value in mapped.missing
    if is_missing or (number is None and record.code and is_no_reading(value)):
        text, mark = text_or_bytes(value, row.delimiters.codec)
        return replace(record, validity=Validity.NOT_AVAILABLE, text=text or None, marks=record.marks | mark)
    if number is None:
        text, mark = text_or_bytes(value, row.delimiters.codec)
        return replace(record, kind=RecordKind.TEXT, text=text, marks=record.marks | mark)
    bound, validity = Mark(number.marks), record.validity
    for flag in row.repeats(7):
        if flag in _OFF_SCALE:
            if bound and not bound & COMPARATORS[flag]:  # the two contradict each other
                validity = Validity.QUESTIONABLE
            bound = bound or COMPARATORS[flag]
    return replace(
        record, kind=RecordKind.BOUND if bound else RecordKind.NUMERIC, validity=validity, mantissa=number.mantissa,
        exponent=number.exponent, marks=record.marks | bound,
    )  # fmt: skip


def _note(result: _Result, status: str) -> str | None:
    """What stands beside the value, for people."""
    row = result.row
    lines = [
        f"{name}: {text}"
        for name, text in (("flags", row.words(7)), ("range", row.words(6)), ("status", status), ("by", row.words(14)))
        if text and (name, text) not in (("flags", "N"), ("status", "F"))
    ]
    return "\n".join([*lines, *filter(None, result.comments)]) or None


def _with_ordinals(records: list[Record]) -> tuple[list[Record], dict[int, ChannelWords]]:
    """One test twice at one time: nothing says which is which, so they are ambiguous channels, numbered in order."""
    counted: dict[object, list[int]] = {}
    for place, record in enumerate(records):
        counted.setdefault(record.code or record.as_sent, []).append(place)
    distinct, channels = list(records), dict[int, ChannelWords]()
    for places in counted.values():
        for ordinal, place in enumerate(places, 1):
            if len(places) > 1:
                words = ChannelWords(ordinals=str(ordinal))
                channels[words.number] = words
                distinct[place] = replace(
                    records[place], channel=words.number, marks=records[place].marks | Mark.AMBIGUOUS
                )
    return distinct, channels


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


QUALITY = Quality(
    numerics=done("R-4 by LOINC and the site's codes, bounds too"),
    waves=exempt("E1394 has none"),
    alarms=exempt("E1394 has none; flags (R-7) and instrument codes are kept with the result"),
    settings=exempt("E1394 has none"),
    clock=done("R-13, R-12, else H-14; the zone is the source's"),
    no_reading=done("empty, status X, words: none; comparators are bounds"),
    disconnect=done("the session waits for ENQ again after 30 s; what was not acknowledged comes again"),
)
DRIVER = DeviceDriver(
    "astm", "Laboratory instruments near the patient: ASTM E1394 / LIS2-A2",
    manual="CLSI LIS01-A2 (ASTM E1381) and LIS02-A2 (ASTM E1394)",
    redact=redact_astm,
    settings=AstmSettings, read=read, session=lambda settings: AstmSession(), serial=SerialSettings(9600),
    has_local_times=lambda _: True, quality=QUALITY,
)  # fmt: skip
