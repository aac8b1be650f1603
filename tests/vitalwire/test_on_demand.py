from __future__ import annotations

import subprocess
import sys

import pytest

from tests.commands import vitalwire
from vitalwire.__main__ import COMMANDS
from vitalwire.edge import IN_OTHER_MODULES
from vitalwire.on_demand import load

ALL_LOADED = """
import sys
from vitalwire.__main__ import COMMANDS
from vitalwire.edge import IN_OTHER_MODULES
from vitalwire.on_demand import load
for name, place in (COMMANDS | IN_OTHER_MODULES).items():
    load(name, place)
print(sorted({"fontTools", "reportlab", "simulators.emr"} & set(sys.modules)))
"""


def names_listed(help_text: str) -> list[str]:
    """What each row of its frames begins with."""
    rows = [line[2:].split(" ")[0] for line in help_text.splitlines() if line.startswith("│ ")]
    return [name for name in rows if name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_is_for(name: str) -> None:
    code, text = vitalwire(name, "--help")
    assert code == 0
    assert f"Usage: root {name}" in text or f"Usage: vitalwire {name}" in text


def test_help_lists_every_command_in_order() -> None:
    code, text = vitalwire("--help")
    assert code == 0
    assert [name for name in names_listed(text) if name in COMMANDS] == list(COMMANDS)


def test_commands_of_other_modules_stand_beside_those_of_the_group() -> None:
    code, text = vitalwire("edge --help")
    assert code == 0
    listed = names_listed(text)
    assert listed[-len(IN_OTHER_MODULES) :] == list(IN_OTHER_MODULES)
    assert {"run", "check", "watch"} <= set(listed)


def test_a_command_is_made_once_of_the_function_or_group_at_its_place() -> None:
    assert load("whose", COMMANDS["whose"]).name == "whose"
    assert set(load("registry", COMMANDS["registry"]).commands) == {"edge"}


def test_a_mistyped_name_is_answered_with_one_that_is_like_it() -> None:
    code, text = vitalwire("statsu")
    assert code == 2
    assert "Did you mean 'status'" in text


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("simulate", {"psycopg", "starlette", "aiokafka"}),
        ("status", {"starlette", "aiokafka", "edge_agent", "reportlab"}),
        ("page", {"aiokafka", "aiohttp", "edge_agent"}),
    ],
)
def test_a_command_imports_nothing_that_it_does_not_need(command: str, unneeded: set[str]) -> None:
    code = f"""
import sys
from vitalwire.__main__ import COMMANDS
from vitalwire.on_demand import load
load({command!r}, COMMANDS[{command!r}])
print(sorted({unneeded!r} & set(sys.modules)))
"""
    assert _printed(code) == "[]"


def test_what_one_command_needs_is_imported_when_it_runs() -> None:
    """What draws paper, or is an EMR: an edge's agent is a command of this program too, and its memory is counted."""
    assert _printed(ALL_LOADED) == "[]"


def _printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
