r"""How a receiver reads ORU^R01 (HL7 2.5.1, chapters 2, 3 and 7), files it, and answers (original mode: AA, AE, AR).

Naive on purpose and of no code but its own. It tells a message by MSH-10 and answers the same one the same; it tells a
result by OBX-21 or, before 2.6, by OBR-3, OBX-3 and OBX-4 together; and it refuses with AE what table 0085 does not
allow: a final result that changes without C, a withdrawal of what it never had, a result after its withdrawal.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from simulators.emr_faults import Faults
from simulators.emr_table import Result, Row, Table

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_TIME = re.compile(r"\d{14}(\.\d{1,4})?[+-]\d{4}")
_ESCAPE = re.compile(r"\\(F|S|R|E|T|X(?:[0-9A-F]{2})+)\\")
_LETTERS = {"F": "|", "S": "^", "R": "~", "E": "\\", "T": "&"}
_CODECS = {"UNICODE UTF-8": "utf-8", "GB 18030-2000": "gb18030", "": "ascii", "ASCII": "ascii"}
_STATUSES = frozenset("CDFPRWX")
_WITHDRAWN = ("D", "W")
_PRELIMINARY = ("P", "R")
_SETTLED = ("F", "C")


class RefusedError(Exception):
    """`code` is of table 0357; `place` an ERL, such as PID^1^3."""

    def __init__(self, code: str, place: str, text: str) -> None:
        super().__init__(text)
        self.code, self.place, self.text = code, place, text


@dataclass
class Segments:
    """A message as lists of texts: `fields[n]` of a segment is field n as it was sent."""

    segments: list[list[str]]
    codec: str

    def first(self, name: str) -> list[str]:
        """The first segment of that name; an empty one where there is none."""
        return next((fields for fields in self.segments if fields[0] == name), [name])

    def text(self, sent: str) -> str:
        """Without escapes."""
        return _ESCAPE.sub(self._meaning, sent)

    def _meaning(self, match: re.Match[str]) -> str:
        sequence = match[1]
        if sequence in _LETTERS:
            return _LETTERS[sequence]
        return bytes.fromhex(sequence[1:]).decode(self.codec, "replace")


def part(fields: list[str], number: int, component: int = 1) -> str:
    """A component of a field's first repetition; "" where it is not there."""
    sent = fields[number] if number < len(fields) else ""
    components = sent.split("~")[0].split("^")
    return components[component - 1] if component <= len(components) else ""


def read_message(payload: bytes) -> Segments:
    """Raises RefusedError for what is no message, or in a charset that it does not know."""
    head = payload.split(b"\r")[0].split(b"|")
    if head[0] != b"MSH" or len(head) < 12 or head[1] != b"^~\\&":
        raise RefusedError("100", "MSH^1", "no MSH")
    charset = head[17].decode("ascii", "replace") if len(head) > 17 else ""
    if charset not in _CODECS:
        raise RefusedError("103", "MSH^1^18", "unknown charset")
    try:
        lines = payload.decode(_CODECS[charset]).rstrip("\r").split("\r")
    except UnicodeDecodeError:
        raise RefusedError("103", "MSH^1^18", "bytes of another charset") from None
    segments = [line.split("|") for line in lines]
    segments[0].insert(1, "|")  # MSH-1 is the separator itself
    return Segments(segments, _CODECS[charset])


