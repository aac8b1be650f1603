"""HL7 v2 acknowledgements (HL7 2.5.1 §2.9, MSA §2.15.8, ERR §2.15.5), built by hand: one for each message.

They are made of bytes that may be anything, so they lean on `header` alone, never on a message that could be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from adapters.formats.hl7v2 import NULL, Header, Syntax, header, syntax
from adapters.session import Outcome
from schemas.errors import FrameError

Answers = Literal["accept", "application", "both"]
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
_UNSAID = [*("MSH", "|", r"^~\&"), *[""] * 8, "P", "2.5", *[""] * 13]  # MSH where the message has none
_CONTROLS = re.compile(r"[\x00-\x1a\x1c-\x1f\x7f]")  # would break the frame or the segment; ESC shifts a charset


def is_acknowledgement(payload: bytes) -> bool:
    """Whether any bytes are a message that answers one (MSH-9 is ACK): it is never answered itself."""
    head = header(payload)
    return head is not None and head.fields[9].strip().upper().startswith("ACK")


def acknowledgements(
    payload: bytes, outcome: Outcome, utc_us: int, control_ids: Iterator[int], reason: str = "",
    answers: Answers = "accept",
) -> list[bytes]:  # fmt: skip
    """The answers to any bytes, unwrapped, in order; none where the sender wants none. Never raises.

    `control_ids` number the answers' own MSH-10; `reason` is a FrameError's slug or a few plain words. MSA-2 is the
    message's MSH-10, as far as one can be found.
    """
    head = header(payload) or Header(_UNSAID, "ascii")
    msh = head.fields
    try:
        marks = syntax(msh[1], msh[2], "")
    except FrameError:
        msh = ["MSH", *_UNSAID[1:3], *msh[3:]]
        marks = syntax(msh[1], msh[2], "")
    now = datetime.fromtimestamp(utc_us // 1_000_000, UTC)
    version = msh[12].strip() or "2.5"
    why = _escaped(reason, marks) if reason else ""
    texts = []
    for as_accept in _wanted(msh[15], msh[16], outcome, answers):
        segments = [_msh(msh, marks, version, now, f"VW{next(control_ids)}")]
        segments.append(["MSA", _MSA_1[outcome][as_accept], msh[10], why if version < "2.5" else ""])
        if outcome is not Outcome.KEPT:
            segments.append(_err(_ERRORS.get(reason) or _ERRORS[outcome], why, marks, version))
        lines = [marks.field.join(segment).rstrip(marks.field) for segment in segments]
        text = "".join(_CONTROLS.sub("", line) + "\r" for line in lines)
        texts.append(text.encode(head.codec, "replace"))
    return texts


def _wanted(accept: str, application: str, outcome: Outcome, answers: Answers) -> list[bool]:
    """Which acknowledgements to send: accept (True) or application (table 0155).

    Many senders of IHE PCD-01 say NE in MSH-15 and AL in MSH-16: they wait for AA.
    """
    conditions = [condition.strip().upper().replace(NULL, "") for condition in (accept, application)]
    if not any(conditions):
        return [False]
    wanted = {"": False, "NE": False, "SU": outcome is Outcome.KEPT, "ER": outcome is not Outcome.KEPT}
    kinds = zip((True, False), conditions, strict=True)
    asked = [as_accept for as_accept, condition in kinds if wanted.get(condition, True)]
    if answers == "both":
        return asked
    return asked[-1:] if answers == "application" else asked[:1]


def _msh(msh: list[str], marks: Syntax, version: str, now: datetime, control_id: str) -> list[str]:
    """Sender and receiver change places; version, processing id and charset are theirs."""
    kind = ["ACK", *msh[9].split(marks.component)[1:2]]
    if len(kind) == 2 and version >= "2.3.1":
        kind.append("ACK")
    when = now.strftime("%Y%m%d%H%M%S%z")
    answer = ["MSH", msh[2], msh[5], msh[6], msh[3], msh[4], when, "", marks.component.join(kind), control_id]
    return [*answer, msh[11] or "P", version, "", "", "", "", "", msh[18]]


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
