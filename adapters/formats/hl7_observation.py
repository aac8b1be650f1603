r"""What an OBX says apart from its value and time (`Observation`), and its value as a record (`record_of`).

An OBX of a sender comes again in every message with another value: what the rest of it means is worked out once.
IHE PCD TF-2 appendix B; HL7 2.8 chapter 7. Blanks around a component mean nothing anywhere; the case of types, statuses
and flags neither. What a value means is decided in docs/adr/0007.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from adapters.formats.hl7_dialect_codes import UNEXPLAINED_ALERT, DialectAlarm, DialectCode
from adapters.formats.hl7_dialects import Dialect
from adapters.formats.hl7v2 import NULL, Syntax, unescape
from adapters.formats.values import MARKS, is_no_reading, printable, read_number, scaled, text_or_bytes
from adapters.site import Mapped, SiteMapping, unit_of
from schemas.nomenclature import (
    METRIC_BY_CODE,
    METRIC_BY_LOINC,
    METRIC_BY_REFERENCE_ID,
    is_private,
)
from schemas.report import Alarm, AsSent, Kind, Mark, Record, RecordKind, Validity

OBX_FIELDS = 21  # "OBX" and OBX-1 to 20, where a sender leaves off
NOTHING = ("", NULL)
_NUMBER_TYPES = frozenset({"NM", "SN"})
_NUMBER_OR_TEXT_TYPES = frozenset({"", "ST", "TX", "FT"})  # of a metric that is a number they may hold one
_CODED_TYPES = frozenset({"CE", "CWE", "CNE"})
# OBX-11, table 0085: what is no result, and what takes an earlier result back or replaces it.
# A status that the table does not have says nothing that could be trusted.
_STATUS_VALIDITY = {
    **dict.fromkeys(("", NULL, *"ABCDFPRSUV"), Validity.VALID),
    **dict.fromkeys("XWNOI", Validity.INVALID),
}
_STATUS_MARKS = {"C": Mark.CORRECTION, "D": Mark.WITHDRAWAL, "W": Mark.WITHDRAWAL}
# OBX-8: IHE PCD TF-2 table B.8 (IEEE 11073-10201 MeasurementStatus), and table 0078 for off-scale values.
_FLAG_VALIDITY = {
    "INV": Validity.INVALID, "TEST": Validity.INVALID, "DEMO": Validity.INVALID,
    "QUES": Validity.QUESTIONABLE, "EARLY": Validity.QUESTIONABLE, "CAL": Validity.CALIBRATING,
    "NI": Validity.NOT_AVAILABLE, "NAV": Validity.NOT_AVAILABLE, "OFF": Validity.NOT_AVAILABLE,
    ">": Validity.OVERFLOW, "<": Validity.UNDERFLOW,
}  # fmt: skip
_SETTING_METHODS = frozenset({"MSET", "ASET", "RSET"})  # OBX-17: set by hand, by the device, from afar
_SETTING_ROWS = frozenset({"SETTING", "CONFIGURATION"})  # OBX-13, Philips Efficia Data Export Interface
_NO_DEVICE = re.compile(r"(?:[0.:-]{8,}|[Ff]{16})?")  # an identifier of OBX-18 that was never set
_HEXADECIMAL = re.compile(r"([0-9A-Fa-f]{4})-([0-9A-Fa-f]{4})")
_NO_CODE = DialectCode()
_COMPARATORS = frozenset({"", "=", "<", ">", "<=", ">=", "≤", "≥"})  # of an SN

_NUMERIC = RecordKind.NUMERIC

FindRow = Callable[[str, str, str], Mapped | None]


@dataclass(frozen=True, eq=False, slots=True)
class Observation:
    """What an OBX says apart from its value and its time.

    `path` is OBX-4 without the zeros at its end, `node_word` what the OBX calls the node that it may be. `node` is the
    same OBX where it has no value and so is a bare node. `is_plain_number`: a numeral is a number, whatever it is.
    `equipment` is OBX-18 as sent. `facet` is its name where it may tell how the wave before it is read. `unit_field` is
    OBX-6 as sent, `row` the site's row that was applied. `alarm`: its value is the words of an alarm.
    `limits` is OBX-7 as sent, where the dialect has limits there.
    """

    kind: Kind
    type: str
    syntax: Syntax
    code: int
    unit: int
    is_number: bool
    is_plain_number: bool
    validity: Validity
    marks: int
    exponent_shift: int
    missing: frozenset[str]
    sentinels: frozenset[tuple[int, int]]
    decimal_comma: bool
    as_sent: AsSent | None
    sub_id: str
    path: tuple[str, ...]
    label: str
    body_site: str
    equipment: str
    unit_field: str
    row: Mapped | None
    node_word: str = ""
    node: Observation | None = None
    is_bare_node: bool = False
    facet: str = ""
    is_wave: bool = False
    alarm: DialectAlarm | None = None
    limits: str = ""


@dataclass(frozen=True)
class Reading:
    """How the observations of one source are to be read."""

    dialect: Dialect
    site: SiteMapping
    decimal_comma: bool
    sentinels: frozenset[tuple[int, int]]


def reading_of(dialect: Dialect, site: SiteMapping, decimal_comma: bool) -> Reading:
    """How a source with these settings is read."""
    return Reading(dialect, site, decimal_comma, frozenset(_reduced(*scaled_exactly(s)) for s in dialect.sentinels))


def scaled_exactly(text: str) -> tuple[int, int]:
    """A numeral of one of our own tables."""
    parts = scaled(text)
    if parts is None:
        raise ValueError(f"{text!r} is no number")
    return parts


def observation_of(fields: list[str], syntax: Syntax, reading: Reading, find_row: FindRow) -> Observation:
    """From the fields of an OBX, OBX_FIELDS of them; OBX-5 and 14 are not looked at. `find_row` is the site's rows."""
    kind = _first(fields[2], syntax).upper()
    triplets = triplets_of(fields[3], syntax)
    own = reading.dialect.codes.get(triplets[0][0].lower(), _NO_CODE)
    alarm = _alarm_of(triplets[0], reading.dialect)
    rows = [row for code, text, system in triplets if (row := find_row(system, code, text)) is not None]
    if len({row.code for row in rows}) > 1:  # which of them counts would be chance
        row, code = None, 0
    else:
        row = rows[0] if rows else own.mapped
        code = row.code if row else code_of_triplets(_as_mdc(triplets, reading.dialect))
    unit, unit_as_sent = _unit(fields[6], syntax, row, reading.dialect)
    status = _first(fields[11], syntax).upper()
    is_unitless = row is not None and not rows and not unit  # the dialect's row, and nobody says the unit
    as_sent = _as_sent(triplets[0], code, unit, unit_as_sent, is_unitless=is_unitless)
    beside = reading.dialect.sentinels_beside
    missing = row.missing if row else frozenset[str]()
    sentinels = reading.sentinels if not beside or beside == status else frozenset()
    is_number = kind in _NUMBER_TYPES or (code != 0 and kind in _NUMBER_OR_TEXT_TYPES)
    observation = Observation(
        kind=_kind_of(fields, syntax, alarm, own),
        type=kind,
        syntax=syntax,
        code=code,
        unit=unit,
        is_number=is_number,
        is_plain_number=is_number and not missing and not sentinels,
        validity=_validity(fields[8], status, syntax),
        marks=int(_STATUS_MARKS.get(status, 0)),
        exponent_shift=row.exponent_shift if row else 0,
        missing=missing,
        sentinels=sentinels,
        decimal_comma=reading.decimal_comma or (row is not None and row.decimal_comma),
        as_sent=as_sent,
        sub_id=printable(_first(fields[4], syntax, whole=True)),
        path=node_path(_first(fields[4], syntax, whole=True)),
        label=printable(label_of(triplets, code)),
        body_site=printable(_words(fields[20], syntax)),
        equipment=_equipment(fields[18], syntax) if fields[18] else "",
        unit_field=fields[6],
        row=row,
        facet=triplets[0][1] or triplets[0][0],
        is_wave=kind == "NA",
        alarm=alarm,
        limits=fields[7] if reading.dialect.states_limits and fields[7].strip() not in NOTHING else "",
    )
    return _with_node(observation, triplets)


