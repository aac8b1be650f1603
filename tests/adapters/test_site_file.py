"""A site's file edited: one row, and nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.site import MappingRow, read_rows
from adapters.site_file import set_row, toml_of
from schemas.errors import ConfigError

FILE = """# the ward's monitors

[[mapping]]  # since May
sender = "icu"
# asked the vendor
code = "101"
metric = "MDC_PULS_RATE"

# temperatures
[[mapping]]
code = "t1"
text = "Temp"
metric = "MDC_TEMP"
missing = [
    "-100",
]
# the end
"""
HR = MappingRow(metric="MDC_ECG_HEART_RATE", code="101", sender="icu", unit="/min")


def test_a_row_about_the_same_thing_is_replaced_and_its_comments_stay() -> None:
    edited = set_row(FILE, HR, "site.toml")
    assert edited.replaced == MappingRow(metric="MDC_PULS_RATE", code="101", sender="icu")
    assert edited.text == FILE.replace(
        'sender = "icu"\n# asked the vendor\ncode = "101"\nmetric = "MDC_PULS_RATE"\n',
        '# asked the vendor\nsender = "icu"\ncode = "101"\nmetric = "MDC_ECG_HEART_RATE"\nunit = "/min"\n',
    )
    assert set_row(edited.text, HR, "site.toml").text == edited.text


def test_another_is_added_at_the_end() -> None:
    row = MappingRow(metric="MDC_RESP_RATE", code="7", missing=("-1", 'a"b'), power_of_ten=-1, decimal_comma=True)
    edited = set_row(FILE, row, "site.toml")
    assert edited.replaced is None
    assert edited.text.startswith(FILE)
    assert read_rows(edited.text, "x")[-1] == row
    assert set_row("", row, "site.toml").text == toml_of(row)


def test_a_row_of_several_lines_is_replaced_whole() -> None:
    row = MappingRow(metric="MDC_TEMP_CORE", code="t1", text="temp")  # the same thing, whatever its case
    edited = set_row(FILE, row, "site.toml")
    assert edited.text.endswith('code = "t1"\ntext = "temp"\nmetric = "MDC_TEMP_CORE"\n# the end\n')


@pytest.mark.parametrize(
    ("text", "row", "words"),
    [
        (FILE, MappingRow(metric="MDC_TEMP", text="Temp"), "could both match one value"),
        (FILE, MappingRow(metric="MDC_TEMPP", code="9"), "did you mean 'MDC_TEMP'"),
        ("[[mapping]\n", HR, "site.toml: "),
        ('mapping = [{code = "101", sender = "icu", metric = "MDC_TEMP"}]\n', HR, "write the row by hand"),
        ('mapping = [{code = "102", sender = "icu", metric = "MDC_TEMP"}]\n', HR, "site.toml"),
    ],
)
def test_what_cannot_be_edited_is_said_and_nothing_is_changed(text: str, row: MappingRow, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        set_row(text, row, "site.toml")


_CODES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)


@given(st.lists(_CODES, max_size=6, unique_by=str.strip), _CODES, _CODES)
def test_whatever_the_codes_are_the_other_rows_stay(codes: list[str], code: str, missing: str) -> None:
    text = "".join(toml_of(MappingRow(metric="MDC_TEMP", code=each)) for each in codes)
    row = MappingRow(metric="MDC_RESP_RATE", code=code, missing=(missing,))
    rows = read_rows(set_row(text, row, "x").text, "x")
    assert row in rows
    others = [each for each in rows if each is not row and each != row]
    assert [each.code for each in others] == [each for each in codes if each.strip() != code.strip()]
