"""`vitalwire doctor PORT` as people type it, at real ports of this machine and at a terminal server."""

from __future__ import annotations

import json
import os
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.formats import recording
from benchmarks.doctor import SPEAKERS, Case
from edge_agent.config import SerialLink
from edge_agent.sources import load_edge
from runtime import keys
from simulators.uart import ModelPort, Talker, UartSettings
from tests.commands import vitalwire
from tests.vitalwire.doctor.port.terminal_server import TerminalServer
from vitalwire.doctor.port.line_settings import LineSettings

SPEAKER = {speaker.name: speaker for speaker in SPEAKERS}
EDGE = "3f2a8c1e-0000-4000-8000-000000000001"


@pytest.fixture
def oximeter() -> Iterator[str]:
    """A serial port at which a simulated oximeter speaks five times a second."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    ending = threading.Event()

    def speak() -> None:
        number = 0
        while not ending.wait(0.2):
            os.write(ours, SPEAKER["nonin_ascii"].message(number))
            number += 1

    thread = threading.Thread(target=speak)
    thread.start()
    yield os.ttyname(theirs)
    ending.set()
    thread.join()
    os.close(ours)
    os.close(theirs)


@pytest.fixture
def edge_toml(tmp_path: Path) -> Path:
    keys.generate(tmp_path / "edge.key")
    path = tmp_path / "edge.toml"
    path.write_text(f'# of ward 3\nedge = "{EDGE}"\nmetrics_port = 0  # none', "utf-8")
    path.chmod(0o640)
    return path


def test_a_known_device_is_named_and_its_table_is_printed(oximeter: str) -> None:
    code, text = vitalwire(f"doctor {oximeter}", "--name", "ICU-07 oximeter")
    assert code == 0
    assert text.startswith("Nonin pulse oximeter, ASCII line a second, 100 % of frames valid.\n")
    assert 'name = "ICU-07 oximeter"\ndriver = "nonin_ascii"\n[source.link]\ntype = "serial"\n' in text


def test_the_same_in_chinese_and_for_scripts(oximeter: str) -> None:
    assert vitalwire(f"doctor {oximeter} --language zh")[1].startswith(
        "Nonin pulse oximeter, ASCII line a second，100%"
    )
    code, text = vitalwire(f"doctor {oximeter} --json")
    answer = json.loads(text)
    assert code == 0
    assert (answer["slug"], answer["driver"], answer["share"], answer["rival"]) == ("certain", "nonin_ascii", 1.0, "")
    assert answer["source"].startswith("[[source]]\n")


def test_it_is_written_into_the_configuration_which_keeps_its_text_and_mode(oximeter: str, edge_toml: Path) -> None:
    before = edge_toml.read_text("utf-8")
    code, text = vitalwire(f"doctor serial:{oximeter} --write {edge_toml}", "--name", "监护仪7")
    assert code == 0
    assert f"written into {edge_toml}" in text
    assert edge_toml.read_text("utf-8").startswith(f"{before}\n")
    assert edge_toml.stat().st_mode & 0o777 == 0o640
    (source,) = load_edge(edge_toml).source
    assert (source.name, source.driver, source.link) == ("监护仪7", "nonin_ascii", SerialLink(oximeter))
    written = edge_toml.read_text("utf-8")
    code, text = vitalwire(f"doctor {oximeter} --write {edge_toml} --name other")
    assert code == 2
    assert f"is left as it is: '监护仪7' has {oximeter} already; change that one" in text
    assert edge_toml.read_text("utf-8") == written


def test_a_configuration_that_is_none_is_said_before_anything_is_listened_to(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("edge = \n", "utf-8")
    code, text = vitalwire(f"doctor /dev/not-there --write {path}")
    assert code == 2
    assert f"{path}: not TOML: Invalid value (at line 1" in text
    code, text = vitalwire(f"doctor /dev/not-there --write {tmp_path / 'none.toml'}")
    assert code == 2
    assert "none.toml does not exist" in text


def test_sources_written_in_one_line_cannot_be_added_to(oximeter: str, edge_toml: Path) -> None:
    text = f"{edge_toml.read_text('utf-8')}\nsource = []\n"
    edge_toml.write_text(text, "utf-8")
    code, answer = vitalwire(f"doctor {oximeter} --write {edge_toml}")
    assert code == 2
    assert "is left as it is, for the table cannot stand at its end" in answer
    assert edge_toml.read_text("utf-8") == text


def test_what_came_is_recorded(oximeter: str, tmp_path: Path) -> None:
    file = tmp_path / "unknown.rec"
    assert vitalwire(f"doctor {oximeter} --record {file}")[0] == 0
    entries = recording.read(file.read_text("utf-8"))
    assert b"SPO2=" in b"".join(entry.data for entry in entries)
    assert file.stat().st_mode & 0o777 == 0o600
    code, text = vitalwire(f"doctor {oximeter} --record {file}")
    assert code == 2
    assert "is there already: name another file" in text


def test_ports_that_cannot_be_had() -> None:
    assert vitalwire("doctor /dev/not-there")[1].endswith("see ls /dev/serial/by-id")
    assert "is no language of the doctor: en or zh" in vitalwire("doctor /dev/not-there --language fr")[1]
    assert "spy:// is not supported" in vitalwire("doctor spy:///dev/ttyS0")[1]
    assert "a terminal server has no TLS" in vitalwire("doctor rfc2217://192.0.2.1:4001")[1]


def test_a_silent_port_is_said_to_be_silent() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    code, text = vitalwire(f"doctor {os.ttyname(theirs)} --seconds 1.5")
    os.close(ours)
    os.close(theirs)
    assert code == 4
    assert "null-modem, or the wrong port?" in text
    assert "--probe" in text


def test_a_line_behind_a_terminal_server_is_set_until_it_speaks() -> None:
    with TerminalServer(Case(SPEAKER["nonin_df2"], LineSettings(38400)).port()) as server:
        code, text = vitalwire(f"doctor {server.url}")
    assert code == 0, text
    assert text.startswith("Nonin pulse oximeter, Data Format 2 with pleth at 38400 8N1, 100 % of frames valid.\n")
    assert f'port = "{server.url}"\nbaud = 38400\ndata_bits = 8\nparity = "N"\n' in text


def test_a_rate_that_a_terminal_server_does_not_take_is_passed_over() -> None:
    line = Case(SPEAKER["nonin_ascii"], LineSettings(19200)).port()
    with TerminalServer(line, refused_rates=(38400, 115200)) as server:
        code, text = vitalwire(f"doctor {server.url}")
    assert text.startswith("Nonin pulse oximeter, ASCII line a second at 19200 8N1, 100 % of frames valid.\n"), text
    assert code == 0


def test_an_unknown_device_is_shown_in_hexadecimal() -> None:
    port = ModelPort(Talker(lambda number: b"MODEL X\x00 12.5 MMHG\r\n" * 3, 0.3), UartSettings(9600))
    with TerminalServer(port) as server:
        code, text = vitalwire(f"doctor {server.url} --seconds 4")
    assert code == 4
    assert "no protocol is known" in text
    assert f"vitalwire doctor {server.url} --record unknown.rec" in text
    assert "4d 4f 44 45 4c 20 58 00" in text