def with_unit_field(what: Observation, unit_field: str) -> Observation:
    """The same observation with another OBX-6: a wave whose unit is stated with its resolution."""
    unit, unit_as_sent = _unit(unit_field, what.syntax, what.row)
    as_sent = what.as_sent
    if as_sent is not None or (unit_as_sent and not unit):
        named = as_sent or AsSent("MDC", str(what.code))
        as_sent = AsSent(named.system, named.code, printable(unit_as_sent))
    return replace(what, unit=unit, as_sent=as_sent, unit_field=unit_field)


def _kind_of(fields: list[str], syntax: Syntax, alarm: DialectAlarm | None, own: DialectCode) -> Kind:
    if alarm is not None:
        return Kind.ALARM
    return Kind.SETTING if own.is_setting or _is_setting(fields, syntax) else Kind.METRIC


def _alarm_of(triplet: tuple[str, str, str], dialect: Dialect) -> DialectAlarm | None:
    """What the dialect's number of an alarm says; None where the OBX is none."""
    if not dialect.alarm_system or triplet[2].upper() != dialect.alarm_system:
        return None
    return dialect.alarms.get(triplet[0], UNEXPLAINED_ALERT)


def _as_mdc(triplets: list[tuple[str, str, str]], dialect: Dialect) -> list[tuple[str, str, str]]:
    """Identifiers as MDC writes them, where the dialect has partition and term in hexadecimal."""
    if not dialect.hexadecimal:
        return triplets
    return [
        (number, "", "MDC") if system.upper() in dialect.hexadecimal and (number := _decimal_of(identifier)) else
        (identifier, text, system)
        for identifier, text, system in triplets
    ]  # fmt: skip


