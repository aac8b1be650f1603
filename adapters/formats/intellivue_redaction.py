"""Identifiers in the messages of Philips IntelliVue's Data Export, as datagrams and in the frames of the MIB port.

Of a patient's object (class 002A) state, type, sex, pacing and what was measured of the body stay, and every other
attribute is replaced; ids, names and date of birth are, whatever the object. Texts are UTF-16: a letter becomes a
letter, a digit a digit, and what is not ASCII becomes a capital. A message that cannot be read is blanked with FF
behind its head, unless it says that it is of another class; bytes that are no message are replaced as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from adapters.formats.intellivue import (
    ACTION_EXTENDED_POLL,
    ACTION_POLL,
    CLASS_ALERT,
    CLASS_ENUMERATION,
    CLASS_NUMERIC,
    CLASS_PATIENT,
    CLASS_WAVE,
    CMD_CONFIRMED_ACTION,
    CONNECT_INDICATION,
    ROIV,
    ROLRS,
    SESSION,
    MdsCreated,
    OtherMessage,
    PollResult,
    RequestFailed,
    data_message,
)
from adapters.formats.intellivue_association import Association
from adapters.formats.redaction import Redaction
from adapters.sessions.intellivue_mib import BEGIN, END, ESCAPE, FLIP, HEAD, check_of
from schemas.errors import FrameError

_ID, _INTERNAL_ID = 0x095A, 0xF001
_NAMES = {
    _ID: "patient id", 0x095C: "family name", 0x095D: "given name", 0x095F: "name", 0x0958: "date of birth"
}  # fmt: skip
_NAMES_OF_PATIENT = {**_NAMES, _INTERNAL_ID: "internal patient id"}
_KEPT_OF_PATIENT = frozenset({0x0921, 0x0957, 0x0961, 0x0962, 0x0A1E, 0x09D8, 0x09DC, 0x09DF, 0x0956})
_IDS = frozenset({_ID, _INTERNAL_ID})
_OF_DEVICE = frozenset({CLASS_NUMERIC, CLASS_WAVE, CLASS_ENUMERATION, CLASS_ALERT})
_HEAD_BYTES = 30  # of a message that is not read: up to its data
_PARAMETERS_OF_ASSOCIATION = frozenset({0x05, 0x11, 0x32, 0xC1})  # the first one of each kind of message
_NO_MESSAGE, _UNREAD = "bytes that are no message", "a message that cannot be read"
_FRAME = re.compile(rb"\xc0[^\xc0\xc1]*\xc1")
_NO_LETTER = re.compile(rb"[^A-Za-z0-9\0]")
_TRIES, _TRIES_WITH_ID = 100, 400


@dataclass(frozen=True)
class _Place:
    """Where an attribute's value stands in a message, and of which class its object is."""

    class_id: int
    attribute: int
    begin: int
    end: int


@dataclass(frozen=True)
class _Keys:
    """With which redaction a patient's ids are replaced, and with which all else."""

    ids: Redaction
    others: Redaction


def redact_intellivue(stream: bytes, redaction: Redaction) -> bytes:
    """The datagrams of a stream, one behind the other, without who the patient is."""
    out: list[bytes] = []
    at = unread = 0
    keys = _Keys(redaction, redaction)
    while at < len(stream):
        count = _message_bytes(stream, at)
        if not count:
            found = stream.find(SESSION, at + 1)
            at = len(stream) if found < 0 else found
            continue
        out += (_scrubbed(stream[unread:at], redaction), _message(stream[at : at + count], keys))
        at = unread = at + count
    out.append(_scrubbed(stream[unread:], redaction))
    return b"".join(out)


def _message_bytes(stream: bytes, at: int) -> int:
    """How long the message is that begins there; 0 where none does, or not the whole of it."""
    head = stream[at : at + 8]
    if head[:4] in (SESSION, CONNECT_INDICATION) and len(head) == 8:
        count = 8 + int.from_bytes(head[6:], "big")
    elif len(head) > 2 and head[0] in set(Association):
        count, first = (4 + int.from_bytes(head[2:4], "big"), 4) if head[1] == 0xFF else (2 + head[1], 2)
        if head[first : first + 1] not in {bytes([each]) for each in _PARAMETERS_OF_ASSOCIATION}:
            return 0
    else:
        return 0
    return count if at + count <= len(stream) else 0


