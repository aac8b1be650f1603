"""The three levels of an HL7 message that say when a value was measured; what they mean is in `test_moments`."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from adapters.formats.hl7_clock import Clock
from adapters.formats.hl7v2 import syntax
from adapters.formats.moments import received

SYNTAX = syntax("|", r"^~\&", "ascii")
RECEIVED_AT_US = 1_790_000_000_000_000
BERLIN = ZoneInfo("Europe/Berlin")


def clock(msh_7: str, zone: ZoneInfo | None = None, *, clockless: bool = False) -> Clock:
    return Clock(msh_7, SYNTAX, zone, RECEIVED_AT_US, clockless=clockless)


def test_obx_14_goes_before_obr_7_and_that_before_msh_7() -> None:
    of = clock("20260921141319+0000")
    assert of.of_message.at_us == RECEIVED_AT_US - 1_000_000
    assert of.moment("20260921141318", "").at_us == RECEIVED_AT_US - 2_000_000
    assert of.moment("20260921161318+0200", "20260921161317").at_us == RECEIVED_AT_US - 3_000_000
    assert of.moment("x", "y").unread == "OBX-14 as sent: y"
    assert clock("z").moment("x", "").unread == "OBR-7 as sent: x"
    assert clock("z").of_message.unread == "MSH-7 as sent: z"


@pytest.mark.parametrize("sent", ["", '""', " ", '""^S', "^S", "~20260921141318+0000"])
def test_an_empty_or_null_field_says_nothing(sent: str) -> None:
    assert clock("20260921141319+0000").moment(sent, sent).at_us == RECEIVED_AT_US - 1_000_000
    assert clock(sent).of_message == received(RECEIVED_AT_US)


def test_the_first_component_of_the_first_repetition_is_the_time() -> None:
    assert clock(" 20260921141319+0000 ^S~x").of_message.at_us == RECEIVED_AT_US - 1_000_000


def test_a_clockless_sender_has_its_own_times_alone() -> None:
    of_mindray = clock("20260921141319+0000", BERLIN, clockless=True)
    assert of_mindray.moment("0", "") == received(RECEIVED_AT_US)
    assert of_mindray.moment("0", "20260921161319").at_us == RECEIVED_AT_US - 1_000_000