def _decimal_of(identifier: str) -> str:
    """0002-4bb8 is 150456; "" for what is not written so."""
    match = _HEXADECIMAL.fullmatch(identifier)
    return str(int(match[1], 16) << 16 | int(match[2], 16)) if match else ""


def _as_sent(
    triplet: tuple[str, str, str], code: int, unit: int, unit_as_sent: str, *, is_unitless: bool = False
) -> AsSent | None:
    """The sender's own words, where the code or a stated unit is not known."""
    if code and not is_unitless and (unit or not unit_as_sent):
        return None
    identifier, text, system = triplet
    return AsSent(printable(system), printable("^".join(filter(None, (identifier, text)))), printable(unit_as_sent))


def _with_node(observation: Observation, triplets: list[tuple[str, str, str]]) -> Observation:
    """IHE PCD TF-2 B.8: a node of the containment tree is an OBX without a value. It may be one by its name, and by a
    path that ends in .0 where what it names is no metric: then it is one only where it has no value."""
    code, text, _ = triplets[0]
    named = text.startswith("MDC_DEV_") or code.startswith("MDC_DEV_")
    if not named and (observation.code or not observation.sub_id.endswith(".0")):
        return observation
    word = printable(code if not text or text.startswith("MDC_") else f"{code}^{text}")
    node = replace(observation, node_word=word, is_bare_node=True)
    return replace(observation, node_word=word if named else "", node=node)


def _is_setting(fields: list[str], syntax: Syntax) -> bool:
    return (
        bool(_identifiers(fields[17], syntax) & _SETTING_METHODS) or _first(fields[13], syntax).upper() in _SETTING_ROWS
    )


def _validity(flags: str, status: str, syntax: Syntax) -> Validity:
    words = _identifiers(flags, syntax)
    # Some senders write a list of flags with commas in one repetition: H,INV.
    words |= {part.strip() for word in words if "," in word for part in word.split(",")}
    found = [_FLAG_VALIDITY.get(word, Validity.VALID) for word in words]
    return max(*found, _STATUS_VALIDITY.get(status, Validity.QUESTIONABLE))


def node_path(sub_id: str) -> tuple[str, ...]:
    """OBX-4 as the path of a node: 1.13.0.0 is (1, 13)."""
    parts = sub_id.split(".")
    while len(parts) > 1 and parts[-1].strip("0") == "":
        parts.pop()
    return tuple(parts) if parts != [""] else ()


# --- codes ------------------------------------------------------------------------------------------------------------


def _first(text: str, syntax: Syntax, *, whole: bool = False) -> str:
    """The first component of the first repetition, or the first repetition, without blanks around it."""
    text = text.partition(syntax.repetition)[0]
    return (text if whole else text.partition(syntax.component)[0]).strip()


def _identifiers(text: str, syntax: Syntax) -> set[str]:
    """The identifiers of a coded field's repetitions, alternate ones too, in capitals."""
    parts = [repetition.split(syntax.component) for repetition in text.split(syntax.repetition)]
    return {identifier.strip().upper() for each in parts for identifier in (each[0], *each[3:4])}


def _components(text: str, syntax: Syntax) -> list[str]:
    parts = text.partition(syntax.repetition)[0].split(syntax.component)
    if syntax.escape in text:
        parts = [unescape(part, syntax) for part in parts]
    return ["" if part == NULL else part.strip() for part in parts]


