"""`docs/asvs.md`: each requirement of the levels 1 and 2 has its row, and what a row names is there."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache

import pytest

from tests.catalogues import ROOT

# How many of each section are of the levels 1 and 2 in OWASP ASVS 5.0.0, by number.
LEVELS_1_AND_2 = {
    "3.2": range(1, 3), "3.3": range(1, 5), "3.4": range(1, 7), "3.5": range(1, 6), "3.7": range(1, 3),
    "6.1": range(1, 4), "6.2": range(1, 13), "6.3": range(1, 5), "6.4": range(1, 5), "6.5": range(1, 6),
    "6.6": range(1, 4), "6.8": range(1, 5), "7.1": range(1, 4), "7.2": range(1, 5), "7.3": range(1, 3),
    "7.4": range(1, 6), "7.5": range(1, 3), "7.6": range(1, 3), "8.1": range(1, 3), "8.2": range(1, 4),
    "8.3": range(1, 2), "8.4": range(1, 2), "9.1": range(1, 4), "9.2": range(1, 5), "10.1": range(1, 3),
    "10.2": range(1, 3), "10.3": range(1, 5), "10.4": range(1, 12), "10.5": range(1, 6), "10.6": range(1, 3),
    "10.7": range(1, 4), "16.1": range(1, 2), "16.2": range(1, 6), "16.3": range(1, 5), "16.4": range(1, 4),
    "16.5": range(1, 4),
}  # fmt: skip
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
SECTION = re.compile(r"\]\(([\w-]+\.md)#([\w-]+)\)")
SHORTFALLS = re.compile(r"Does not apply: \S|Not met: \S")


@dataclass(frozen=True)
class Row:
    """Of the document."""

    number: str
    level: str
    shown_by: str


def rows() -> list[Row]:
    """As they stand there."""
    lines = (ROOT / "docs" / "asvs.md").read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| v5.0.0-")]
    return [Row(number.removeprefix("v5.0.0-"), level, shown_by) for number, level, _, shown_by in cells]


ROWS = rows()


@cache
def names_of(file: str) -> frozenset[str]:
    """Names of the tests of a file, without running it."""
    path = ROOT / file
    tree = ast.parse(path.read_text("utf-8")) if path.exists() else ast.Module([], [])
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@cache
def sections_of(document: str) -> frozenset[str]:
    """Headings of a document, as a link names them."""
    path = ROOT / "docs" / document
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    headings = [line.lstrip("#").strip().lower() for line in lines if re.match(r"#{2,} ", line)]
    return frozenset(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings)


def missing(row: Row) -> list[str]:
    """What a row names that is not there."""
    tests = [f"{file}::{name}" for file, name in TEST.findall(row.shown_by) if name not in names_of(file)]
    sections = [f"{name}#{part}" for name, part in SECTION.findall(row.shown_by) if part not in sections_of(name)]
    return tests + sections


def test_each_requirement_has_its_row_in_the_standards_order() -> None:
    wanted = [f"{section}.{number}" for section, numbers in LEVELS_1_AND_2.items() for number in numbers]
    assert [row.number for row in ROWS] == wanted
    assert {row.level for row in ROWS} == {"1", "2"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_what_a_row_names_is_there(row: Row) -> None:
    assert missing(row) == []
    found = [*TEST.findall(row.shown_by), *SECTION.findall(row.shown_by), *SHORTFALLS.findall(row.shown_by)]
    assert found, "neither a test nor a document, nor why not"


def test_the_document_counts_its_shortfalls() -> None:
    text = (ROOT / "docs" / "asvs.md").read_text("utf-8")
    not_met = sum("Not met: " in row.shown_by for row in ROWS)
    not_of_us = sum("Does not apply: " in row.shown_by for row in ROWS)
    assert f"Of {len(ROWS)} rows {not_met} are not met, in part or whole, and {not_of_us} do not apply." in text


def test_what_is_not_there_would_be_found() -> None:
    row = Row("1.1.1", "1", "`tests/test_asvs.py::test_nothing` · [x](sign-in.md#nothing) · `tests/no.py::test_x`")
    assert missing(row) == ["tests/test_asvs.py::test_nothing", "tests/no.py::test_x", "sign-in.md#nothing"]
