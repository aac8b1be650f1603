"""What README, CONTRIBUTING and `docs/` name exists: files, commands of the command line and their options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

from tests.catalogues import ROOT
from vitalwire.__main__ import app

PAPERS = sorted(
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
)
LINK = re.compile(r"\]\(([^)#\s]+)")
NAMED_FILE = re.compile(r"`((?:tests|docs|deploy|\.ci|emr_store|evidence|schemas|adapters)/[\w./-]*)`")
COMMAND = re.compile(r"(?:`|^ *)vitalwire (\S[^`\n]*)", re.MULTILINE)
COMMAND_LINE = get_command(app)
CONTEXT = Context(COMMAND_LINE)


def content(paper: str) -> str:
    return (ROOT / paper).read_text("utf-8")


def files(paper: str) -> Iterator[Path]:
    """Links are relative to their paper, names in code marks to the root."""
    folder = (ROOT / paper).parent
    yield from (folder / link for link in LINK.findall(content(paper)) if "://" not in link)
    yield from (ROOT / name for name in NAMED_FILE.findall(content(paper)))


def unknown_words(words: str) -> list[str]:
    """Of what follows `vitalwire`: a command or an option that there is not."""
    command = COMMAND_LINE
    unknown = []
    for word in words.partition("#")[0].partition(" > ")[0].split():
        if isinstance(command, TyperGroup) and word not in {opt for each in command.params for opt in each.opts}:
            found = command.get_command(CONTEXT, word)
            if found is None:
                return [word]
            command = found
        elif word.startswith("--") and not isinstance(command, TyperGroup):
            options = {option for parameter in command.params for option in parameter.opts}
            unknown += [] if word.split("=")[0].rstrip(",;.)") in options else [word]
    return unknown


@pytest.mark.parametrize("paper", PAPERS)
def test_every_file_that_a_paper_names_is_there(paper: str) -> None:
    missing = [str(path) for path in files(paper) if not path.exists()]
    assert missing == []


@pytest.mark.parametrize("paper", PAPERS)
def test_every_command_that_a_paper_names_is_there(paper: str) -> None:
    assert [(words, unknown) for words in COMMAND.findall(content(paper)) if (unknown := unknown_words(words))] == []


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        ("devices adopt 3f2a", ["adopt"]),
        ("page --host 0.0.0.0", ["--host"]),
        ("verify --trust DIR --since 10min", []),
    ],
)
def test_what_there_is_not_would_be_found(words: str, unknown: list[str]) -> None:
    assert unknown_words(words) == unknown