def _message(frame: bytes, keys: _Keys) -> bytes:
    if frame[:4] != SESSION:
        return frame if _message_bytes(frame, 0) == len(frame) else _scrubbed(frame, keys.others)
    try:
        message = data_message(frame)
    except FrameError:
        return frame if _is_of_device(frame) else _blanked(frame, 0xFF, keys.others)
    if isinstance(message, RequestFailed):
        return frame
    if isinstance(message, OtherMessage):
        is_ours = (
            int.from_bytes(frame[4:6], "big") == ROIV and int.from_bytes(frame[10:12], "big") == CMD_CONFIRMED_ACTION
        )
        return frame if is_ours else _blanked(frame, keys.others.key[0] & 0x3F, keys.others)
    out = bytearray(frame)
    for place in _places(frame, message):
        out[place.begin : place.end] = _value(frame[place.begin : place.end], place, keys)
    return bytes(out)


def _is_of_device(frame: bytes) -> bool:
    """Whether a message that cannot be read says that it is a poll's result of numbers, waves, states or alarms.

    One that has the begin of another in it has swallowed that.
    """
    at = 14 + (2 if frame[4:6] == ROLRS.to_bytes(2, "big") else 0)
    action = int.from_bytes(frame[at + 6 : at + 8], "big")
    if SESSION in frame[4:] or action not in (ACTION_POLL, ACTION_EXTENDED_POLL):
        return False
    at += 10 + 2 + (2 if action == ACTION_EXTENDED_POLL else 0) + 4 + 8 + 2
    return int.from_bytes(frame[at : at + 2], "big") in _OF_DEVICE


def _blanked(frame: bytes, blank: int, redaction: Redaction) -> bytes:
    behind = len(frame) - _HEAD_BYTES
    if behind <= 0:
        return frame
    redaction.removed[_UNREAD] += 1
    return frame[:_HEAD_BYTES] + bytes([blank]) * behind


# --- the attributes of a message --------------------------------------------------------------------------------------


def _places(frame: bytes, message: MdsCreated | PollResult) -> list[_Place]:
    """The attributes of a message that was read: nothing of it is cut."""
    if isinstance(message, MdsCreated):
        at = 14 + 14 + 6  # the event's head, and the object that was made
        return _listed(frame, at, message.mds.class_id)[0]
    places: list[_Place] = []
    at = 14 + (0 if message.is_last else 2) + 10 + 2 + (0 if message.sequence is None else 2) + 4 + 8 + 6
    contexts, at = _u16(frame, at), at + 4
    for _ in range(contexts):
        objects, at = _u16(frame, at + 2), at + 6  # behind the context's number
        for _ in range(objects):
            found, at = _listed(frame, at + 2, message.class_id)  # behind its handle
            places += found
    return places


def _listed(frame: bytes, at: int, class_id: int) -> tuple[list[_Place], int]:
    """The attributes of the list that stands there, and where it ends."""
    places = []
    count, at = _u16(frame, at), at + 4
    for _ in range(count):
        begin = at + 4
        end = begin + _u16(frame, at + 2)
        places.append(_Place(class_id, _u16(frame, at), begin, end))
        at = end
    return places, at


def _u16(frame: bytes, at: int) -> int:
    return int.from_bytes(frame[at : at + 2], "big")


def _value(value: bytes, place: _Place, keys: _Keys) -> bytes:
    is_of_patient = place.class_id == CLASS_PATIENT
    if place.attribute not in _NAMES and (not is_of_patient or place.attribute in _KEPT_OF_PATIENT):
        return value
    name = (_NAMES_OF_PATIENT if is_of_patient else _NAMES).get(place.attribute, f"attribute {place.attribute:04X}")
    redaction = keys.ids if place.attribute in _IDS else keys.others
    if len(value) < 2 or _u16(value, 0) != len(value) - 2:
        return redaction.replace_binary(value, name)
    return value[:2] + _text(value[2:], redaction, name)


