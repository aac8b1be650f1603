"""What an HL7 v2 acknowledgement means for the message that was sent (2.5.1 §2.9, MSA §2.15.8, ERR §2.15.5).

Messages go out in original mode (MSH-15 and MSH-16 empty): one answer is due, the application's AA, AE or AR, and it
alone says that the result was filed. An engine that answers CA all the same has taken the message into safe storage and
answers for it from there on: CA counts as accepted, unless the destination's table says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from adapters.emr.answer import Answer, Outcome
from adapters.formats.hl7v2 import Hl7Message, Segment
from schemas.errors import FrameError

# Table 0008. AE is the content, AR the receiver: what the receiver cannot do now it may do later.
MEANINGS: Mapping[str, Outcome] = MappingProxyType({
    "AA": Outcome.ACCEPTED, "CA": Outcome.ACCEPTED,
    "AE": Outcome.PARK, "CR": Outcome.PARK,
    "AR": Outcome.RETRY, "CE": Outcome.RETRY,
})  # fmt: skip
ANOTHER_MESSAGE = "acknowledges another message"
ERROR_INSIDE = "accepted, with an error inside"
# Table 0357: any other code may be anything, a patient's number too.
_CONDITIONS = {
    "100": "segment sequence error", "101": "required field missing", "102": "data type error",
    "103": "table value not found", "104": "value too long", "198": "non-conformant cardinality",
    "199": "other HL7 error", "200": "unsupported message type", "201": "unsupported event code",
    "202": "unsupported processing id", "203": "unsupported version id", "204": "unknown key identifier",
    "205": "duplicate key identifier", "206": "application record locked", "207": "application internal error",
}  # fmt: skip
_IS_ERROR = ("E", "F")  # ERR-4, table 0516: error, fatal error
_SEGMENT_ID = re.compile(r"[A-Z][A-Z0-9]{2}")
_POSITION = re.compile(r"\d{1,3}")
_MSA_1 = re.compile(r"[A-Z]{2}")
_ERRORS_MAX = 5  # in a reason
_MSH_10 = 10
_SB, _END = b"\x0b", b"\x1c\r"


def read_ack(frame: bytes, control_id: str, meanings: Mapping[str, Outcome] | None = None) -> Answer:
    """What the answer to the message with this MSH-10 means; with or without MLLP's frame. Never raises.

    `meanings` are a destination's own, by MSA-1, before `MEANINGS`. What is no acknowledgement at all says nothing of
    the message: it is sent again, with the same MSH-10. The reason has codes and places alone, no text of the receiver.
    """
    try:
        message = _message(frame.removeprefix(_SB).rstrip(_END).lstrip())
    except FrameError as error:
        return Answer(outcome=Outcome.RETRY, code="", reason=f"answered with what is not HL7: {error.reason}")
    acknowledgement = message.first("MSA")
    if acknowledgement is None:
        return Answer(outcome=Outcome.RETRY, code="", reason="answered without MSA: that is no acknowledgement")
    sent_code = acknowledgement.field(1).strip()
    code = sent_code if _MSA_1.fullmatch(sent_code) else ""
    if acknowledgement.field(2).strip() != control_id:
        return Answer(outcome=Outcome.PARK, code=code, reason=ANOTHER_MESSAGE)
    outcome = {**MEANINGS, **(meanings or {})}.get(code)
    errors = [segment for segment in message.segments if segment.name == "ERR"]
    if outcome is None:
        return Answer(outcome=Outcome.PARK, code=code, reason="MSA-1 is not a code of table 0008")
    if code in ("AA", "CA") and code not in (meanings or {}) and _has_error(errors):
        return Answer(outcome=Outcome.PARK, code=code, reason=_reason(ERROR_INSIDE, acknowledgement, errors))
    if outcome is Outcome.ACCEPTED:
        return Answer(outcome=outcome, code=code, reason="")
    return Answer(outcome=outcome, code=code, reason=_reason(code, acknowledgement, errors))


def _message(payload: bytes) -> Hl7Message:
    """Some receivers number none of their answers: an empty MSH-10 is overlooked."""
    try:
        return Hl7Message(payload)
    except FrameError as error:
        if error.reason != "no-msh-10":
            raise
    line, end, rest = payload.partition(b"\r")
    separator = line[3:4]
    fields = line.split(separator)  # MSH-1 is the separator: MSH-10 is the tenth of these
    fields += [b""] * (_MSH_10 - len(fields))
    fields[_MSH_10 - 1] = b"0"
    return Hl7Message(separator.join(fields) + end + rest)


def _has_error(errors: list[Segment]) -> bool:
    return any(segment.field(4).strip() in _IS_ERROR for segment in errors)


def _reason(beginning: str, acknowledgement: Segment, errors: list[Segment]) -> str:
    """`AE: required field missing (101) at PID-3; ...`."""
    found = [_condition(acknowledgement.field(6, 1))]  # MSA-6, before 2.5
    for segment in errors[:_ERRORS_MAX]:
        if segment.field(1):  # ERR-1, before 2.5: segment^sequence^field^code
            found.append(_at(_condition(segment.field(1, 4, 1)), _place(segment, 1, sequence=2, field=3)))
        found.append(_at(_condition(segment.field(3, 1)), _place(segment, 2, sequence=2, field=3)))
    told = "; ".join(dict.fromkeys(text for text in found if text))
    return f"{beginning}: {told}" if told else beginning


def _at(condition: str, place: str) -> str:
    return " at ".join(filter(None, (condition or ("an error" if place else ""), place)))


def _condition(code: str) -> str:
    """Of table 0357; what is not in it is not repeated."""
    code = code.strip()
    if not code or code == "0":
        return ""
    return f"{_CONDITIONS[code]} ({code})" if code in _CONDITIONS else "a code of its own"


def _place(segment: Segment, error_field: int, *, sequence: int, field: int) -> str:
    """PID-3 or OBX[2]-5 out of an ERL; "" for what is none."""
    name = segment.field(error_field, 1).strip()
    if not _SEGMENT_ID.fullmatch(name):
        return ""
    nth, number = segment.field(error_field, sequence).strip(), segment.field(error_field, field).strip()
    place = f"{name}[{nth}]" if _POSITION.fullmatch(nth) and nth != "1" else name
    return f"{place}-{number}" if _POSITION.fullmatch(number) else place
