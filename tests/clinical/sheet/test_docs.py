from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from clinical.sheet.style import Style, StyleError, shipped_text
from clinical.sheet.style_file import SHIPPED, read_style

PAPER = (Path(__file__).parents[3] / "docs" / "sheet.md").read_text("utf-8")
# What makes the standard file contradict itself, in the order of the paper's refusals.
CHANGES = (
    ("pulse_low = 20", "pulse_low = 40"),
    ('ends = ["03:59", ', 'ends = ["01:59", '),
    ('"bladder", "core"', '"ear", "core"'),
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAPER, re.DOTALL)


def test_the_example_is_a_style() -> None:
    (example,) = blocks("toml")
    style = read_style(example, "site.toml")
    assert (style.word("dialysis"), style.word("in_theatre")) == ("超滤量(ml)", "手术中")
    assert [column.key for column in style.hourly.columns][-1] == "signature"


def test_the_refusals_are_those_that_people_get() -> None:
    (block,) = blocks("text")
    refusals = block.splitlines()
    for (stands, instead), refusal in zip(CHANGES, refusals, strict=True):
        with pytest.raises(StyleError) as refused:
            read_style(shipped_text("standard").replace(stands, instead, 1), "site.toml")
        assert str(refused.value) == refusal


def test_the_standard_file_has_every_key_and_only_the_hourly_columns_are_elsewhere() -> None:
    said = tomllib.loads(shipped_text("standard"))
    for table in msgspec.structs.fields(Style):
        if table.name == "hourly":
            continue
        assert table.name in said
        if isinstance(table.type, type) and issubclass(table.type, msgspec.Struct):
            assert {key.name for key in msgspec.structs.fields(table.type)} == said[table.name].keys(), table.name


def test_the_paper_names_each_shipped_file() -> None:
    assert re.findall(r"^\| `([\w-]+)\.toml`", PAPER, re.MULTILINE) == list(SHIPPED)
