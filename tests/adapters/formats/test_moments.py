"""Which of several levels says when something was measured, and what becomes of a time that cannot be."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.moments import StatedMoment, instant_us, moment_of, received
from schemas.report import ClockQuality, Record

RECEIVED_AT_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
BERLIN = ZoneInfo("Europe/Berlin")
TIMES = st.sampled_from(["", "20260921141319+0000", "2026092114", "20260231000000", "0" * 14, "x", "1899", "9" * 99])


def moment(*sent: str, zone: ZoneInfo | None = None) -> StatedMoment:
    """Of levels that are called a, b, c."""
    return moment_of(tuple(zip("abc", sent, strict=False)), zone, RECEIVED_AT_US)


@given(st.lists(TIMES, min_size=1, max_size=3), st.sampled_from([None, BERLIN]))
def test_a_moment_is_the_devices_or_the_one_of_receipt(sent: list[str], zone: ZoneInfo | None) -> None:
    found = moment(*sent, zone=zone)
    assert (found.quality is ClockQuality.DOUBTFUL) == bool(found.unread)
    if found.device_at_us is None:
        assert found.at_us == RECEIVED_AT_US
        assert found.quality is not ClockQuality.DEVICE
    else:
        assert found.at_us == found.device_at_us
    if found.own_time:
        assert found.quality is ClockQuality.DEVICE
        assert "20260921141319+0000" in sent


def test_without_a_time_it_is_that_of_receipt() -> None:
    assert moment("", "") == received(RECEIVED_AT_US) == moment()


def test_an_empty_level_says_nothing_and_one_that_cannot_be_read_makes_it_doubtful() -> None:
    below = moment("", "20260921141319+0000")
    assert (below.at_us, below.quality, below.own_time) == (RECEIVED_AT_US - 1_000_000, ClockQuality.DEVICE, True)
    behind = moment("20260231000000", "x", "20260921141319+0000")
    assert (behind.at_us, behind.quality, behind.own_time) == (below.at_us, ClockQuality.DOUBTFUL, False)
    assert behind.unread == "a as sent: 20260231000000"


def test_a_time_in_a_zone_that_nobody_knows_is_doubtful() -> None:
    assert moment("20260921161319").unread == "a as sent: 20260921161319"
    assert moment("20260921161319", zone=BERLIN).at_us == RECEIVED_AT_US - 1_000_000


def test_the_offset_of_a_level_holds_below_it() -> None:
    assert moment("20260921141317", "20260921161318", "20260921141319+0000", zone=BERLIN).at_us == (
        RECEIVED_AT_US - 3_000_000
    )
    assert moment("20260921161317", "20260921161318+0200", "20260921141319+0000").at_us == RECEIVED_AT_US - 3_000_000
    assert moment("20260921161317", "20260921161318+0200", "x", zone=BERLIN).at_us == RECEIVED_AT_US - 3_000_000


@pytest.mark.parametrize(
    ("sent", "own"),
    [(("20260921161319",), True), (("202609211613",), False), (("202609211613", "20260921161319"), True),
     (("202609211613", "20260231161319"), False), (("20261025023000",), True)],
)  # fmt: skip
def test_its_own_time_is_one_to_the_second_somewhere_in_the_message(sent: tuple[str, ...], own: bool) -> None:
    """Also in the hour that comes twice: the frame that comes again says the same."""
    assert moment(*sent, zone=BERLIN).own_time is own


def test_what_could_not_be_read_is_noted_on_the_first_record() -> None:
    records = (Record(1, note="probe off"), Record(2))
    assert [record.note for record in moment("x").noted(records)] == ["probe off\na as sent: x", None]
    assert moment("x").noted(records[1:])[0].note == "a as sent: x"
    assert moment("").noted(records) == records
    assert moment("x").noted(()) == ()


def test_one_time_by_itself_has_the_zone_that_is_stated_above_it() -> None:
    assert instant_us("20260921141320", ["20260921141319+0000"], BERLIN) == RECEIVED_AT_US
    assert instant_us("20260921161320", ["x", ""], BERLIN) == RECEIVED_AT_US
    assert instant_us("20260921161320", [], None) is None
    assert instant_us("x", ["20260921141319+0000"], BERLIN) is None
