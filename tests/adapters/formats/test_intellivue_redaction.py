"""Redaction of IntelliVue's messages, on a LAN and in MIB frames: the patient is gone, all else is read as before.

Bytes are put together by `tests/adapters/intellivue_bytes.py`, which knows none of our code.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices import intellivue
from adapters.driver import Source
from adapters.formats.intellivue import MdsCreated, PollResult, create_result, data_message, poll_request
from adapters.formats.intellivue_association import abort, association_request, release_request, release_response
from adapters.formats.intellivue_redaction import redact_intellivue, redact_intellivue_mib
from adapters.formats.redaction import Redaction
from adapters.session import Moment
from adapters.sessions.intellivue import IntellivueSession
from adapters.sessions.intellivue_mib import MibSession, framed
from schemas.errors import FrameError
from schemas.report import Record
from tests.adapters.intellivue_bytes import (
    ABORT,
    NOON,
    REFUSE,
    SPO2_97,
    accept,
    mds_create,
    operation,
    poll_result,
    real,
    sized,
    text,
    u16,
)

KEY = b"k" * 32
AT_US = 1_790_000_000_000_000
CASES = Path(__file__).parents[1] / "devices" / "cases"
FRAMES = {
    f"{path.parents[1].name}/{path.parent.name}": bytes.fromhex(path.read_text())
    for path in sorted(CASES.glob("intellivue*/*/frame.hex"))
}
KEPT = {0x0957: u16(2), 0x0962: u16(3), 0x0A1E: u16(1), 0x0961: u16(1), 0x09DF: real(32, -1) + u16(0x06C3)}
BIRTH = bytes.fromhex("1962031700000000")
PERSON = {
    0x095A: text("MRN88421"), 0xF001: bytes.fromhex("0009FBC0C17D1234"), 0x095C: text("Zhang"), 0x095D: text("Wei é张"),
    0x095F: sized(b"Quentin"), 0x0958: BIRTH, 0xF12A: text("rang Okafor }"), 0xF12B: sized("张伟".encode("utf-16-be")),
}  # fmt: skip
GONE = [word.encode("utf-16-be") for word in ("88421", "MRN", "Zhang", "Wei", "é", "张", "张伟", "rang", "Okafor")]
GONE += [b"Quentin", BIRTH, BIRTH[:4], PERSON[0xF001]]
REMOVED = {
    "patient id": 1, "internal patient id": 1, "family name": 1, "given name": 1, "name": 1, "date of birth": 1,
    "attribute F12A": 1, "attribute F12B": 1,
}  # fmt: skip


def patient(more: dict[int, bytes] | None = None, *, ticks: int = 1_000_000, linked: bytes = b"") -> bytes:
    found = {**KEPT, **(PERSON if more is None else more)}
    return poll_result(0x2A, {1: found}, ticks=ticks, absolute=NOON, group=0x0807, linked=linked)


def records(*frames: bytes) -> list[Record]:
    """All that the driver reads of them, but for the patient's ids."""
    source = Source("bed", intellivue.IntellivueSettings(), peer="p", received_at_us=AT_US)
    found = [record for frame in frames for report in intellivue.read(frame, source) for record in report.records]
    return [record for record in found if record.as_sent is None or not record.as_sent.code.endswith(("id", "PID-3"))]


def messages(stream: bytes) -> list[bytes]:
    """The messages of MIB frames that the session gives out; it fails where one is damaged."""
    session = MibSession(IntellivueSession(waves=False))
    session.opened(Moment(0, AT_US))
    pieces = session.feed(stream, Moment(1, AT_US)).pieces
    assert [piece.reason for piece in pieces] == [""] * len(pieces)
    return [piece.data for piece in pieces]


def names_left(data: bytes) -> list[bytes]:
    return [name for name in GONE if name in data]


@pytest.mark.parametrize("linked", [b"", b"\x01\x01"])
def test_on_a_lan_the_patient_is_gone_and_the_rest_is_read_as_before(linked: bytes) -> None:
    frames = [mds_create({0x0984: sized(b"12345678")}), patient(linked=linked), SPO2_97]
    stream, redaction = b"".join(frames), Redaction(KEY)
    clean = redact_intellivue(stream, redaction)
    assert len(clean) == len(stream)
    assert names_left(clean) == []
    assert clean.startswith(frames[0])
    assert clean.endswith(SPO2_97)
    cleaned = clean[len(frames[0]) : -len(SPO2_97)]
    assert records(frames[0], cleaned, SPO2_97) == records(*frames) != []
    before, after = data_message(frames[1]), data_message(cleaned)
    assert isinstance(before, PollResult)
    assert isinstance(after, PollResult)
    assert [{**each.attributes, **PERSON} for each in after.objects] == [each.attributes for each in before.objects]
    assert dict(redaction.removed) == REMOVED


