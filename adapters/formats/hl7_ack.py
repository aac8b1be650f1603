"""HL7 v2 acknowledgements (HL7 2.5.1 §2.9, MSA §2.15.8, ERR §2.15.5), built by hand: one for each message.

They are made of bytes that may be anything, so they lean on `header` alone, never on a message that could be read.
A sender's messages differ in MSH-7 and MSH-10 alone: what their answers have in common is built once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from string import punctuation
from typing import Literal, NamedTuple

from adapters.formats.hl7v2 import NULL, Hl7Header, Syntax, header, syntax
from adapters.session import Outcome
from schemas.errors import FrameError

Answers = Literal["accept", "application", "both"]
CACHED_MSH_BYTES_MAX = 512  # bounds the cache's memory
_BOM = b"\xef\xbb\xbf"
_SEPARATORS = frozenset(bytes([ord(mark)]) for mark in punctuation)
# Table 0008: as an application acknowledgement (original mode, or asked for in MSH-16), as an accept acknowledgement.
_MSA_1 = {
    Outcome.KEPT: ("AA", "CA"),
    Outcome.MALFORMED: ("AE", "CE"),
    Outcome.UNSUPPORTED: ("AR", "CR"),
    Outcome.CANNOT_KEEP: ("AR", "CE"),
}
# Table 0357 and the field of MSH that is meant ("" for none), by reason, else by outcome.
_ERRORS = {
    "two-messages": ("100", "Segment sequence error", ""),
    "no-msh-10": ("101", "Required field missing", "10"),
    "charset": ("103", "Table value not found", "18"),
    "unsupported-type": ("200", "Unsupported message type", "9"),
    "unsupported-version": ("203", "Unsupported version id", "12"),
    Outcome.MALFORMED: ("100", "Segment sequence error", ""),
    Outcome.UNSUPPORTED: ("200", "Unsupported message type", "9"),
    Outcome.CANNOT_KEEP: ("207", "Application internal error", ""),
}
_MSH_DEFAULTS = [*("MSH", "|", r"^~\&"), *[""] * 8, "P", "2.5", *[""] * 13]  # MSH where the message has none
_CONTROLS = re.compile(r"[\x00-\x1a\x1c-\x1f\x7f]")  # would break the frame or the segment; ESC shifts a charset


class _Template(NamedTuple):
    """An answer without its time, its own control id, and the control id that it answers."""

    before_time: str
    before_id: str
    after_id: str  # up to MSA-2
    msa_3: str
    err: str
    field: str


class MessageHead:
    """What the answers to a message need to know of it; made by `read_head`."""

    __slots__ = ("control_id", "shape")

    def __init__(self, shape: _Shape, control_id: str) -> None:
        self.shape = shape
        self.control_id = control_id  # MSH-10

    @property
    def is_there(self) -> bool:
        """Whether there is an MSH in these bytes at all."""
        return self.shape.is_there

    @property
    def is_acknowledgement(self) -> bool:
        """Whether it answers a message itself: then it is never answered (HL7 2.5.1 §2.9)."""
        return self.shape.is_acknowledgement

    def answers(
        self, outcome: Outcome, utc_us: int, control_ids: Iterator[int], reason: str = "", answers: Answers = "accept"
    ) -> list[bytes]:
        """The answers, unwrapped, in order; none where the sender wants none. Never raises.

        `control_ids` number the answers' own MSH-10; `reason` is a FrameError's slug or a few plain words. `answers`
        says what is sent where an accept and an application acknowledgement are asked for.
        """
        now = _time_text(utc_us // 1_000_000)
        control_id = self.control_id
        if not control_id.isprintable():
            control_id = _CONTROLS.sub("", control_id)
        texts = []
        for template in self.shape.templates(outcome, reason, answers):
            msa = f"{template.after_id}{control_id}{template.field}{template.msa_3}".rstrip(template.field)
            text = f"{template.before_time}{now}{template.before_id}VW{next(control_ids)}{msa}\r{template.err}"
            texts.append(text.encode(self.shape.codec, "replace"))
        return texts


class _Shape:
    """What a sender's messages have in common: MSH without its time and its control id."""

    def __init__(self, found: Hl7Header | None) -> None:
        self.is_there = found is not None
        head = found or Hl7Header(_MSH_DEFAULTS, "ascii")
        self.codec = head.codec
        self._msh = head.fields
        try:
            self._syntax = syntax(self._msh[1], self._msh[2], "")
        except FrameError:
            self._msh = ["MSH", *_MSH_DEFAULTS[1:3], *self._msh[3:]]
            self._syntax = syntax(self._msh[1], self._msh[2], "")
        self.is_acknowledgement = self._msh[9].strip().upper().startswith("ACK")
        self._without_reason: dict[tuple[Outcome, Answers], list[_Template]] = {}

    def templates(self, outcome: Outcome, reason: str, answers: Answers) -> list[_Template]:
        """Those of the answers that are wanted."""
        if reason:
            return self._build(outcome, reason, answers)
        key = (outcome, answers)
        if key not in self._without_reason:
            self._without_reason[key] = self._build(outcome, "", answers)
        return self._without_reason[key]

    def _build(self, outcome: Outcome, reason: str, answers: Answers) -> list[_Template]:
        msh, marks = self._msh, self._syntax
        version = msh[12].strip() or "2.5"
        why = _escaped(reason, marks)
        err = ""
        if outcome is not Outcome.KEPT:
            error = _ERRORS.get(reason) or _ERRORS[outcome]
            err = _line(_err(error, why, marks, version), marks)
        answer = _msh(msh, marks, version)
        separator = marks.field
        templates = []
        for as_accept in _requested(msh[15], msh[16], outcome, answers):
            msa_1 = _MSA_1[outcome][as_accept]
            templates.append(
                _Template(
                    before_time=_clean(separator.join(answer[:6]) + separator),
                    before_id=_clean(separator + separator.join(answer[7:9]) + separator),
                    after_id=_line(["", *answer[10:]], marks) + f"MSA{separator}{msa_1}{separator}",
                    msa_3=_clean(why) if version < "2.5" else "",
                    err=err,
                    field=separator,
                )
            )
        return templates