@dataclass
class Receiver:
    """Takes messages and answers them; what each fault does to an answer is decided where it is sent."""

    table: Table
    faults: Faults
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def take(self, payload: bytes) -> bytes:
        """File it and answer. A message that came before is answered as it was, and not filed again."""
        control_id, version = _head(payload)
        is_known_message = not self.faults.is_on("duplicates")
        known = self.table.answer_of(control_id) if control_id and is_known_message else None
        if known is not None:
            return known
        try:
            message = read_message(payload)
            with self.table.transaction():
                for earlier, result in self._results(message):
                    self.table.file(result, earlier)
            answer = self.answer("AA", control_id, version)
        except RefusedError as refused:
            error = f"ERR||{refused.place}|{refused.code}^^HL70357|E||||{refused.text}"
            return self.answer("AE", control_id, version, error)
        self.table.keep_answer(control_id, answer)
        return answer

    def answer(self, code: str, control_id: str, version: str = "2.5.1", error: str = "") -> bytes:
        """An acknowledgement of that message."""
        now = f"{datetime.now(UTC):%Y%m%d%H%M%S}+0000"
        lines = [
            rf"MSH|^~\&|EMR|SIM|||{now}||ACK^R01^ACK|EMR{next(self._numbers)}|P|{version}",
            f"MSA|{code}|{control_id}",
        ]
        return "".join(f"{line}\r" for line in (*lines, *([error] if error else []))).encode()

    def _results(self, message: Segments) -> list[tuple[Row | None, Result]]:
        msh, pid, pv1 = message.first("MSH"), message.first("PID"), message.first("PV1")
        if part(msh, 9) != "ORU" or part(msh, 9, 2) != "R01":
            raise RefusedError("200", "MSH^1^9", "only ORU^R01")
        patient = message.text(part(pid, 3))
        if not patient:
            raise RefusedError("101", "PID^1^3", "no patient")
        encounter = message.text(part(pv1, 19) or part(pid, 18))
        place = message.text("^".join(part(pv1, 3, n) for n in range(1, 5)).strip("^"))
        found: list[tuple[Row | None, Result]] = []
        filler, number = "", 0
        for fields in message.segments:
            if fields[0] == "OBR":
                filler = part(fields, 3)
            elif fields[0] == "OBX":
                number += 1
                said = _said(message, fields, number, filler)
                result = Result(**said, patient=patient, encounter=encounter, place=place)
                found.append((self._earlier(result, number), result))
        if not found:
            raise RefusedError("101", "OBX^1", "no result")
        return found

    def _earlier(self, result: Result, number: int) -> Row | None:
        """What it is a later version of. Raises RefusedError where it cannot be that."""
        earlier = self.table.find(result.identity)
        place = f"OBX^{number}^11"
        if earlier is None:
            if result.status in _WITHDRAWN:
                raise RefusedError("204", place, "a withdrawal of what was never filed")
            return None
        if self.faults.is_on("duplicates") and (earlier.status, earlier.value) == (result.status, result.value):
            return None
        if (earlier.patient, earlier.encounter) != (result.patient, result.encounter):
            raise RefusedError("205", "PID^1^3", "a result of another patient or encounter")
        if earlier.status in _WITHDRAWN and result.status not in _WITHDRAWN:
            raise RefusedError("199", place, "it was withdrawn")
        if earlier.status in _SETTLED and result.status in _PRELIMINARY:
            raise RefusedError("199", place, "it was final")
        if earlier.status in _SETTLED and result.status == "F" and earlier.value != result.value:
            raise RefusedError("199", place, "a final result changes by C alone")
        return earlier


def _said(message: Segments, fields: list[str], number: int, filler: str) -> dict[str, str]:
    """Of one OBX, as far as it says it. Raises RefusedError for what makes no sense."""
    kind, value, status = part(fields, 2), message.text(part(fields, 5)), part(fields, 11)
    code, by_loinc = part(fields, 3), part(fields, 3, 6) == "LN"
    identity = part(fields, 21) or f"{filler}/{code}/{part(fields, 4)}"
    if not filler or not code:
        raise RefusedError("101", "OBR^1^3" if not filler else f"OBX^{number}^3", "nothing to tell the result by")
    if status not in _STATUSES:
        raise RefusedError("103", f"OBX^{number}^11", "unknown status")
    if kind == "NM" and not _NUMBER.fullmatch(value):
        raise RefusedError("102", f"OBX^{number}^5", "no number")
    if not value and status not in ("X", *_WITHDRAWN):
        raise RefusedError("101", f"OBX^{number}^5", "no value")
    if not _TIME.fullmatch(part(fields, 14)):
        raise RefusedError("102", f"OBX^{number}^14", "no time with an offset")
    return {
        "identity": identity,
        "code": part(fields, 3, 4) if by_loinc else code,
        "display": message.text(part(fields, 3, 5 if by_loinc else 2)),
        "device": message.text(part(fields, 18)),
        "value": value,
        "unit": message.text(part(fields, 6)),
        "status": status,
        "observed_at": _iso(part(fields, 14)),
        "message_id": part(message.first("MSH"), 10),
        "way": "hl7",
    }


def _iso(sent: str) -> str:
    """20260921221310.1234+0800 as FHIR would write it."""
    stamp, sign, offset = re.split(r"([+-])", sent)
    date, time = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}", f"{stamp[8:10]}:{stamp[10:12]}:{stamp[12:]}"
    return f"{date}T{time}{sign}{offset[:2]}:{offset[2:]}"


def _head(payload: bytes) -> tuple[str, str]:
    """MSH-10 and MSH-12 of any bytes, for the answer."""
    fields = payload.split(b"\r")[0].decode("latin-1").split("|")
    fields += [""] * (12 - len(fields))
    return fields[9], fields[11] or "2.5.1"
