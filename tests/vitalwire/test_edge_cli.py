"""`vitalwire edge` and `vitalwire config`, as people type them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.request import urlopen
from uuid import UUID

import msgspec
import pytest
import typer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from typer.core import TyperGroup
from typer.testing import CliRunner

from adapters.formats import recording
from edge_agent.config import EdgeConfig
from edge_agent.settings_check import settings_findings
from edge_agent.sources import load_edge
from emr_store import registry
from emr_store.connect import open_store
from emr_store.latest import LatestValue
from emr_store.migrate import migrate
from gateway.people.sign_in_config import GatewayConfig
from runtime import config as configuration
from runtime import keys
from runtime.errors import UserError
from schemas import topics
from schemas.errors import VitalwireError
from schemas.report import device_id
from stream_processors.config import ProcessorsConfig
from vitalwire.__main__ import app

ROOT = Path(__file__).parents[2]
EDGE = "3f2a8c1e-0000-4000-8000-000000000001"
LINE = b"SPO2=097 HR=072\r\n"


def vitalwire(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def oximeter() -> Iterator[str]:
    """A serial port at which a simulated oximeter says 97 % and 72 ten times a second."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    ending = Event()

    def speak() -> None:
        while not ending.wait(0.1):
            os.write(ours, LINE)

    thread = Thread(target=speak)
    thread.start()
    yield os.ttyname(theirs)
    ending.set()
    thread.join()
    os.close(ours)
    os.close(theirs)


Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an edge.toml whose keys are in order, with these lines more."""
    keys.generate(tmp_path / "edge.key")
    keys.generate(tmp_path / "platform.key")

    def written(more: str) -> Path:
        head = f'edge = "{EDGE}"\nmetrics_port = 0\nkafka = "127.0.0.1:{free_port()}"\n'
        (tmp_path / "edge.toml").write_text(head + more, "utf-8")
        return tmp_path / "edge.toml"

    return written


# --- config sample, keygen --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("process", "kind"), [("edge", EdgeConfig), ("processors", ProcessorsConfig), ("gateway", GatewayConfig)]
)
def test_the_sample_of_a_process_decodes_as_its_configuration(process: str, kind: type[msgspec.Struct]) -> None:
    code, text = vitalwire("config", "sample", process)
    assert code == 0
    configuration.decode(text, kind, "sample")


def test_keygen_prints_an_id_and_the_line_that_registers_it_and_never_overwrites_a_key(tmp_path: Path) -> None:
    code, text = vitalwire("edge", "keygen", tmp_path / "edge.key")
    assert code == 0
    registering = re.search(r"vitalwire registry edge add (\S+) (\S+) --label", text)
    assert registering
    assert f'edge = "{registering[1]}"' in text
    assert keys.fingerprint(keys.read_public(Path(registering[2]))) in text
    with pytest.raises(Exception, match="exists already"):
        vitalwire("edge", "keygen", tmp_path / "edge.key")


# --- check, watch, run ------------------------------------------------------------------------------------------------


def source(port: str, **more: str) -> str:
    settings = "".join(f'{key} = "{value}"\n' for key, value in more.items())
    return (
        f'[[source]]\nname = "bed 7"\ndriver = "nonin_ascii"\n[source.link]\ntype = "serial"\nport = "{port}"\n'
        f"[source.settings]\n{settings}"
    )


def hl7(listen: str) -> str:
    return f'[[source]]\nname = "hl7"\ndriver = "hl7_oru"\n[source.link]\ntype = "tcp"\nlisten = "{listen}"\n'


def test_check_tries_everything_and_says_what_is_wrong_with_its_mend(
    write: Write, oximeter: str, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitalwire.broker.LOOK_LIMIT_S", 2.0)
    monkeypatch.setattr(topics, "raw", lambda lane: f"{topic_prefix}{lane.name}")
    monkeypatch.setattr(topics, "RECEIPTS", f"{topic_prefix}receipts")
    path = write(source(oximeter))
    code, text = vitalwire("edge", "check", "--config", path)
    assert code == 2
    assert re.search(r"(?m)^WRONG kafka: 127.0.0.1:\d+ is not reached: ", text)
    assert f"ok    bed 7: {oximeter} opens" in text

    path.write_text(re.sub(r"kafka = .*", f'kafka = "{kafka}"', path.read_text()))
    _, text = vitalwire("edge", "check", "--config", path)
    assert f"lacks the topics {topic_prefix}LIVE" in text

    expected = [NewTopic(topic_prefix + n, 1, 1) for n in ("LIVE", "BACKFILL", "WAVEFORM", "ADT", "receipts")]
    admin = AdminClient({"bootstrap.servers": kafka})
    for created in admin.create_topics(expected).values():
        created.result(10)
    code, text = vitalwire("edge", "check", "--config", path, "--json")
    assert code == 0, text
    assert {f["where"] for f in json.loads(text)} >= {"key_file", "platform_key_file", "spool", "kafka", "bed 7"}

    code, text = vitalwire("edge", "check", "--config", write(hl7("x")))
    assert code == 2
    assert "WRONG hl7: 'x' is no address: write host:port" in text
    assert "WRONG hl7: no time zone" in vitalwire("edge", "check", "--config", write(hl7("127.0.0.1:0")))[1]
    assert "WRONG source: none is configured" in vitalwire("edge", "check", "--config", write(""))[1]


def test_watch_shows_a_source_and_its_diagnosis_in_lines_and_in_json(write: Write, oximeter: str) -> None:
    path = write(source(oximeter))
    code, text = vitalwire("edge", "watch", "bed 7", "--seconds", 1, "--config", path)
    assert code == 0
    assert "frame  SPO2=097 HR=072" in text
    assert "values SpO2 97 %, PR 72 /min" in text
    assert text.rstrip().endswith(
        "values are read here; not stored: watching stores nothing, `vitalwire edge run` does"
    )
    arguments = ("edge", "watch", f"serial:{oximeter}", "--driver", "nonin_ascii", "--seconds", 1, "--json")
    code, text = vitalwire(*arguments)
    assert json.loads(text)["verdict"] == "read"
    code, text = vitalwire("edge", "watch", f"tcp:127.0.0.1:{free_port()}", "--seconds", 0.3)
    assert code == 3
    assert "nobody has connected" in text
    code, text = vitalwire("edge", "watch", "udp:127.0.0.1:1", "--seconds", 0.3)
    assert code == 3
    assert "does not answer (Connection refused): is the monitor on" in " ".join(text.split())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bed 8", "no source 'bed 8' in the configuration: there are 'bed 7'"),
        ("serial:/dev/x", "does not speak over serial: choose nonin_ascii, nonin_df2"),
        ("mqtt:broker", "'broker' is no address: write host:port"),
        ("udp:monitor", "'monitor' is no address: write host:port"),
    ],
)
def test_what_cannot_be_watched_is_one_line(write: Write, name: str, words: str) -> None:
    with pytest.raises(VitalwireError, match=re.escape(words)):
        vitalwire("edge", "watch", name, "--config", write(source("/dev/ttyNONE")))


def test_watch_asks_the_store_whether_it_has_the_values_and_whose_they_are(
    write: Write, oximeter: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(database)
    path = write(source(oximeter, device="ICU:nonin:1"))
    arguments = ("edge", "watch", "bed 7", "--seconds", 0.6, "--config", path, "--database", database)
    assert "not stored: the store cannot be reached" in vitalwire(*arguments[:-1], "host=/nowhere")[1]
    assert f"not stored: the edge {EDGE} is not registered" in vitalwire(*arguments)[1]
    with open_store(database) as conn:
        registry.add_edge(conn, UUID(EDGE), "box", keys.read_public(path.with_name("edge.pub")))
    assert "not stored: are `vitalwire edge run` and" in vitalwire(*arguments)[1]
    now = datetime.now(UTC)
    stored = LatestValue(
        device=device_id("ICU:nonin:1"), claim="ICU:nonin:1", name=None, bed=None, registered=False,
        edge=UUID(EDGE), foreign_edge=False, code=150456,
        unit=262688, channel=0, value=97.0, bound=None, text=None, decimals=0, validity=0, ambiguous=False,
        validation_result=1, flags=0, observed_at=now, received_at=now, stored_at=now, batch_id=bytes(32),
        leaf=0,
    )  # fmt: skip
    monkeypatch.setattr("vitalwire.edge_watch.latest", lambda conn: [stored])
    assert "values stored, device not registered: vitalwire devices assign 'ICU:nonin:1'" in vitalwire(*arguments)[1]
    monkeypatch.setattr("vitalwire.edge_watch.latest", lambda conn: [stored._replace(registered=True)])
    assert "values are stored, the last " in vitalwire(*arguments)[1]


def test_run_is_asked_and_recorded_ends_in_good_order_and_a_port_in_use_is_one_sources_trouble(
    write: Write, oximeter: str
) -> None:
    port, metrics = free_port(), free_port()
    path = write(f"{hl7(f'127.0.0.1:{port}')}{source(oximeter)}")
    path.write_text(path.read_text().replace("metrics_port = 0", f"metrics_port = {metrics}"))
    command = [sys.executable, "-m", "vitalwire", "edge", "run", "--config", str(path)]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with socket.create_server(("127.0.0.1", port)), start() as agent:
        while True:  # until what the oximeter says is counted
            with suppress(OSError), urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as answer:
                if b'vitalwire_frames_total{outcome="kept",source="bed 7"}' in answer.read():
                    break
            assert agent.poll() is None
            time.sleep(0.1)
        code, text = vitalwire("edge", "watch", "bed 7", "--seconds", 5, "--config", path)
        assert code == 3
        assert text.startswith(f"\nthe running agent (pid {agent.pid}) holds {oximeter}: end it to watch here")
        assert f"is in use by the running agent (pid {agent.pid})" in vitalwire("edge", "check", "--config", path)[1]
        code, text = vitalwire("edge", "sources", "--config", path)
        assert code == 4
        assert re.search(r"(?m)^bed 7: stands since \S+.*, \d+ frames, ", text)
        assert re.search(rf"(?m)^hl7: trouble since .*: 127.0.0.1:{port} cannot be listened on \(Address already", text)
        code, text = vitalwire("edge", "sources", "--json", "--config", path)
        assert {state["name"]: state["state"] for state in json.loads(text)} == {"bed 7": "stands", "hl7": "trouble"}
        with urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as answer:
            assert b'vitalwire_source_stands{source="hl7"} 0.0' in answer.read()
        file = path.with_name("bed7.rec")
        code, text = vitalwire("edge", "record", "bed 7", file, "--seconds", 1, "--config", path)
        assert code == 0, text
        assert LINE in b"".join(entry.data for entry in recording.read(file.read_text()))
        assert file.stat().st_mode & 0o777 == 0o600
        with pytest.raises(UserError, match="is there already: name another file"):
            vitalwire("edge", "record", "bed 7", file, "--config", path)
        agent.send_signal(signal.SIGTERM)
        message, errors = agent.communicate(timeout=30)
        assert agent.returncode == 0
        assert "Traceback" not in errors
        assert f"edge {EDGE} runs" in message


def test_without_an_agent_nothing_is_asked_or_recorded(write: Write, tmp_path: Path) -> None:
    path = write(source("/dev/ttyNONE"))
    for arguments in (("sources",), ("record", "bed 7", tmp_path / "x.rec")):
        with pytest.raises(UserError, match=r"no agent answers at .*: does `vitalwire edge run` run") as raised:
            vitalwire("edge", *arguments, "--config", path)
        assert raised.value.exit_code == 3
    with pytest.raises(VitalwireError, match="no source 'bed 8' in the configuration"):
        vitalwire("edge", "record", "bed 8", tmp_path / "x.rec", "--config", path)


@pytest.mark.parametrize("more", ['edge = "EDGE"\n', f'edge = "{EDGE}"\n{source("spy:///dev/x")}'])
def test_run_refuses_what_it_cannot_start_with(tmp_path: Path, more: str) -> None:
    (tmp_path / "edge.toml").write_text(more)
    with pytest.raises(VitalwireError, match=r"edge\.toml: (edge|bed 7): "):
        vitalwire("edge", "run", "--config", tmp_path / "edge.toml")


# --- what the documents tell people to type ---------------------------------------------------------------------------


@cache
def whole_program() -> Any:
    """Built once: no test changes it."""
    return typer.main.get_command(app)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every `vitalwire ...` in README.md and docs/, as a shell would cut it."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = re.sub(r"\\\n\s*", " ", path.read_text("utf-8"))
        found = re.findall(r"(?m)^\s*(?:\$ )?(vitalwire .+)$", text) + re.findall(r"`(vitalwire [^`\n]+)`", text)
        for line in found:
            if not re.search(r"[|…]", line):  # a choice in a table of commands
                words = shlex.split(re.sub(r"[>#].*", "", line))
                yield f"{path.name}: {line}", words[1:]


@pytest.mark.parametrize(("line", "words"), list(commands()), ids=[line for line, _ in commands()])
def test_a_command_in_the_documents_is_one_that_there_is(line: str, words: list[str]) -> None:
    command, rest = whole_program(), list(words)
    context = typer.Context(command)
    while rest and isinstance(command, TyperGroup) and rest[0] in command.list_commands(context):
        command = command.get_command(context, rest.pop(0))
    if rest:  # otherwise it is only named
        takes_options = not isinstance(command, TyperGroup) or (command.invoke_without_command and rest[0][0] == "-")
        assert takes_options, f"{command.name} has no command {rest[0]}"
        command.make_context(command.name, rest)  # raises for what is unknown, missing or too much


def test_the_first_device_has_ten_steps_and_its_configuration_decodes(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "first-device.md").read_text("utf-8")
    assert [int(n) for n in re.findall(r"(?m)^(\d+)\. \*\*", text)] == list(range(1, 11))
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "edge.toml"
    file.write_text(textwrap.dedent(block), "utf-8")
    config = load_edge(file)
    assert list(settings_findings(config)) == []
