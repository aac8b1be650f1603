"""What the text of one value means, whichever driver met it (docs/adr/0007)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.values import is_no_reading, printable, read_number, scaled, text_or_bytes, text_record
from schemas.report import AsSent, Mark, Record, RecordKind

BOUNDS = {
    "<": Mark.LESS, ">": Mark.GREATER, "<=": Mark.LESS | Mark.OR_EQUAL, ">=": Mark.GREATER | Mark.OR_EQUAL,
    "≤": Mark.LESS | Mark.OR_EQUAL, "≥": Mark.GREATER | Mark.OR_EQUAL,
}  # fmt: skip
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12)
BLANKS = st.sampled_from(["", " ", "   "])


@given(NUMBERS, st.integers(-12, 12))
def test_a_number_is_shifted_without_rounding(value: Decimal, shift: int) -> None:
    parts = scaled(str(value), shift)
    assert parts is not None
    assert Decimal(parts[0]).scaleb(parts[1]) == value.scaleb(shift)


def test_a_shift_beyond_the_exponents_range_is_none() -> None:
    assert scaled(" 1E120 ", 7) == (1, 127)
    assert scaled("1e120", 8) is None
    assert read_number("< 1e120", 8) is None


@pytest.mark.parametrize("sign", ["", *BOUNDS])
@given(NUMBERS, BLANKS, BLANKS, st.booleans())
def test_a_number_behind_a_sign_is_a_bound(
    sign: str, value: Decimal, before: str, between: str, decimal_comma: bool
) -> None:
    text = str(value).replace(".", ",") if decimal_comma else str(value)
    number = read_number(f"{before}{sign}{between}{text} ", -1, decimal_comma=decimal_comma)
    assert number is not None
    assert Decimal(number.mantissa).scaleb(number.exponent) == value.scaleb(-1)
    assert number.marks == int(BOUNDS.get(sign, 0))
    assert number.kind == (RecordKind.BOUND if sign else RecordKind.NUMERIC)


@pytest.mark.parametrize("text", ["36,5", "<36,5", "+,5"])
def test_a_decimal_comma_is_one_where_it_is_declared(text: str) -> None:
    assert read_number(text) is None
    number = read_number(text, decimal_comma=True)
    assert number is not None
    assert number.exponent == -1


@pytest.mark.parametrize(
    "text", ["~97", "97~98", "high", "<", "<<70", "< x", "97 %", "97-98", "9 7", "<70>", "<70 mmHg", "=70", "1_0", "８"]
)
@pytest.mark.parametrize("decimal_comma", [True, False])
def test_anything_else_is_a_text(text: str, decimal_comma: bool) -> None:
    assert read_number(text, decimal_comma=decimal_comma) is None
    assert not is_no_reading(text)


@pytest.mark.parametrize("text", ["1,000.5", "1,000,000", "36,", ",", "1,5e3"])
def test_a_comma_is_never_one_between_thousands(text: str) -> None:
    assert read_number(text, decimal_comma=True) is None


@pytest.mark.parametrize(
    "text",
    ["", " ", "-", "---", "--.-", "***", "?", "–", "—", "_", "None", "NULL", "NaN", "n/a", "NA", "nil", " N/A ", "n.a.",
     "n/m", "INV", "invalid", "Not Available", "no reading"],
)  # fmt: skip
def test_no_reading_is_a_closed_list(text: str) -> None:
    assert is_no_reading(text)
    assert read_number(text) is None


@pytest.mark.parametrize("text", ["0", "-0", ".0", "error", "off", "inf", "nan%", "- x"])
def test_nothing_else_is_no_reading(text: str) -> None:
    assert not is_no_reading(text)


def test_what_did_not_decode_is_kept_as_its_bytes() -> None:
    text = b"tr\xfcb".decode("ascii", "surrogateescape")
    assert text_or_bytes(text, "ascii") == (b"tr\xfcb", Mark.UNDECODED)
    assert text_or_bytes(f"{text}\N{DEGREE SIGN}", "ascii") == (b"tr\xfcb\xc2\xb0", Mark.UNDECODED)
    assert text_or_bytes("trüb", "ascii") == ("trüb", Mark(0))
    assert printable(text) == r"tr\udcfcb"
    assert text_record("L", "x", text, "ascii", Mark.TRAINING) == Record(
        kind=RecordKind.TEXT, marks=Mark.TRAINING | Mark.UNDECODED, text=b"tr\xfcb", as_sent=AsSent("L", "x")
    )
