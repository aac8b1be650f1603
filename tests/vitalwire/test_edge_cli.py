"""`vitalwire edge` and `vitalwire config`, as people type them."""

from __future__ import annotations

import os
import re
import socket
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from edge_agent.config import EdgeConfig
from runtime import config as configuration
from runtime import keys
from stream_processors.config import ProcessorsConfig
from vitalwire import edge

ROOT = Path(__file__).parents[2]
EDGE = "3f2a8c1e-0000-4000-8000-000000000001"
LINE = b"SPO2=097 HR=072\r\n"
app = typer.Typer()
app.add_typer(edge.app, name="edge")
app.add_typer(edge.config_app, name="config")


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


@pytest.mark.parametrize(("process", "kind"), [("edge", EdgeConfig), ("processors", ProcessorsConfig)])
def test_a_sample_has_every_key_there_is_and_decodes_as_it_is_and_with_all_in_use(
    process: str, kind: type[msgspec.Struct]
) -> None:
    code, text = vitalwire("config", "sample", process)
    assert code == 0
    configuration.decode(text, kind, "sample")
    in_use: msgspec.Struct = configuration.decode(re.sub(r"(?m)^#(?! )", "", text), kind, "sample")

    def every_key(struct: msgspec.Struct, block: str) -> None:
        for field in msgspec.structs.fields(struct):
            value = getattr(struct, field.name)
            if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
                every_key(value[0], text.split(f"[[{field.name}]]")[1].split("[[")[0])
            else:
                assert re.search(rf"(?m)^#?{field.name} = .+  # \S", block), field.name

    every_key(in_use, text.split("#[[")[0])


def test_keygen_prints_an_id_and_the_line_that_registers_it_and_never_overwrites_a_key(tmp_path: Path) -> None:
    code, text = vitalwire("edge", "keygen", tmp_path / "edge.key")
    assert code == 0
    registering = re.search(r"vitalwire registry edge add (\S+) (\S+) --label", text)
    assert registering
    assert f'edge = "{registering[1]}"' in text
    assert keys.fingerprint(keys.read_public(Path(registering[2]))) in text
    with pytest.raises(Exception, match="exists already"):
        vitalwire("edge", "keygen", tmp_path / "edge.key")
