"""The agent's process: what it runs by, what it does not load, and how it ends where it cannot start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vitalwire.agent import config_of


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (["edge", "run"], Path("edge.toml")),
        (["edge", "run", "--config", "box.toml"], Path("box.toml")),
        (["edge", "run", "--help"], None),
        (["edge", "run", "--config"], None),
        (["edge", "run", "--confg", "x"], None),
        (["edge", "run", "--config", "a", "--config", "b"], None),
        (["edge", "check"], None),
        ([], None),
    ],
)
def test_what_runs_the_agent_and_nothing_else(words: list[str], config: Path | None) -> None:
    assert config_of(words) == config


def test_it_loads_neither_the_command_line_nor_the_hospitals_side() -> None:
    code = """
import sys
import vitalwire.agent
unneeded = {"typer", "click", "pydantic", "psycopg", "starlette", "aiokafka", "http.cookies", "vitalwire.output"}
print(sorted(unneeded & set(sys.modules)))
print(sorted(name for name in sys.modules if name.startswith("edge_agent.downtime")))
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [
        "[]",
        "['edge_agent.downtime', 'edge_agent.downtime.keeping', 'edge_agent.downtime.ring_file']",
    ]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--config", "nowhere.toml"], 2, "vitalwire: nowhere.toml does not exist: name it with --config"),
        (["--confg", "x"], 2, "No such option"),
        (["--help"], 0, "Run the agent until Ctrl-C"),
    ],
)
def test_what_it_cannot_start_with_is_said_as_every_command_says_it(
    words: list[str], code: int, text: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-P", "-m", "vitalwire", "edge", "run", *words]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == code
    assert text in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