def test_in_frames_the_check_is_made_anew_and_the_length_stays_for_any_key() -> None:
    stream = framed(patient())
    for number in range(300):  # checks of all kinds, those that have to be escaped too
        redaction = Redaction(bytes([number % 256]) * 31 + bytes([number // 256]))
        clean = redact_intellivue_mib(stream, redaction)
        assert len(clean) == len(stream)
        (message,) = messages(clean)
        assert names_left(message) == names_left(clean) == []
        assert records(message) == records(patient())
        assert dict(redaction.removed) == REMOVED


def test_in_frames_a_patient_stays_the_same_whatever_the_check() -> None:
    person = {number: PERSON[number] for number in (0x095A, 0x095C)}  # nothing escaped that would leave a byte for it
    stream = b"".join(framed(patient(person, ticks=ticks)) for ticks in range(300))
    ids, names = set(), set()
    for message in messages(redact_intellivue_mib(stream, Redaction(KEY))):
        found = data_message(message)
        assert isinstance(found, PollResult)
        ids.add(found.objects[0].attributes[0x095A])
        names.add(found.objects[0].attributes[0x095C])
    assert len(ids) == 1
    assert len(names) > 1  # some checks needed another one


@pytest.mark.parametrize("frame", FRAMES.values(), ids=list(FRAMES))
def test_every_case_is_read_as_before_but_for_who_it_is(frame: bytes) -> None:
    """A case that cannot be read still cannot."""
    streams = {redact_intellivue(frame, Redaction(KEY))}
    streams |= set(messages_or_frames(redact_intellivue_mib(framed(frame), Redaction(KEY))))
    for clean in streams:
        assert len(clean) == len(frame)
        try:
            expected = records(frame)
        except FrameError:
            with pytest.raises(FrameError):
                records(clean)
        else:
            if frame[:4] != bytes.fromhex("00000100"):  # the case's is cut: it is blanked
                assert records(clean) == expected


def messages_or_frames(stream: bytes) -> list[bytes]:
    """The message of the one frame, whatever a session makes of it."""
    inner = re.sub(rb"\x7d([\x00-\xff])", lambda match: bytes([match[1][0] ^ 0x20]), stream[1:-1])
    return [inner[4:-2]]


def test_what_has_no_patient_stays_to_the_bit() -> None:
    created = data_message(mds_create({0x0984: sized(b"12345678")}))
    assert isinstance(created, MdsCreated)
    for frame in (
        SPO2_97, REFUSE, ABORT, accept(0x88000000), association_request(), release_request(), release_response(),
        abort(), poll_request(invoke_id=1, poll_number=2, class_id=6, group=0), create_result(created), patient({}),
        mds_create({0x091E: text("ICU 7"), 0x0928: sized(b"Philips")}),
    ):  # fmt: skip
        redaction = Redaction(KEY)
        assert redact_intellivue(frame + frame, redaction) == frame + frame
        assert redact_intellivue_mib(framed(frame), redaction) == framed(frame)
        assert redaction.removed == Counter()


def test_what_nobody_can_read_names_nobody() -> None:
    whole = patient()
    damaged = bytearray(framed(whole))
    damaged[-3] ^= 1
    unread = bytes.fromhex("E1000002") + whole[4:6] + u16(len(whole) - 8 + 1) + whole[8:] + b"\0"
    other = operation(1, 1, 0, u16(0x2A, 0, 1) + bytes(4) + u16(0x0D1F) + sized(text("Zhang 88421") + text("Okafor")))
    swallowed = SPO2_97[:6] + u16(len(SPO2_97) - 8 + len(whole)) + SPO2_97[8:] + whole
    for stream, is_mib in (
        (whole[9:], False), (whole[:-20], False), (unread, False), (other, False), (swallowed, False),
        (bytes(damaged), True), (framed(whole)[7:], True), (framed(whole)[:-9], True), (framed(other), True),
    ):  # fmt: skip
        redaction = Redaction(KEY)
        clean = (redact_intellivue_mib if is_mib else redact_intellivue)(stream, redaction)
        assert len(clean) == len(stream)
        assert names_left(clean) == []
        assert redaction.removed


def test_numbers_that_cannot_be_read_stay() -> None:
    frame = bytearray(SPO2_97)
    frame[-1 - 4 - 4 - 6] ^= 1  # the length of an attribute
    with pytest.raises(FrameError):
        data_message(bytes(frame))
    assert redact_intellivue(bytes(frame), Redaction(KEY)) == bytes(frame)


def test_two_patients_stay_two() -> None:
    clean = [redact_intellivue(patient({0x095A: text(number)}), Redaction(KEY)) for number in ("1234", "1235", "1234")]
    assert clean[0] == clean[2] != clean[1]


@given(
    words=st.text(min_size=1, max_size=40),
    internal=st.binary(min_size=1, max_size=12),
    key=st.binary(min_size=32, max_size=32),
)
def test_any_identifier_leaves_a_frame_that_is_read(words: str, internal: bytes, key: bytes) -> None:
    frame = patient({0x095A: sized(words.encode("utf-16-be", "surrogatepass")), 0xF001: internal})
    clean = redact_intellivue(frame, Redaction(key))
    assert len(clean) == len(frame)
    assert records(clean) == records(frame)
    stream = framed(frame)
    clean = redact_intellivue_mib(stream, Redaction(key))
    assert len(clean) == len(stream)
    assert [records(message) for message in messages(clean)] == [records(frame)]
