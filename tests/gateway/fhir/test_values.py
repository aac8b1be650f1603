from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emr_store.instants import us_of
from gateway.fhir.values import (
    OR_MAX,
    Span,
    Token,
    parse_id,
    parse_reference,
    parse_span,
    parse_token,
    split_or,
    unescape,
)

SECOND_US = 1_000_000
BASE = "http://127.0.0.1:8420/fhir"
MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1900 < at.year < 2200)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# What Hypothesis makes of everything that a value may be.
PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn", "Co", "Cf", "Zs")), min_size=1)


def us(text: str) -> int:
    return us_of(datetime.fromisoformat(text))


@pytest.mark.parametrize(("text", "since", "until"), [
    ("2026", "2026-01-01T00:00Z", "2027-01-01T00:00Z"),
    ("2026-12", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
    ("2028-02-29", "2028-02-29T00:00Z", "2028-03-01T00:00Z"),
    ("2026-11-29T08:30", "2026-11-29T08:30Z", "2026-11-29T08:31Z"),
    ("2026-11-29T08:30:15Z", "2026-11-29T08:30:15Z", "2026-11-29T08:30:16Z"),
    ("2026-11-29T08:30:15.5+08:00", "2026-11-29T00:30:15.5Z", "2026-11-29T00:30:15.6Z"),
    ("2026-11-29T08:30:15 08:00", "2026-11-29T00:30:15Z", "2026-11-29T00:30:16Z"),
    ("eq2026-11-29T23:00:00-05:00", "2026-11-30T04:00:00Z", "2026-11-30T04:00:01Z"),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "2017-01-01T00:00:01Z"),
])  # fmt: skip
def test_a_date_is_all_that_it_names(text: str, since: str, until: str) -> None:
    assert parse_span(text) == Span(us(since), us(until))


def test_a_prefix_says_on_which_side() -> None:
    since, until = us("2026-11-29T00:00Z"), us("2026-11-30T00:00Z")
    expected = {
        "eq": Span(since, until), "ge": Span(since, None), "gt": Span(until, None), "sa": Span(until, None),
        "le": Span(None, until), "lt": Span(None, since), "eb": Span(None, since),
    }  # fmt: skip
    assert {prefix: parse_span(f"{prefix}2026-11-29") for prefix in expected} == expected


@pytest.mark.parametrize("text", [
    "", "26-11-29", "2026-13", "2026-02-30", "2026-11-29T24:00:00Z", "2026-11-29T08", "2026-11-29T08:30:61Z",
    "ne2026", "ap2026", "xx2026", "ge", "2026-11-29T08:30:00+15:00", "2026-11-29T08:30:00+08:60", "9999", "0000",
    "0001-01-01T00:00:00+14:00", "2026-11-29Z", "２０２６", "2026\n",
])  # fmt: skip
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_span(text)


@given(MOMENTS, ZONES)
def test_a_moment_is_in_the_span_that_names_it_in_any_zone(at: datetime, zone: timezone) -> None:
    local = at.astimezone(zone)
    for text in (local.isoformat(), local.isoformat(timespec="milliseconds"), local.isoformat(timespec="seconds")):
        span = parse_span(text)
        assert span.holds(us_of(at)), text
        assert not parse_span(f"gt{text}").holds(us_of(at))
        assert not parse_span(f"lt{text}").holds(us_of(at))
        assert parse_span(f"ge{text}").holds(us_of(at))
        assert parse_span(f"le{text}").holds(us_of(at))


@given(MOMENTS, MOMENTS, st.sampled_from(["eq", "gt", "ge", "lt", "le", "sa", "eb"]))
def test_every_moment_is_before_in_or_after_a_day(day: datetime, at: datetime, prefix: str) -> None:
    text = day.date().isoformat()
    before, within, after = at.date() < day.date(), at.date() == day.date(), at.date() > day.date()
    expected = {
        "eq": within, "ge": within or after, "gt": after, "sa": after,
        "le": before or within, "lt": before, "eb": before,
    }  # fmt: skip
    assert parse_span(prefix + text).holds(us_of(at)) is expected[prefix]


@given(st.text(max_size=40))
def test_any_text_is_a_date_or_refused(text: str) -> None:
    try:
        span = parse_span(text)
    except ValueError:
        return
    assert span != Span()


SPANS = st.builds(Span, st.none() | st.integers(-9, 9), st.none() | st.integers(-9, 9))


@given(SPANS, SPANS, st.integers(-12, 12))
def test_what_two_spans_have_in_common(one: Span, other: Span, at_us: int) -> None:
    assert one.cut(other).holds(at_us) is (one.holds(at_us) and other.holds(at_us))


def escaped(text: str) -> str:
    for each in "\\,|$":
        text = text.replace(each, f"\\{each}")
    return text


@given(PRINTABLE)
def test_escapes_are_undone(text: str) -> None:
    assert unescape(escaped(text)) == text
    assert parse_token(escaped(text)) == Token(None, text)


@given(st.none() | PRINTABLE | st.just(""), PRINTABLE)
def test_a_token_is_what_was_escaped_into_it(system: str | None, code: str) -> None:
    text = escaped(code) if system is None else f"{escaped(system)}|{escaped(code)}"
    token = parse_token(text)
    assert token == Token(system, code)
    assert token.matches(system or "", code)


@given(st.lists(PRINTABLE, min_size=1, max_size=OR_MAX))
def test_alternatives_are_told_apart_by_commas_alone(values: list[str]) -> None:
    assert [unescape(each) for each in split_or(",".join(map(escaped, values)))] == values


@pytest.mark.parametrize("text", ["", ",", "a,", ",a", ",".join("a" * (OR_MAX + 1))])
def test_alternatives_that_are_none_or_too_many_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_or(text)


@pytest.mark.parametrize("text", ["", "|", "a|b|c", "a\\b", "a\\", "a\x00b", "a\nb"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_token(text)


def test_which_codings_a_token_means() -> None:
    loinc = "http://loinc.org"
    assert parse_token("8867-4").matches(loinc, "8867-4")
    assert parse_token("http://loinc.org|8867-4").matches(loinc, "8867-4")
    assert parse_token("http://loinc.org|").matches(loinc, "8867-4")
    assert not parse_token("http://loinc.org|").matches("urn:x", "8867-4")
    assert not parse_token("|8867-4").matches(loinc, "8867-4")
    assert parse_token("|8867-4").matches("", "8867-4")
    assert not parse_token("8867").matches(loinc, "8867-4")


def test_a_reference_is_an_id_with_or_without_its_type_and_server() -> None:
    for text in ("a1", "Patient/a1", f"{BASE}/Patient/a1"):
        assert parse_reference(text, ("Patient",), BASE) == "a1"


@pytest.mark.parametrize("text", [
    "", "Device/a1", "Patient/", "Patient/a_1", "/a1", "http://elsewhere/fhir/Patient/a1", "Patient/a1/_history/1",
    "a" * 65, f"{BASE}/", f"{BASE}/Group/a1",
])  # fmt: skip
def test_any_other_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_reference(text, ("Patient",), BASE)


@given(st.text(max_size=70))
def test_an_id_is_what_fhir_calls_one(text: str) -> None:
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.")
    if 0 < len(text) <= 64 and set(text) <= allowed:
        assert parse_id(text) == text
    else:
        with pytest.raises(ValueError, match=r"."):
            parse_id(text)