def _text(text: bytes, redaction: Redaction, name: str) -> bytes:
    """UTF-16 where its first character is of Latin, as the driver has it; else bytes, of which none is kept but 00."""
    if len(text) % 2 == 0 and text[:1] == b"\0":
        units = (_u16(text, at) for at in range(0, len(text), 2))
        letters = bytes(unit if unit < 0x80 else _capital(unit) for unit in units)
        return redaction.replace(letters, name).decode("ascii").encode("utf-16-be")
    return redaction.replace(_letters(text), name)


def _scrubbed(data: bytes, redaction: Redaction) -> bytes:
    """Of bytes that nobody can read, no character of whatever encoding."""
    return redaction.replace(_letters(data), _NO_MESSAGE)


def _letters(data: bytes) -> bytes:
    """00, letters and digits as they are, and a capital for every other byte."""
    return _NO_LETTER.sub(lambda match: bytes([_capital(match[0][0])]), data)


def _capital(number: int) -> int:
    """What stands for a character that is not ASCII before it is replaced: by it two names stay two."""
    return ord("A") + number % 26


# --- the frames of the MIB port ---------------------------------------------------------------------------------------


def redact_intellivue_mib(stream: bytes, redaction: Redaction) -> bytes:
    """The frames of a stream without who the patient is, each with its check made anew and as long as before."""
    out: list[bytes] = []
    at = 0
    for match in _FRAME.finditer(stream):
        out += (_noise(stream[at : match.start()], redaction), _frame(match[0], redaction))
        at = match.end()
    out.append(_noise(stream[at:], redaction))
    return b"".join(out)


def _noise(data: bytes, redaction: Redaction) -> bytes:
    """Begins and ends stay: frames are counted as before."""
    return re.sub(rb"[^\xc0\xc1]+", lambda match: _scrubbed(match[0], redaction), data)


def _frame(frame: bytes, redaction: Redaction) -> bytes:
    inner = re.sub(rb"\x7d([\x00-\xff])", lambda match: bytes([match[1][0] ^ FLIP]), frame[1:-1])
    is_whole = len(inner) >= 6 and inner[:2] == HEAD and _u16(inner, 2) == len(inner) - 6
    if not is_whole or _checked(inner[:-2]) != inner:
        return _noise(frame, redaction)
    message = inner[4:-2]
    for attempt in range(_TRIES_WITH_ID):
        # The new check may need an escape that the old one did not: other names, and at last other ids, have another.
        key = blake2b(redaction.key + attempt.to_bytes(2), digest_size=32).digest() if attempt else redaction.key
        others = Redaction(key)
        ids = Redaction(redaction.key) if attempt < _TRIES else others
        clean = _message(message, _Keys(ids, others))
        if clean == message:
            return frame
        escaped = _escaped(_checked(inner[:4] + clean), len(frame) - 2)
        if escaped:
            redaction.removed.update(others.removed)
            if ids is not others:
                redaction.removed.update(ids.removed)
            return bytes([BEGIN]) + escaped + bytes([END])
    return _noise(frame, redaction)  # no check fits: rather a frame that is damaged than a name


def _checked(data: bytes) -> bytes:
    return data + check_of(data).to_bytes(2, "little")


def _escaped(inner: bytes, count: int) -> bytes:
    """The frame as it goes over the line in so many bytes; empty where it needs more.

    Where it needs fewer, bytes are escaped that need not be: a receiver takes any byte behind an escape.
    """
    special = (BEGIN, END, ESCAPE)
    spare = count - len(inner) - sum(byte in special for byte in inner)
    if spare < 0:
        return b""
    out = bytearray()
    for byte in inner:
        is_spare = spare > 0 and byte not in special and byte ^ FLIP not in special
        spare -= is_spare
        out += bytes([ESCAPE, byte ^ FLIP]) if is_spare or byte in special else bytes([byte])
    return bytes(out) if len(out) == count else b""
