from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.instants import Instant, parse_dtm, parse_iso, reset_instant, reset_instant_iso

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def _us(*when: int, hours: int = 0) -> int:
    return int(datetime(*when, tzinfo=timezone(timedelta(hours=hours))).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),  # of us and uncertainty_ms
    [
        ("20260501101500+0800", (_us(2026, 5, 1, 2, 15), 1_000)),
        ("20260501101500-0330", (_us(2026, 5, 1, 13, 45), 1_000)),
        ("20260501101500.1234+0800", (_us(2026, 5, 1, 2, 15) + 123_400, 0)),
        ("20260501101500250+0800", (_us(2026, 5, 1, 2, 15) + 250_000, 1)),  # Mindray's gateway: no point
        ("20260501101500.12", (_us(2026, 5, 1, 2, 15) + 120_000, 10)),
        ("20260501101500", (_us(2026, 5, 1, 2, 15), 1_000)),
        ("202605011015", (_us(2026, 5, 1, 2, 15), 60_000)),
        ("2026050110", (_us(2026, 5, 1, 2), 3_600_000)),
        ("20260501", (_us(2026, 5, 1, hours=8), 86_400_000)),
        ("202605", (_us(2026, 5, 1, hours=8), 31 * 86_400_000)),
        ("2026", (_us(2026, 1, 1, hours=8), 2**32 - 1)),
        ("20010101000000+0000", (_us(2001, 1, 1), 1_000)),
    ],
)  # fmt: skip
def test_each_precision(text: str, expected: tuple[int, int]) -> None:
    instant = parse_dtm(text, SHANGHAI)
    assert instant is not None
    assert instant[:2] == expected


@pytest.mark.parametrize(
    "text",
    ["", '""', "0", "202", "20261301", "20260230", "2026050124", "20260501101560", "00000000000000", "20260501101500Z",
     "20260501101500+8", "20260501101500+0860", "20260501101500+1500", "20260501101500.", "2026-05-01", " 20260501",
     "２０２６", "20260501101500.1234567", "97", "202605011015001", "20260501101500123456"],
)  # fmt: skip
def test_what_is_no_time_is_none_zone_or_not(text: str) -> None:
    assert parse_dtm(text, SHANGHAI) is None
    assert parse_dtm(text, None) is None


@pytest.mark.parametrize("year", ["0000", "0001", "1899", "1980", "2000", "2201", "9999"])
def test_a_year_that_nobody_means_is_no_time(year: str) -> None:
    assert parse_dtm(f"{year}0501101500+0800", SHANGHAI) is None
    assert parse_dtm(f"{year}0501101500", SHANGHAI) is None
    assert parse_dtm(year, SHANGHAI) is None
    assert parse_iso(f"{year}-05-01T10:15:00Z", SHANGHAI) is None
    assert parse_iso(f"{year}-01-01T00:00:00", BERLIN) is None


def test_a_zone_is_never_guessed() -> None:
    assert parse_dtm("20260501101500", None) is parse_iso("2026-05-01T10:15:00", None) is None
    assert parse_dtm("20260501101500+0000", None) == Instant(_us(2026, 5, 1, 10, 15), 1_000, UTC)


def test_the_hour_that_comes_twice_is_flagged_and_its_neighbours_are_not() -> None:
    assert parse_dtm("20261025023000", BERLIN) == Instant(_us(2026, 10, 25, 0, 30), 3_600_000)
    assert parse_iso("2026-10-25T02:30:00", BERLIN) == Instant(_us(2026, 10, 25, 0, 30), 3_600_000)
    assert parse_dtm("20261025023000+0100", BERLIN)[:2] == (_us(2026, 10, 25, 1, 30), 1_000)  # type: ignore[index]
    assert parse_dtm("20261025033000", BERLIN) == Instant(_us(2026, 10, 25, 2, 30), 1_000)
    assert parse_dtm("20260329023000", BERLIN) == Instant(_us(2026, 3, 29, 0, 30), 3_600_000)  # left out
    assert parse_dtm("20261025023000", SHANGHAI).uncertainty_ms == 1_000  # type: ignore[union-attr]


