"""The site's mapping: exact, refused with a mend where it is wrong; what is unmapped comes back as lines to paste."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import adapters.site
from adapters.site import Mapped, read_site, scaled, unmapped_line
from schemas.errors import ConfigError
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, UNIT_BY_REFERENCE_ID

HR = METRIC_BY_REFERENCE_ID["MDC_ECG_HEART_RATE"].code
SPO2 = METRIC_BY_REFERENCE_ID["MDC_PULS_OXIM_SAT_O2"].code
PERCENT = UNIT_BY_REFERENCE_ID["MDC_DIM_PERCENT"].code
SITE = """
[[mapping]]
code = "hr"
metric = "MDC_ECG_HEART_RATE"
[[mapping]]
sender = "icu"
system = "99LAB"
code = "sat"
metric = "MDC_PULS_OXIM_SAT_O2"
unit = "%"
power_of_ten = -1
missing = ["-1"]
[[mapping]]
sender = "icu"
code = "hr"
metric = "MDC_PULS_OXIM_PULS_RATE"
"""


def test_the_example_at_the_top_of_the_module_is_a_mapping() -> None:
    assert adapters.site.__doc__
    example = "\n".join(line for line in adapters.site.__doc__.splitlines() if line.startswith("    "))
    rows = read_site(example, "example")["icu-monitors"].rows
    assert rows["99MNDRY", "101"].code == HR
    assert rows["99MNDRY", "101"].missing == ("-100",)


def test_a_senders_rows_come_before_those_of_all() -> None:
    site = read_site(SITE, "site.toml")
    assert site["icu"].find("99LAB", "sat") == Mapped(SPO2, PERCENT, -1, ("-1",))
    assert site["icu"].find("L", "sat") is None
    assert site[""].find("L", "hr") == Mapped(HR, 0)
    assert site["icu"].find("any", "hr") == Mapped(METRIC_BY_REFERENCE_ID["MDC_PULS_OXIM_PULS_RATE"].code, 0)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('metric = "MDC_ECG_HEART_RTE"', "mapping 1 (code 'x'): no metric 'MDC_ECG_HEART_RTE'; did you mean 'MDC_ECG_HEART_RATE'?"),  # noqa: E501
        ('metric = "MDC_TEMP"\nunit = "MDC_DIM_DEGCC"', "no unit 'MDC_DIM_DEGCC'; did you mean 'MDC_DIM_DEGC'?"),
        ('metrc = "MDC_TEMP"', "unknown field `metrc`"),
        ('metric = "MDC_TEMP"\npower_of_ten = 13', "`int` <= 12"),
        ('metric = "MDC_TEMP"\n[[mapping]]\ncode = "x"\nmetric = "MDC_TEMP"', "mapping 2: 'x' is there twice"),
        ('metric = "MDC_TEMP', "Unterminated string"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_refused_with_its_mend(row: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_site(f'[[mapping]]\ncode = "x"\n{row}', "site.toml")
    assert str(refused.value).startswith("site.toml: ")
    assert says in str(refused.value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12))
def test_a_number_is_shifted_without_rounding(value: Decimal) -> None:
    parts = scaled(str(value), -2)
    assert parts is not None
    assert Decimal(parts[0]).scaleb(parts[1]) == value.scaleb(-2)


def test_a_shift_beyond_the_exponents_range_is_none() -> None:
    assert scaled(" 1E120 ", 7) == (1, 127)
    assert scaled("1e120", 8) is None


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_an_unmapped_line_can_be_pasted(system: str, code: str, name: str) -> None:
    code = code.replace("^", "")
    if any("\ud800" <= c <= "\udfff" for c in system + code + name):
        return
    lines = unmapped_line(system, f"{code}^what it is", "MDC_DIM_MMHG", name)
    mapped = read_site(lines.replace('"MDC_"', '"MDC_PRESS_BLD_ART_SYS"'), "pasted")[name]
    assert mapped.find(system, code) == Mapped(
        METRIC_BY_REFERENCE_ID["MDC_PRESS_BLD_ART_SYS"].code, UNIT_BY_REFERENCE_ID["MDC_DIM_MMHG"].code
    )


def test_an_unmapped_line_before_its_metric_is_filled_in_is_refused() -> None:
    with pytest.raises(ConfigError, match="no metric 'MDC_'"):
        read_site(unmapped_line("L", "x", "furlong", "icu"), "pasted")