def read_head(payload: bytes) -> MessageHead:
    """The head of any bytes."""
    return HeadReader().read(payload)


class _Known(NamedTuple):
    """The MSH of the message before: what stands before MSH-7, between it and MSH-10, and after that to the line's end.

    There is no line end but that at the end of `after`, and all of it is ASCII.
    """

    separator: bytes
    before: bytes
    between: bytes
    after: bytes
    shape: _Shape


class HeadReader:
    """Reads the heads of one sender's messages: they differ in MSH-7 and MSH-10 alone, and that is all that is read."""

    def __init__(self) -> None:
        self._known: _Known | None = None

    def read(self, payload: bytes) -> MessageHead:
        """The head of any bytes."""
        known = self._known
        if known is not None and payload.startswith(known.before):
            begin = payload.find(known.separator, len(known.before)) + len(known.between)
            end = payload.find(known.separator, begin)
            if (
                0 <= end <= CACHED_MSH_BYTES_MAX
                and payload.startswith(known.between, begin - len(known.between))
                and payload.startswith(known.after, end)
                and _is_plain(payload[len(known.before) : end])
            ):
                return MessageHead(known.shape, payload[begin:end].decode("ascii"))
        return self._read_any(payload)

    def _read_any(self, payload: bytes) -> MessageHead:
        self._known = None
        if payload.startswith(_BOM):
            payload = payload[len(_BOM) :]
        end = payload.find(b"\r", 0, CACHED_MSH_BYTES_MAX)
        line = payload[: max(end, 0)]
        separator = line[3:4]
        if not line.startswith(b"MSH") or separator not in _SEPARATORS or not _is_plain(line):
            head = header(payload)
            return MessageHead(_Shape(head), head.fields[10] if head else "")
        fields = line.split(separator)
        if len(fields) <= 9:
            return MessageHead(_shape(line), "")
        control_id = fields[9].decode("ascii")
        before, between = separator.join([*fields[:6], b""]), separator.join([b"", *fields[7:9], b""])
        after = separator.join([b"", *fields[10:]]) + b"\r"
        fields[6] = fields[9] = b""
        shape = _shape(separator.join(fields))
        self._known = _Known(separator, before, between, after, shape)
        return MessageHead(shape, control_id)


def _is_plain(line: bytes) -> bool:
    return line.isascii() and b"\n" not in line and b"\r" not in line


@lru_cache(1024)
def _shape(line: bytes) -> _Shape:
    return _Shape(header(line))


@lru_cache(16)
def _time_text(utc_s: int) -> str:
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y%m%d%H%M%S%z")


def _requested(accept: str, application: str, outcome: Outcome, answers: Answers) -> list[bool]:
    """Which acknowledgements to send: accept (True) or application (table 0155).

    Many senders of IHE PCD-01 say NE in MSH-15 and AL in MSH-16: they wait for AA.
    """
    conditions = [condition.strip().upper().replace(NULL, "") for condition in (accept, application)]
    if not any(conditions):
        return [False]
    by_condition = {"": False, "NE": False, "SU": outcome is Outcome.KEPT, "ER": outcome is not Outcome.KEPT}
    kinds = zip((True, False), conditions, strict=True)
    asked = [as_accept for as_accept, condition in kinds if by_condition.get(condition, True)]
    if answers == "both":
        return asked
    return asked[-1:] if answers == "application" else asked[:1]


def _msh(msh: list[str], marks: Syntax, version: str) -> list[str]:
    """Sender and receiver change places; version, processing id and charset are theirs. MSH-7 and MSH-10 are empty."""
    kind = ["ACK", *[trigger.strip() for trigger in msh[9].split(marks.component)[1:2]]]
    if len(kind) == 2 and version >= "2.3.1":
        kind.append("ACK")
    answer = ["MSH", msh[2], msh[5], msh[6], msh[3], msh[4], "", "", marks.component.join(kind), ""]
    return [*answer, msh[11].strip() or "P", version, "", "", "", "", "", msh[18]]


def _line(fields: list[str], marks: Syntax) -> str:
    """A segment, without the separators of empty fields at its end."""
    return _clean(marks.field.join(fields).rstrip(marks.field)) + "\r"


def _clean(text: str) -> str:
    return _CONTROLS.sub("", text)


def _err(error: tuple[str, str, str], why: str, marks: Syntax, version: str) -> list[str]:
    """ERR-1 alone before 2.5; from there on ERR-2 (where), 3 (what), 4 (severity) and 8 (in words)."""
    code, meaning, field = error
    where = ["MSH", "1", field] if field else ["", "", ""]
    if version < "2.5":
        return ["ERR", marks.component.join([*where, marks.subcomponent.join((code, meaning, "HL70357"))])]
    what = marks.component.join((code, meaning, "HL70357"))
    return ["ERR", "", marks.component.join(where) if field else "", what, "E", "", "", "", why]


def _escaped(text: str, marks: Syntax) -> str:
    table = {
        ord(mark): f"{marks.escape}{letter}{marks.escape}" for mark, letter in zip(marks[:5], "FSRET", strict=True)
    }
    return text.encode("ascii", "replace").decode().translate(table)
