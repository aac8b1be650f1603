"""`vitalwire edge downtime`: a process of its own beside the agent's file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen
from uuid import UUID

import pytest

from edge_agent.downtime.ring_file import HistoryState
from runtime.clock import now_us
from tests.commands import vitalwire
from tests.edge_agent.downtime.showing import keep, value
from vitalwire.embedded.services import free_port


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of a box whose agent wrote a moment ago."""
    (tmp_path / "spool").mkdir()
    keep(tmp_path / "spool", [value(97, now_us())], HistoryState(written_at_us=now_us()))
    path = tmp_path / "edge.toml"
    path.write_text(f'edge = "{UUID(int=7)}"\n[downtime]\nlisten = "127.0.0.1:{free_port()}"\n')
    return path


def test_it_serves_until_it_is_told_to_end(config: Path) -> None:
    command = [sys.executable, "-m", "vitalwire", "edge", "downtime", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[2]
        with urlopen(f"{url}values", timeout=10) as answer:
            found = json.load(answer)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert found["devices"][0]["channels"][0]["value"] == "97"
    assert found["hospital"]["state"] == "no-receipt"


def test_for_scripts_it_prints_what_there_is(config: Path) -> None:
    code, text = vitalwire("edge", "downtime", "--config", str(config), "--json")
    assert code == 0
    assert json.loads(text)["devices"][0]["source"] == "bed 7 monitor"


def test_what_is_missing_is_one_line_with_its_mend(config: Path) -> None:
    (config.parent / "spool" / "downtime.history").unlink()
    code, text = vitalwire("edge", "downtime", "--config", str(config), "--json")
    assert (code, text.count("\n")) == (2, 0)
    assert "[downtime] enabled" in text
    with config.open("a") as file:
        file.write('code_file = "code"\n')
    code, text = vitalwire("edge", "downtime", "--config", str(config))
    assert code == 2
    assert "--prepare" in text
    code, text = vitalwire("edge", "downtime", "--config", str(config), "--prepare")
    assert code == 0
    assert "sealed envelope" in text
    assert len((config.parent / "code").read_text().strip()) == 10


def test_a_port_that_is_taken_is_said(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vitalwire", "edge", "downtime", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        code, text = vitalwire("edge", "downtime", "--config", str(config))
        _, checked = vitalwire("edge", "check", "--config", str(config))
        process.send_signal(signal.SIGINT)
        process.wait(10)
    assert code == 2
    assert "Address already in use; set [downtime] listen" in text
    assert f"and does so now (pid {process.pid})" in checked
