from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.hl7_time import Instant, offset_of, parse_dtm
from schemas.errors import FrameError

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def _us(*when: int, hours: int = 0) -> int:
    return int(datetime(*when, tzinfo=timezone(timedelta(hours=hours))).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260501101500+0800", Instant(_us(2026, 5, 1, 2, 15), True, 1_000)),
        ("20260501101500-0330", Instant(_us(2026, 5, 1, 13, 45), True, 1_000)),
        ("20260501101500.1234+0800", Instant(_us(2026, 5, 1, 2, 15) + 123_400, True, 0)),
        ("20260501101500.12", Instant(_us(2026, 5, 1, 2, 15) + 120_000, False, 10)),
        ("20260501101500", Instant(_us(2026, 5, 1, 2, 15), False, 1_000)),
        ("202605011015", Instant(_us(2026, 5, 1, 2, 15), False, 60_000)),
        ("2026050110", Instant(_us(2026, 5, 1, 2), False, 3_600_000)),
        ("20260501", Instant(_us(2026, 5, 1, hours=8), False, 86_400_000)),
        ("202605", Instant(_us(2026, 5, 1, hours=8), False, 31 * 86_400_000)),
        ("2026", Instant(_us(2026, 1, 1, hours=8), False, 2**32 - 1)),
        ("19691231235959+0000", Instant(-1_000_000, True, 1_000)),
    ],
)  # fmt: skip
def test_each_precision(text: str, expected: Instant) -> None:
    assert parse_dtm(text, SHANGHAI) == expected


@pytest.mark.parametrize(
    "text",
    ["", '""', "0", "202", "20261301", "20260230", "2026050124", "20260501101560", "00000000000000", "20260501101500Z",
     "20260501101500+8", "20260501101500+0860", "20260501101500+1500", "20260501101500.", "2026-05-01", " 20260501",
     "２０２６", "20260501101500.1234567", "97"],
)  # fmt: skip
def test_what_is_no_time_is_none_zone_or_not(text: str) -> None:
    assert parse_dtm(text, SHANGHAI) is None
    assert parse_dtm(text, None) is None


def test_a_zone_is_never_guessed() -> None:
    with pytest.raises(FrameError) as refused:
        parse_dtm("20260501101500", None)
    assert refused.value.reason == "no-time-zone"
    assert parse_dtm("20260501101500+0000", None) == Instant(_us(2026, 5, 1, 10, 15), True, 1_000)


def test_the_hour_that_comes_twice_is_flagged_and_its_neighbours_are_not() -> None:
    assert parse_dtm("20261025023000", BERLIN) == Instant(_us(2026, 10, 25, 0, 30), False, 3_600_000)
    assert parse_dtm("20261025023000+0100", BERLIN) == Instant(_us(2026, 10, 25, 1, 30), True, 1_000)
    assert parse_dtm("20261025033000", BERLIN) == Instant(_us(2026, 10, 25, 2, 30), False, 1_000)
    assert parse_dtm("20260329023000", BERLIN) == Instant(_us(2026, 3, 29, 0, 30), False, 3_600_000)  # left out
    assert parse_dtm("20261025023000", SHANGHAI).uncertainty_ms == 1_000  # type: ignore[union-attr]


def test_the_offset_of_msh_7_can_be_lent() -> None:
    assert offset_of("20260501101500-0330") == timezone(-timedelta(hours=3, minutes=30))
    assert offset_of("20260501101500") is offset_of("nonsense") is None


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_round_trip_to_the_microsecond(when: datetime, minutes: int) -> None:
    aware = when.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = f"{when.year:04}{when:%m%d%H%M%S.%f}{aware:%z}"
    instant = parse_dtm(text, None)
    assert instant is not None
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant.us) == aware


@given(st.text("0123456789+-. ", max_size=26) | st.text(max_size=20))
def test_any_text_is_an_instant_or_none(text: str) -> None:
    assert parse_dtm(text, BERLIN) is None or text[:4].isdigit()
