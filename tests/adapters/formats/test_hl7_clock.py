"""Which of three levels says when a value was measured, and what becomes of a time that cannot be."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.hl7_clock import Clock
from adapters.formats.hl7v2 import syntax
from adapters.formats.moments import Moment
from schemas.report import ClockQuality

SYNTAX = syntax("|", r"^~\&", "ascii")
RECEIVED_AT_US = 1_790_000_000_000_000
BERLIN = ZoneInfo("Europe/Berlin")
TIMES = st.sampled_from(["", '""', " ", "20260921141319+0000", "2026092114", "20260231000000", "0" * 14, "x", "1899"])


def clock(msh_7: str, zone: ZoneInfo | None = None, *, clockless: bool = False) -> Clock:
    return Clock(msh_7, SYNTAX, zone, RECEIVED_AT_US, clockless=clockless)


@given(TIMES, TIMES, TIMES, st.sampled_from([None, BERLIN]))
def test_a_moment_is_the_devices_or_the_one_of_receipt(
    msh_7: str, obr_7: str, obx_14: str, zone: ZoneInfo | None
) -> None:
    moment = clock(msh_7, zone).moment(obr_7, obx_14)
    assert (moment.quality is ClockQuality.DOUBTFUL) == bool(moment.unread)
    if moment.device_at_us is None:
        assert moment.at_us == RECEIVED_AT_US
        assert moment.quality is not ClockQuality.DEVICE
    else:
        assert moment.at_us == moment.device_at_us
    if moment.own_time:
        assert moment.quality is ClockQuality.DEVICE
        assert "20260921141319+0000" in (msh_7, obr_7, obx_14)


def test_a_clockless_sender_has_its_own_times_alone() -> None:
    of_mindray = clock("20260921141319+0000", BERLIN, clockless=True)
    assert of_mindray.moment("0", "") == Moment(RECEIVED_AT_US, RECEIVED_AT_US, None, 0, ClockQuality.RECEIVED, False)
    assert of_mindray.moment("0", "20260921161319").at_us == RECEIVED_AT_US - 1_000_000


def test_a_time_in_a_zone_that_nobody_knows_is_doubtful() -> None:
    assert clock("20260921161319").of_message.unread == "MSH-7 as sent: 20260921161319"
    assert clock("20260921161319", BERLIN).of_message.at_us == RECEIVED_AT_US - 1_000_000


def test_the_offset_of_a_level_holds_below_it() -> None:
    of_msh = clock("20260921141319+0000", BERLIN)
    assert of_msh.moment("20260921141318", "").at_us == RECEIVED_AT_US - 2_000_000
    assert of_msh.moment("20260921161318+0200", "20260921161317").at_us == RECEIVED_AT_US - 3_000_000