def triplets_of(text: str, syntax: Syntax) -> list[tuple[str, str, str]]:
    """Identifier, text and system, and the alternate ones where there are any."""
    parts = (_components(text, syntax) + [""] * 6)[:6]
    first, second = (parts[0], parts[1], parts[2]), (parts[3], parts[4], parts[5])
    return [first, second] if any(second) else [first]


def _words(text: str, syntax: Syntax) -> str:
    """A coded field as words: identifier and text."""
    return "^".join(filter(None, _components(text, syntax)[:2]))


def _trimmed(text: str, syntax: Syntax) -> str:
    """A field without blanks around its parts, null parts, and empty parts at its end."""
    parts = [
        syntax.subcomponent.join(map(_unpadded, part.split(syntax.subcomponent))).rstrip(syntax.subcomponent)
        for part in text.split(syntax.component)
    ]
    return syntax.component.join(parts).rstrip(syntax.component)


def _unpadded(part: str) -> str:
    part = part.strip()
    return "" if part == NULL else part


def _equipment(text: str, syntax: Syntax) -> str:
    """OBX-18 without padding; "" where it names no device: a namespace or a type alone, zeros in the identifier."""
    sent = _trimmed(text.partition(syntax.repetition)[0], syntax)
    parts = [*sent.split(syntax.component), "", ""]
    return "" if _NO_DEVICE.fullmatch(parts[0]) and _NO_DEVICE.fullmatch(parts[2]) else sent


def trimmed(text: str, syntax: Syntax) -> str:
    """A field as an identity: padding means nothing (ICU^^07 and `ICU ^^07  ` are one bed); "" where it is null."""
    text = text.strip()
    return "" if text in NOTHING else _trimmed(text, syntax)


def code_of_triplets(triplets: list[tuple[str, str, str]]) -> int:
    """The metric that the triplets name; 0 if none, if a number and its name contradict each other, or two triplets."""
    named = {code for triplet in triplets if (code := _mdc_code(*triplet)) is not None}
    if named:
        return named.pop() if len(named) == 1 else 0
    loinc = {m.code for code, _, system in triplets if system.upper() == "LN" and (m := METRIC_BY_LOINC.get(code))}
    return loinc.pop() if len(loinc) == 1 else 0


def _mdc_code(code: str, text: str, system: str) -> int | None:
    """The metric of a triplet; None if it names none, 0 if it contradicts itself."""
    by_text = METRIC_BY_REFERENCE_ID.get(text.upper()) or METRIC_BY_REFERENCE_ID.get(code.upper())
    number = int(code) if code.isascii() and code.isdecimal() and len(code) < 10 else 0
    if system.upper() != "MDC" or not number:
        return by_text.code if by_text else None
    by_number = METRIC_BY_CODE.get(number) if not is_private(number) else None
    if by_number is None:
        return 0 if by_text else None
    return by_number.code if by_text in (None, by_number) else 0


def label_of(triplets: list[tuple[str, str, str]], code: int) -> str:
    """The sender's own words in OBX-3: what the metric's number and reference id do not say already."""
    words = []
    for identifier, text, system in triplets:
        if not code or _mdc_code(identifier, text, system) != code:
            words += [identifier, text]
        elif METRIC_BY_REFERENCE_ID.get(text.upper()) is None and not text.startswith("MDC_"):
            words.append(text)
    return "^".join(filter(None, words))


# --- units ------------------------------------------------------------------------------------------------------------


def _unit(text: str, syntax: Syntax, row: Mapped | None, dialect: Dialect | None = None) -> tuple[int, str]:
    """The unit's code, and the unit as sent."""
    stated = []
    for repetition in text.split(syntax.repetition):
        parts = _components(repetition, syntax)
        stated += [part for part in (*parts[:2], *parts[3:5]) if part]
    is_hexadecimal = dialect is not None and dialect.hexadecimal
    named = [_decimal_of(word) or word for word in stated] if is_hexadecimal else stated
    return unit_of(named, row), "^".join(dict.fromkeys(stated))


# --- values -----------------------------------------------------------------------------------------------------------


def record_of(what: Observation, sent: str, channel: int, marks: int, note: str | None = None) -> Record:
    """OBX-5 as a record; `marks` are what else is known of it."""
    if what.is_plain_number:
        parts = scaled(sent, what.exponent_shift)
        if parts is not None:
            return Record(
                what.code, what.unit, channel, _NUMERIC, what.validity, parts[0], parts[1], MARKS[marks | what.marks],
                None, note, what.as_sent,
            )  # fmt: skip
    return _Value(what, sent.strip(), channel, marks | what.marks, note).record()