def test_the_offset_of_msh_7_can_be_lent() -> None:
    instant = parse_dtm("20260501101500-0330", SHANGHAI)
    assert instant is not None
    assert instant.offset == timezone(-timedelta(hours=3, minutes=30))


@pytest.mark.parametrize(
    ("text", "us"),
    [("2026-05-01T10:15:00+08:00", 0), ("20260501T021500Z", 0), ("2026-05-01 10:15:00.25", 250_000),
     ("2026-05-01T10:15", 0), ("2026-W18-5T10:15", 0)],
)  # fmt: skip
def test_iso_8601(text: str, us: int) -> None:
    assert parse_iso(text, SHANGHAI)[0] == _us(2026, 5, 1, 2, 15) + us  # type: ignore[index]


@pytest.mark.parametrize(
    "text",
    ["", "2026-05-01", "20260501", "10:15:00", "2026-13-01T00:00", "2026-05-01T", "1e9", "2026050110150",
     "2026-05-01x10:15", "２０２６-05-01T10:15"],
)  # fmt: skip
def test_a_date_alone_is_no_moment(text: str) -> None:
    assert parse_iso(text, SHANGHAI) is None


@pytest.mark.parametrize(
    ("text", "uncertainty_ms"),
    [("2026-05-01T10:15:00Z", 0), ("2026-05-01T10:15Z", 60_000), ("20260501T1015Z", 60_000),
     ("2026-05-01T10Z", 3_600_000), ("2026-05-01T10+08:00", 3_600_000), ("2026-05-01T10:15:00,5Z", 0)],
)  # fmt: skip
def test_what_iso_8601_leaves_open_is_uncertain(text: str, uncertainty_ms: int) -> None:
    instant = parse_iso(text, None)
    assert instant is not None
    assert instant.uncertainty_ms == uncertainty_ms


def test_the_zero_of_a_clock_that_was_never_set_is_no_instant() -> None:
    for text in ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00", "1969-12-31T19:00:00-05:00", "1970-01-01T00:00:00.0Z"):
        assert parse_iso(text, SHANGHAI) is None
    for text in ("19700101000000", "19700101", "19700101000000+0000", "19700101000000-0500"):
        assert parse_dtm(text, SHANGHAI) is None


@pytest.mark.parametrize("text", ["1970-01-01T00:00:01", "1980-01-06T00:10:00", "2000-01-01T00:00:00",
                                  "2000-12-31T23:59:59"])  # fmt: skip
def test_the_time_of_a_clock_that_was_reset_is_no_instant(text: str) -> None:
    digits = "".join(char for char in text if char.isdigit())
    for offset in ("", "+0000", "-0500"):
        assert parse_iso(text + offset, SHANGHAI) is None
        assert parse_dtm(digits + offset, SHANGHAI) is None
    assert parse_iso("2001-01-01T00:00:00", SHANGHAI) is not None


def test_what_a_clock_says_that_was_reset_is_known_as_such() -> None:
    assert reset_instant("19700101000012", UTC) == Instant(12_000_000, 1000)
    assert reset_instant("20001231235959+0000", None) == Instant(_us(2001, 1, 1) - 1_000_000, 1000, UTC)
    for text in ("20010101000000", "19691231235959", "00000000000000", "19001231", "97"):
        assert reset_instant(text, UTC) is None
    assert reset_instant("19700101000012", None) is None
    assert reset_instant_iso("1970-01-01T00:00:12", UTC) == Instant(12_000_000)
    assert reset_instant_iso("2001-01-01T00:00:00Z", UTC) is reset_instant_iso("1970-01-01", UTC) is None


@given(st.datetimes(datetime(2001, 1, 1), datetime(2200, 12, 31)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_round_trip_to_the_microsecond(when: datetime, minutes: int) -> None:
    aware = when.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = f"{when.year:04}{when:%m%d%H%M%S.%f}{aware:%z}"
    instant = parse_dtm(text, None)
    assert instant is not None
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant.us) == aware


@given(st.text("0123456789+-.:TZW ", max_size=32) | st.text(max_size=20) | st.datetimes().map(datetime.isoformat))
def test_any_text_is_an_instant_or_none(text: str) -> None:
    for parse in (parse_dtm, parse_iso):
        assert parse(text, BERLIN) is None or text[:4].isdigit()
