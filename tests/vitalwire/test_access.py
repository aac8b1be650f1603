"""`vitalwire access show`, and that docs/access.md says the same."""

from __future__ import annotations

import pytest

from gateway.access.matrix import RELATION_WORDS, matrix, word_of
from gateway.access.table import shipped_table
from gateway.access.words import Action, Answer, DataClass, Relation, Role
from tests.catalogues import ROOT
from tests.commands import as_json, vitalwire


def test_each_role_is_shown_with_its_lines() -> None:
    code, text = vitalwire("access show")
    assert code == 0
    lines = [line.split() for line in text.splitlines()]
    for role in Role:
        assert word_of(role).split() in lines
    assert ["identity", "break", "glass", "-", "-", "-", "-", "yes", "yes", "-"] in lines
    assert ["people,", "boxes", "see,", "manage", "-", "-", "-", "-", "-", "-", "yes"] in lines
    assert "24 h" in text


@pytest.mark.parametrize("word", ["record_office", "record office", "Record-Office"])
def test_one_role_is_shown_alone(word: str) -> None:
    code, text = vitalwire("access show --role", word)
    assert code == 0
    assert text.startswith("record office\n")
    assert "seal copy" in text
    assert "people" not in text


def test_a_word_that_is_no_role_is_told_which_there_are() -> None:
    code, text = vitalwire("access show --role king")
    assert code == 2
    assert "'king' is no role" in text
    assert all(role in text for role in Role)


def test_scripts_get_each_cell_that_is_not_denied() -> None:
    cells = as_json("access show")
    found = {
        (Role(cell["role"]), Action(cell["action"]), DataClass(cell["data"]), Relation(cell["relation"])): cell[
            "answer"
        ]
        for cell in cells
    }
    assert len(found) == len(cells)
    assert found == {cell: said for cell, said in shipped_table().cells.items() if said is not Answer.DENIED}
    assert {cell["role"] for cell in as_json("access show --role machine")} == {"machine"}


def test_the_help_has_an_example() -> None:
    code, text = vitalwire("access show --help")
    assert code == 0
    assert "access show --role nurse" in " ".join(text.split())


def documented() -> dict[str, list[tuple[str, ...]]]:
    """The tables of docs/access.md, without their rules, by role."""
    _, _, part = (ROOT / "docs/access.md").read_text("utf-8").partition("\n## The table\n")
    part, _, _ = part.partition("\n## ")
    tables = {}
    for section in part.split("\n### ")[1:]:
        title, *lines = section.splitlines()
        rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
        tables[title] = rows
    return tables


def test_the_document_has_the_same_matrix() -> None:
    found = documented()
    assert list(found) == [word_of(role) for role in Role]
    for role in Role:
        head, _, *rows = found[word_of(role)]
        assert head == ("data", "acts", *RELATION_WORDS.values())
        assert rows == [line.words for line in matrix(shipped_table(), role)]


def test_the_document_says_each_word() -> None:
    text, _, _ = (ROOT / "docs/access.md").read_text("utf-8").partition("\n## The table\n")
    rows = [line.strip("|").split("|")[0] for line in text.splitlines() if line.startswith("| ")]
    words = {word.strip() for row in rows for word in row.split(",")}
    assert words >= {*RELATION_WORDS.values(), *map(word_of, Action), *map(word_of, DataClass)}