@dataclass
class _Value:
    """A value that is not at sight a number."""

    what: Observation
    sent: str
    channel: int
    marks: int
    note: str | None

    def record(self) -> Record:
        what, sent = self.what, self.sent
        if sent in NOTHING:
            return self._missing(None)
        if what.alarm is not None:
            return self._alarm(what.alarm)
        if sent in what.missing:
            return self._missing(self._text())
        if what.is_number:
            found = self._number()
            if found is not None:
                return found
        if what.type in _CODED_TYPES:
            found = self._code()
            if found is not None:
                return found
        text = self._text()
        marks = self.marks | (int(Mark.UNDECODED) if isinstance(text, bytes) else 0)
        return self._make(RecordKind.TEXT, what.validity, marks=marks, text=text)

    def _make(
        self, kind: RecordKind, validity: Validity, parts: tuple[int, int] = (0, 0), marks: int = 0,
        text: str | bytes | None = None,
    ) -> Record:  # fmt: skip
        what = self.what
        return Record(
            what.code, what.unit, self.channel, kind, validity, parts[0], parts[1],
            MARKS[marks or self.marks], text, self.note, what.as_sent,
        )  # fmt: skip

    def _alarm(self, of: DialectAlarm) -> Record:
        """One that is there now: its words are all that tells it from another, so that it is of no channel."""
        text = self._text()
        words, marks = (text, 0) if isinstance(text, str) else (printable(text.decode("latin-1")), int(Mark.UNDECODED))
        alarm = Alarm(condition=words, priority=of.priority, kind=of.kind, text=words)
        what = self.what
        return Record(
            kind=RecordKind.ALARM, validity=what.validity, marks=MARKS[self.marks & ~int(Mark.AMBIGUOUS) | marks],
            note=self.note, as_sent=what.as_sent, alarm=alarm,
        )  # fmt: skip

    def _missing(self, text: str | bytes | None) -> Record:
        kind = RecordKind.NUMERIC if self.what.is_number or not self.what.type else RecordKind.TEXT
        marks = self.marks | (int(Mark.UNDECODED) if isinstance(text, bytes) else 0)
        return self._make(kind, Validity.NOT_AVAILABLE, marks=marks, text=text)

    def _text(self) -> str | bytes:
        syntax = self.what.syntax
        text = unescape(self.sent, syntax) if syntax.escape in self.sent else self.sent
        return text_or_bytes(text, syntax.codec)[0]

    def _number(self) -> Record | None:
        """A number, a bound, or no reading; None where it is none of these."""
        sent = self.sent
        if self.what.type == "SN":
            plain = self._structured()
            if plain is None:
                return None
            sent = plain
        what = self.what
        number = read_number(sent, what.exponent_shift, decimal_comma=what.decimal_comma)
        if number is not None:
            mantissa, exponent, marks = number
            if what.sentinels and not marks and _reduced(mantissa, exponent - what.exponent_shift) in what.sentinels:
                return self._missing(self._text())
            return self._make(number.kind, what.validity, (mantissa, exponent), self.marks | marks)
        return self._missing(self._text()) if is_no_reading(sent) else None

    def _structured(self) -> str | None:
        """An SN (HL7 2.8 §2A.2.71: comparator, number, separator, number) as a plain text; None where it is a ratio, a
        range, or none."""
        parts = [part.strip() for part in self.sent.split(self.what.syntax.component)]
        while parts and parts[-1] in NOTHING:
            parts.pop()
        if len(parts) == 1:  # a number or a bound without its components
            return parts[0]
        if len(parts) != 2 or parts[0] not in _COMPARATORS:
            return None
        return parts[0].removeprefix("=") + parts[1]

    def _code(self) -> Record | None:
        """An enumeration's code, where one of the triplets is of MDC."""
        syntax = self.what.syntax
        if syntax.repetition in self.sent:
            return None
        for code, text, system in triplets_of(self.sent, syntax):
            if system.upper() == "MDC" and code.isascii() and code.isdecimal() and len(code) < 11:
                words, mark = text_or_bytes(text or code, syntax.codec)
                return self._make(RecordKind.CODE, self.what.validity, (int(code), 0), self.marks | int(mark), words)
        return None


@lru_cache(1024)
def _reduced(mantissa: int, exponent: int) -> tuple[int, int]:
    """The same number in its shortest notation."""
    if not mantissa:
        return 0, 0
    while mantissa % 10 == 0:
        mantissa, exponent = mantissa // 10, exponent + 1
    return mantissa, exponent
