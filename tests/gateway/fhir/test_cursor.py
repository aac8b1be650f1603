from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fhir.cursor import CURSOR_CHARS_MAX, Position, decode_cursor, encode_cursor
from gateway.fhir.values import MOMENT_US_MAX, MOMENT_US_MIN

POSITIONS = st.builds(Position, st.integers(MOMENT_US_MIN, MOMENT_US_MAX), st.text("0123456789abcdef-", max_size=70))
SEARCH = b"a search"


@given(POSITIONS, st.binary())
def test_a_cursor_is_read_back_for_its_search(position: Position, search: bytes) -> None:
    text = encode_cursor(position, search)
    assert len(text) <= CURSOR_CHARS_MAX
    assert text.isascii()
    assert decode_cursor(text, search) == position


@given(POSITIONS, st.binary(), st.binary())
def test_a_cursor_of_another_search_is_refused(position: Position, search: bytes, other: bytes) -> None:
    if search != other:
        with pytest.raises(ValueError, match="no cursor of this search"):
            decode_cursor(encode_cursor(position, search), other)


@given(POSITIONS, st.data())
def test_a_cursor_that_was_changed_is_refused(position: Position, data: st.DataObject) -> None:
    text = encode_cursor(position, SEARCH)
    index = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("ABCXYZabcxyz0189-_=").filter(lambda char: char != text[index]))
    for changed in (text[:index] + other + text[index + 1 :], text[:index], text + other, text[index + 1 :]):
        with pytest.raises(ValueError, match="no cursor of this search"):
            decode_cursor(changed, SEARCH)


@given(st.text(max_size=CURSOR_CHARS_MAX + 10))
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no cursor of this search"):
        decode_cursor(text, SEARCH)


def test_a_moment_that_no_clock_can_mean_is_refused() -> None:
    for at_us in (MOMENT_US_MIN - 1, MOMENT_US_MAX + 1):
        with pytest.raises(ValueError, match="no cursor of this search"):
            decode_cursor(encode_cursor(Position(at_us, "a"), SEARCH), SEARCH)
