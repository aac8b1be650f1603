"""The site's mapping: exact, refused with a mend where it is wrong; what is unmapped comes back as lines to paste."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import adapters.site
from adapters.site import (
    Mapped,
    MappingRow,
    Rows,
    mapping_of,
    read_rows,
    read_site,
    unit_of,
    unmapped_line,
    unmapped_lines,
)
from schemas.errors import ConfigError
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, UNIT_BY_REFERENCE_ID, unit_from_text

HR = METRIC_BY_REFERENCE_ID["MDC_ECG_HEART_RATE"].code
PULSE = METRIC_BY_REFERENCE_ID["MDC_PULS_OXIM_PULS_RATE"].code
SPO2 = METRIC_BY_REFERENCE_ID["MDC_PULS_OXIM_SAT_O2"].code
PERCENT = UNIT_BY_REFERENCE_ID["MDC_DIM_PERCENT"].code
SITE = """
[[mapping]]
system = "L"
code = "hr"
metric = "MDC_ECG_HEART_RATE"
[[mapping]]
sender = "icu"
system = "99LAB"
code = "sat"
metric = "MDC_PULS_OXIM_SAT_O2"
unit = "%"
unit_is_wrong = true
power_of_ten = -1
decimal_comma = true
missing = ["-1"]
[[mapping]]
sender = "icu"
system = "Y"
code = "0002"
text = "Pulse  rate"
metric = "MDC_PULS_OXIM_PULS_RATE"
[[mapping]]
sender = "icu"
system = "X"
text = "SpO2 left"
metric = "MDC_PULS_OXIM_SAT_O2"
"""


def test_the_example_at_the_top_of_the_module_is_a_mapping() -> None:
    assert adapters.site.__doc__
    example = "\n".join(line for line in adapters.site.__doc__.splitlines() if line.startswith("    "))
    found = read_site(example, "example")["icu-monitors"].find("99MNDRY", "101", "hr")
    assert found is not None
    assert (found.code, found.missing, found.any_text) == (HR, {"-100"}, False)


def test_a_sender_has_its_own_rows_and_those_of_all() -> None:
    site = read_site(SITE, "site.toml")
    assert site["icu"].find("99LAB", "sat") == Mapped(
        SPO2,
        PERCENT,
        -1,
        frozenset({"-1"}),
        unit_is_wrong=True,
        decimal_comma=True,
        any_text=True,
        row="mapping 2 (code 'sat')",
    )
    assert site["icu"].find("L", "sat") is None
    assert site[""].find("99LAB", "sat") is None
    for sender in ("", "icu"):
        found = site[sender].find("L", "hr", "whatever")
        assert found is not None
        assert found.code == HR


@pytest.mark.parametrize(
    ("system", "code", "text", "metric"),
    [("Y", "0002", "Pulse rate", PULSE), ("Y", " 0002 ", " pulse RATE ", PULSE), ("Y", "0002", "SpO2", None),
     ("X", "0002", "Pulse rate", None), ("Y", "0002", "", None), ("X", "1", "SpO2 left", SPO2),
     ("X", "", "spo2 LEFT", SPO2), ("Y", "1", "SpO2 left", None), ("", "", "", None)],
)  # fmt: skip
def test_a_row_matches_what_it_names(system: str, code: str, text: str, metric: int | None) -> None:
    found = read_site(SITE, "site.toml")["icu"].find(system, code, text)
    assert (found and found.code) == metric


def rows(*keys: str) -> str:
    return "".join(f'[[mapping]]\n{key}\nmetric = "MDC_TEMP"\n' for key in keys)


@pytest.mark.parametrize(
    "keys",
    [
        ('code = "x"', 'code = "x"'), ('code = "x"', 'code = "x"\ntext = "a"'), ('code = "x"', 'text = "a"'),
        ('code = "x"\nsystem = "A"', 'code = "x"'), ('code = "x"\nsender = "icu"', 'code = "x"'),
        ('code = "x"\nsystem = "A"', 'code = "x"\ntext = "t"'), ('text = "a b"', 'text = " A  B"'),
    ],
)  # fmt: skip
def test_two_rows_that_could_both_match_are_refused(keys: tuple[str, str]) -> None:
    for pair in (keys, keys[::-1]):
        with pytest.raises(ConfigError, match=r"^site.toml: mapping 1 .* and mapping 2 .* could both match"):
            read_site(rows(*pair), "site.toml")


@pytest.mark.parametrize(
    "keys",
    [
        ('code = "x"\ntext = "a"', 'code = "x"\ntext = "b"'), ('code = "x"\nsystem = "A"', 'code = "x"\nsystem = "B"'),
        ('code = "x"\nsender = "a"', 'code = "x"\nsender = "b"'), ('code = "x"', 'code = "y"'),
        ('code = "x"\ntext = "a"', 'text = "b"'),
    ],
)  # fmt: skip
def test_two_rows_that_differ_stand_together(keys: tuple[str, str]) -> None:
    assert read_site(rows(*keys), "site.toml")


NAMES = st.sampled_from(["", "a", "b"])
KEYS = st.tuples(NAMES, NAMES, NAMES, NAMES).filter(lambda key: bool(key[1] or key[2]))


@given(st.lists(KEYS, min_size=2, max_size=4), NAMES, NAMES, NAMES, NAMES)
def test_never_more_than_one_row_matches(
    keys: list[tuple[str, str, str, str]], sender: str, system: str, code: str, text: str
) -> None:
    lines = [f'system = "{s}"\ncode = "{c}"\ntext = "{t}"\nsender = "{f}"' for s, c, t, f in keys]
    sent = (system, code, text, sender)
    matching = [key for key in keys if all(own in ("", its) for own, its in zip(key, sent, strict=True))]
    try:
        site = read_site(rows(*lines), "site.toml")
    except ConfigError:
        return
    assert len(matching) <= 1
    found = site.get(sender, site[""]).find(system, code, text)
    assert (found is not None) == bool(matching)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('metric = "MDC_ECG_HEART_RTE"',
            "mapping 1 (code 'x'): no metric 'MDC_ECG_HEART_RTE'; did you mean 'MDC_ECG_HEART_RATE'?"),
        ('metric = "MDC_TEMP"\nunit = "MDC_DIM_DEGCC"', "no unit 'MDC_DIM_DEGCC'; did you mean 'MDC_DIM_DEGC'?"),
        ('metrc = "MDC_TEMP"', "unknown field `metrc`"),
        ('metric = "MDC_TEMP"\npower_of_ten = 13', "`int` <= 12"),
        ('metric = "MDC_TEMP"\nunit_is_wrong = true', "unit_is_wrong needs the unit that is right"),
        ('metric = "MDC_TEMP"\n[[mapping]]\nmetric = "MDC_TEMP"', "it would match everything; give a code or a text"),
        ('metric = "MDC_TEMP', "Unterminated string"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_refused_with_its_mend(row: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_site(f'[[mapping]]\ncode = "x"\n{row}', "site.toml")
    assert str(refused.value).startswith("site.toml: ")
    assert says in str(refused.value)


def unit(text: str) -> int:
    found = unit_from_text(text)
    assert found is not None
    return found.code


@pytest.mark.parametrize(
    ("stated", "row", "of_value"),
    [
        ((), None, ""), (("furlong",), None, ""), (("kPa",), None, "kPa"), (("furlong", "kPa"), None, "kPa"),
        (("266016", "MDC_DIM_MMHG", "mm[Hg]"), None, "mmHg"),  # number, name and symbol of one unit
        (("266560", "MDC_DIM_DEGC"), None, ""), (("mmHg", "kPa"), None, ""),  # they contradict each other
        (("kPa",), Mapped(1, 0), "kPa"),
        ((), Mapped(1, unit("mmHg")), "mmHg"), (("furlong",), Mapped(1, unit("mmHg")), "mmHg"),
        (("mmHg",), Mapped(1, unit("mmHg")), "mmHg"),
        (("kPa",), Mapped(1, unit("mmHg")), ""),  # never 16.5 mmHg for 16.5 kPa
        (("Cel",), Mapped(1, unit("mmHg")), ""), (("[degF]",), Mapped(1, unit("Cel")), ""),
        (("bpm",), Mapped(1, unit("/min")), "bpm"),  # a number means the same in both: the sender's own
        (("kPa",), Mapped(1, unit("mmHg"), unit_is_wrong=True), "mmHg"),
        (("kPa", "mmHg"), Mapped(1, unit("mmHg"), unit_is_wrong=True), "mmHg"),
        (("Pa",), Mapped(1, unit("kPa"), -3), "kPa"), (("Pa",), Mapped(1, unit("mmHg"), -3), ""),
        (("Pa",), Mapped(1, unit("kPa"), -2), ""),
    ],
)  # fmt: skip
def test_what_the_sender_states_of_a_unit_outranks_the_row(
    stated: tuple[str, ...], row: Mapped | None, of_value: str
) -> None:
    assert unit_of(stated, row) == (unit(of_value) if of_value else 0)


def test_a_row_without_a_text_is_not_applied_any_more_once_a_second_text_comes() -> None:
    rows = Rows(read_site(SITE, "site.toml")[""])
    assert [rows.find("L", "hr", text) is not None for text in ("", "Heart  rate", " HEART RATE", "", "Pulse")] == [
        True, True, True, True, False,
    ]  # fmt: skip
    assert [rows.find("L", "hr", text) for text in ("", "Heart rate")] == [None, None]
    assert rows.ambiguous == {"mapping 1 (code 'hr')": ("Heart  rate", "Pulse")}


def test_a_row_with_its_text_is_applied_beside_any_other() -> None:
    rows = Rows(read_site(SITE, "site.toml")["icu"])
    found = [rows.find("Y", "0002", text) for text in ("SpO2", "pulse rate", "RR", "pulse rate")]
    assert [each is not None for each in found] == [False, True, False, True]
    assert rows.ambiguous == {}


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="^"), max_size=20)


@given(TEXTS, TEXTS.filter(str.strip), TEXTS, TEXTS)
def test_an_unmapped_line_can_be_pasted(system: str, code: str, text: str, name: str) -> None:
    lines = unmapped_line(system, f"{code}^{text}", "MDC_DIM_MMHG", name)
    mapped = read_site(lines.replace('"MDC_"', '"MDC_PRESS_BLD_ART_SYS"'), "pasted")[name].find(system, code, text)
    assert mapped is not None
    assert (mapped.code, mapped.unit) == (METRIC_BY_REFERENCE_ID["MDC_PRESS_BLD_ART_SYS"].code, 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "L"]),
            st.sampled_from(["", "x", "x^", "x^a", "x^A ", "x^b", "^a", "y^b"]),
            st.sampled_from(["", "%", "bpm", "\n]"]),
        )
    )
)
def test_what_is_printed_together_is_read_together(things: list[tuple[str, str, str]]) -> None:
    printed = unmapped_lines(things, "icu")
    assert printed.keys() == {(system, code) for system, code, _ in things}
    read_site("\n".join(printed.values()).replace('"MDC_"', '"MDC_TEMP"'), "pasted")


def test_spo2_and_pulse_under_one_code_are_two_rows() -> None:
    printed = unmapped_lines([("MDIL", "0002^SpO2", "%"), ("MDIL", "0002^Pulse", "bpm"), ("MDIL", "0002", "")], "")
    pasted = "\n".join(printed.values()).replace('"MDC_"', '"MDC_PULS_OXIM_SAT_O2"')
    assert [line for line in pasted.splitlines() if line.startswith("text")] == ['text = "SpO2"', 'text = "Pulse"']
    assert "unit = " not in pasted.replace("# unit", "")
    assert printed["MDIL", "0002"].startswith("# [[mapping]]")
    assert read_site(pasted, "pasted")[""].find("MDIL", "0002") is None


def test_an_unmapped_line_asks_for_a_unit_where_the_sender_states_none() -> None:
    assert '# unit = ""  # the sender states none' in unmapped_line("L", "x", "", "icu")
    assert '# unit = ""  # the sender\'s "furlong" is not known' in unmapped_line("L", "x", "furlong", "icu")


def test_an_unmapped_line_before_its_metric_is_filled_in_is_refused() -> None:
    with pytest.raises(ConfigError, match="no metric 'MDC_'"):
        read_site(unmapped_line("L", "x", "furlong", "icu"), "pasted")


def test_rows_are_read_as_written_and_make_one_mapping_whichever_sender_they_name() -> None:
    rows = read_rows(SITE, "site.toml")
    assert rows[0] == MappingRow(metric="MDC_ECG_HEART_RATE", system="L", code="hr")
    assert rows[1].sender == "icu"
    found = mapping_of(rows[:2], "site.toml").find(rows[1].system, rows[1].code, rows[1].text)
    assert found is not None
    assert found.row.startswith("mapping 2 ")


def test_rows_that_cannot_be_are_refused_however_they_were_read() -> None:
    with pytest.raises(ConfigError, match=r"site\.toml: "):
        read_rows("[[mapping", "site.toml")
    hr, again = MappingRow(metric="MDC_ECG_HEART_RATE", code="1", sender="a"), MappingRow(metric="MDC_TEMP", code="1")
    with pytest.raises(ConfigError, match="could both match one value"):
        mapping_of([hr, again], "the act")
