"""Messages of an IntelliVue monitor as the guide draws them, read and built."""

from __future__ import annotations

import pytest

from adapters.formats.intellivue import (
    CLASS_ALERT,
    CLASS_NUMERIC,
    CLASS_WAVE,
    ManagedObject,
    MdsCreated,
    OtherMessage,
    PollResult,
    RequestFailed,
    create_result,
    data_message,
    poll_request,
)
from schemas.errors import FrameError
from tests.adapters.intellivue_bytes import SPO2_97, ZONELESS, mds_create, operation, poll_result, sized, u16, u32


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


def test_the_guides_result_of_a_single_poll() -> None:
    found = data_message(SPO2_97)
    assert isinstance(found, PollResult)
    assert (found.invoke_id, found.poll_number, found.sequence, found.ticks) == (5, 3, None, 1_000_000)
    assert found.absolute == hexed("2026030914050900")
    assert (found.class_id, found.group, found.is_last) == (CLASS_NUMERIC, 0x0803, True)
    (polled,) = found.objects
    assert (polled.context, polled.handle) == (0, 0x0102)
    assert polled.attributes == {0x0950: hexed("4BB8 0000 0220 00000061")}


def test_an_extended_poll_has_a_sequence_and_no_local_time() -> None:
    found = data_message(poll_result(9, {1: {}, 2: {}}, sequence=17, absolute=ZONELESS))
    assert isinstance(found, PollResult)
    assert (found.sequence, found.absolute, found.class_id) == (17, None, CLASS_WAVE)
    assert [each.handle for each in found.objects] == [1, 2]


def test_a_linked_part_is_read_by_itself() -> None:
    found = data_message(poll_result(6, {1: {}}, linked=b"\x01\x01"))
    assert isinstance(found, PollResult)
    assert not found.is_last
    assert len(found.objects) == 1


def test_the_create_event_and_its_confirmation() -> None:
    created = data_message(mds_create({0x0946: u16(0x4000)}, ticks=7, invoke=3))
    assert created == MdsCreated(3, 7, ManagedObject(0x21, 0, 1), {0x0946: b"\x40\x00"})
    assert isinstance(created, MdsCreated)
    assert create_result(created) == hexed("E1000002 0002 0014 0003 0001 000E 0021 0000 0001 00000007 0D06 0000")


def test_the_guides_polls_are_what_is_sent() -> None:
    keep_alive = poll_request(invoke_id=0xC0, poll_number=0x7D, class_id=CLASS_ALERT, group=0x0811)
    assert keep_alive == hexed("E1000002 0001001C 00C00007 0016 002100000000 00000000 0C160008 007D 00010036 0811")
    waves = poll_request(invoke_id=10, poll_number=4, class_id=CLASS_WAVE, group=0x0803, active_ticks=60 * 8000)
    assert waves == hexed(
        "E1000002 00010028 000A0007 0022 002100000000 00000000 F13B0014 0004 00010009 0803 00010008 F13E0004 00075300"
    )


def test_what_is_not_read_has_a_name() -> None:
    assert data_message(operation(3, 9, 2, b"")) == RequestFailed(9, 2)
    assert data_message(operation(2, 9, 3, b"")) == OtherMessage(9, "operation:2-3")
    other_event = u16(0x21, 0, 0) + u32(0) + u16(0x0D17) + sized(b"")
    assert data_message(operation(1, 9, 0, other_event)) == OtherMessage(9, "event:0D17")
    assert data_message(operation(2, 9, 7, u16(0x21, 0, 0, 0x0C17) + sized(b""))) == OtherMessage(9, "action:0C17")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not-data-export"),
        (SPO2_97[:-1], "cut-off"),
        (SPO2_97 + b"\0", "length"),
        (SPO2_97[:4] + u16(9) + SPO2_97[6:], "remote-operation"),
        # A list of two objects in which there is one, and of none in which there is one.
        (SPO2_97.replace(hexed("0001001A"), hexed("0002001A")), "list"),
        (SPO2_97.replace(hexed("0001001A"), hexed("0000001A")), "list"),
        (SPO2_97.replace(hexed("0950000A"), hexed("0950000B")), "cut-off"),
    ],
)
def test_what_is_no_message_is_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as raised:
        data_message(frame)
    assert raised.value.reason == reason
