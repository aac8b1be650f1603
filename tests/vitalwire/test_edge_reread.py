"""`edge reread` against a running agent: a charset is mended, and the frames of then are read; the reading goes on."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.sessions.mllp import wrap
from edge_agent.config import EdgeConfig
from edge_agent.flight_recorder import read_ring
from edge_agent.process import Edge
from edge_agent.sources import load_edge
from runtime import keys
from runtime.errors import UserError
from tests.edge_agent.links.scene import LIMIT_S, eventually
from vitalwire.__main__ import app
from vitalwire.embedded.services import free_port

# 亅: its second byte in GB 18030 is the field separator, so that the message is refused where no charset is stated.
MESSAGE = (
    "MSH|^~\\&|MON||||20261124101500+0000||ORU^R01|7|P|2.6\rPID|1||1||王亅\rPV1||I|ICU^^07\r"
    "OBR|1||||||20261124101500+0000\rOBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC||97|262688^MDC_DIM_PERCENT^MDC|||||F\r"
).encode("gb18030")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    keys.generate(tmp_path / "platform.key", demo=True)
    keys.generate(tmp_path / "edge.key", demo=True)
    path = tmp_path / "edge.toml"
    path.write_text(
        f'edge = "{uuid.UUID(int=7)}"\ndemo = true\nkafka = "127.0.0.1:1"\nmetrics_port = 0\nrecorder_h = 1.0\n'
        f'[[source]]\nname = "icu"\ndriver = "hl7_oru"\ntime_zone = "Asia/Shanghai"\n'
        f'[source.link]\ntype = "tcp"\nlisten = "127.0.0.1:{free_port()}"\n[source.settings]\n'
    )
    return path


def settings_of(path: Path) -> EdgeConfig:
    return load_edge(path)


def last_note(spool: Path) -> str:
    found = read_ring(spool, "icu")
    return found.entries[-1].note if found and found.entries else ""


async def at_work(path: Path, sends: bytes, *words: str) -> str:
    """An agent at work; a message is sent (its answer is waited for), then a command runs beside it."""
    edge, stop = Edge(settings_of(path)), asyncio.Event()
    task = asyncio.ensure_future(edge.run(stop))
    control = edge.config.spool / "control.sock"
    await eventually(lambda: control.exists() and edge.states()[0].state == "stands")
    try:
        if sends:
            host, _, port = edge.states()[0].address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(wrap(sends))
            await asyncio.wait_for(reader.readuntil(b"\x1c\r"), LIMIT_S)
            writer.close()
            await eventually(
                lambda: (found := read_ring(edge.config.spool, "icu")) and "closed" in found.entries[-1].note
            )
        if not words:
            return ""
        result = await asyncio.to_thread(CliRunner().invoke, app, ["edge", *words, "--config", str(path)])
        if isinstance(result.exception, UserError):
            raise result.exception
        own = [line for line in result.stdout.splitlines(keepends=True) if "[info" not in line]  # the agent's log
        return f"{result.exit_code} {''.join(own)}"
    finally:
        stop.set()
        async with asyncio.timeout(LIMIT_S):
            await task


def test_frames_of_before_the_mend_are_read_once(config: Path) -> None:
    said = asyncio.run(at_work(config, MESSAGE, "reread", "icu", "--since", "1h"))
    assert said == "4 1 rejected frames since 1h: 0 are read now (0 reports), 0 were read again before\n" + (
        "still rejected: 1x charset\n"
    )
    config.write_text(config.read_text() + 'charset = "GB18030"\n')
    said = asyncio.run(at_work(config, b"", "reread", "icu", "--since", "1h"))
    assert said.startswith("0 1 rejected frames since 1h: 1 are read now (")
    said = asyncio.run(at_work(config, b"", "reread", "icu", "--since", "1h"))
    assert said == "0 1 rejected frames since 1h: 0 are read now (0 reports), 1 were read again before\n"


def test_the_flight_recorder_is_read_while_the_agent_works_and_after(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "icu.rec"
    said = asyncio.run(at_work(config, MESSAGE, "record", "icu", str(out), "--since", "10m"))
    assert said.startswith("0 ")
    assert wrap(MESSAGE).hex() in out.read_text()
    assert "rejected charset" in out.read_text()
    other = tmp_path / "later.rec"
    result = CliRunner().invoke(app, ["edge", "record", "icu", str(other), "--since", "10m", "--config", str(config)])
    assert result.exit_code == 0
    assert wrap(MESSAGE).hex() in other.read_text()


def test_of_the_flight_recorder_a_case_is_made_too(config: Path, tmp_path: Path) -> None:
    asyncio.run(at_work(config, MESSAGE))
    case = tmp_path / "cases" / "hl7_oru" / "saturation"
    words = ["edge", "record", "icu", str(tmp_path / "icu.rec"), "--since", "10m", "--to-case", str(case)]
    result = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert result.exit_code == 0, result.output
    # The name's bytes, for which it was refused, are gone: what is left is read.
    assert list(json.loads((case / "expected.json").read_text())) == ["reports"]
    assert "王".encode("gb18030") not in bytes.fromhex((case / "frame.hex").read_text())


def test_without_a_flight_recorder_it_is_said_how_there_would_be_one(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("recorder_h = 1.0\n", ""))
    result = CliRunner().invoke(
        app, ["edge", "record", "icu", str(tmp_path / "x"), "--since", "10m", "--config", str(config)]
    )
    assert isinstance(result.exception, UserError)
    assert "recorder_h = 1.0 in the configuration keeps the last hour" in str(result.exception)
