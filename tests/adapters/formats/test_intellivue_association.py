"""What begins and ends an association, against the guide's bytes."""

from __future__ import annotations

import pytest

from adapters.formats.intellivue_association import (
    NUMERICS_1_S,
    WAVES,
    Association,
    Granted,
    abort,
    association_message,
    association_request,
    granted,
    release_request,
    release_response,
)
from schemas.errors import FrameError
from tests.adapters.intellivue_bytes import ABORT, REFUSE, RELEASE_REQUEST, RELEASE_RESPONSE, accept

USER_INFO = bytes.fromhex(
    "80000000 40000000 00000000 80000000 20000000 00000000 0001002C 00010028 80000000 00001F40 00000554 00000554"
    "FFFFFFFF 60000000 0001000C F0010008 88000000 00000000"
)


def test_the_request_is_the_guides() -> None:
    request = association_request(extended_options=NUMERICS_1_S | WAVES)
    assert len(request) == 238
    assert request[:2] == bytes.fromhex("0DEC")
    assert request[16:18] == bytes.fromhex("C1DC")
    head, info, rest = request.partition(USER_INFO)
    assert info
    assert head.endswith(bytes.fromhex("028148"))
    assert rest == bytes(16)
    assert association_message(request) is Association.REQUEST


def test_release_and_abort_are_the_guides() -> None:
    assert (release_request(), release_response(), abort()) == (RELEASE_REQUEST, RELEASE_RESPONSE, ABORT)
    assert [association_message(each) for each in (RELEASE_REQUEST, RELEASE_RESPONSE, ABORT, REFUSE)] == [
        Association.RELEASE_REQUEST, Association.RELEASE_RESPONSE, Association.ABORT, Association.REFUSE,
    ]  # fmt: skip


def test_what_the_monitor_grants_stands_in_its_accept() -> None:
    assert granted(accept(0x88000000, min_poll_ticks=16_000)) == Granted(2.0, 0x88000000)
    assert granted(accept(0)) == Granted(1.0, 0)


def test_the_other_form_of_the_mark_before_the_user_info() -> None:
    other = accept(0x80000000).replace(bytes.fromhex("BE80288002010281"), bytes.fromhex("BE80288081"))
    assert granted(other) == Granted(1.0, 0x80000000)


def test_a_long_user_info_has_a_length_of_more_bytes() -> None:
    message = accept(0x80000000)
    at = message.index(bytes.fromhex("BE80288002010281")) + 8
    assert granted(message[:at] + b"\x81" + message[at:]) == Granted(1.0, 0x80000000)


@pytest.mark.parametrize("message", [b"", b"\x0e", b"\x0e\x05abc", b"\x0e\xff\x00", b"\x77\x00"])
def test_what_is_no_message_of_an_association_is_refused(message: bytes) -> None:
    with pytest.raises(FrameError):
        association_message(message)


def test_an_accept_that_is_cut_grants_nothing() -> None:
    whole = accept(0x80000000)
    for length in range(len(whole) - 16):
        with pytest.raises(FrameError):
            granted(whole[:length])
