"""The edge as a whole: a real spool, the embedded broker, real ports."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent import process
from edge_agent.config import EdgeConfig, MllpConfig, MqttConfig, SerialConfig
from edge_agent.process import Edge, config_hash, make_source
from edge_agent.spool import Spool
from runtime import keys
from runtime.clock import now_us
from schemas.errors import ConfigError, VitalwireError
from schemas.report import Kind, Report
from tests.edge_agent.transports.scene import LIMIT_S, eventually
from tests.making import report
from tests.wire import MllpSender
from vitalwire.embedded import Addresses
from vitalwire.embedded.services import free_port

NOWHERE = "127.0.0.1:1"
MESSAGE = b"MSH|^~\\&|MON||||20261124101500+0000||ORU^R01|7|P|2.6\rOBR|1||||||20261124101500+0000\rOBX|1|NM|x||97|\r"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Edge]:
    keys.generate(tmp_path / "platform.key", demo=True)
    keys.generate(tmp_path / "edge.key", demo=True)

    def edge(**more: Any) -> Edge:
        chosen: dict[str, Any] = {"spool": tmp_path / "spool", "kafka": NOWHERE} | more
        settings = EdgeConfig(
            edge=str(uuid.UUID(int=7)), key_file=tmp_path / "edge.key", platform_key_file=tmp_path / "platform.pub",
            demo=True, **chosen,
        )  # fmt: skip
        made = Edge(settings)
        put = made.spool.put

        def spied(reports: Any, *rest: Any, **more: Any) -> None:
            kept.extend(reports)
            put(reports, *rest, **more)

        made.spool.put = spied  # type: ignore[method-assign]
        return made

    kept.clear()
    return edge


kept: list[Report] = []  # in the order in which they were put into the spool


def codes() -> list[str]:
    return [r.records[0].as_sent.code for r in kept if r.kind is Kind.EVENT and r.records[0].as_sent]


async def run_until(edge: Edge, holds: Callable[[], object]) -> None:
    """Run until it holds, then stop as Ctrl-C does."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(edge.run(stop))
    await eventually(lambda: holds() or task.done())
    stop.set()
    async with asyncio.timeout(LIMIT_S):
        await task


def test_it_starts_keeps_answers_sends_and_ends(make: Callable[..., Edge], embedded: Addresses) -> None:
    port = free_port()
    edge = make(
        kafka=embedded.kafka,
        mllp=(MllpConfig("bed", "hl7_oru", listen=f"127.0.0.1:{port}", time_zone="Europe/London"),),
    )

    async def run() -> None:
        answers: list[bytes] = []

        def send() -> None:
            sender = MllpSender(port)
            answers.append(sender.ask(MESSAGE))
            sender.close()

        stop = asyncio.Event()
        task = asyncio.ensure_future(edge.run(stop))
        await eventually(lambda: edge.publisher.broker or task.done())
        await asyncio.to_thread(send)
        assert b"MSA|AA|7" in answers[0]
        assert edge.not_ready() == []
        stop.set()
        async with asyncio.timeout(LIMIT_S):
            await task

    asyncio.run(run())
    assert codes()[0] == "started"
    assert {"broker-reached", "connected"} <= set(codes())
    assert codes()[-1] == "counts"
    assert json.loads(kept[-1].records[0].text or "")["frames:bed"] == 1
    assert not any(t.is_alive() for t in edge.publisher._threads)
    with pytest.raises(VitalwireError):
        edge.spool.receipted([])  # it is closed


def test_the_counts_come_by_the_clock_and_a_silent_source_is_said(
    make: Callable[..., Edge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HOUSEKEEPING_S", 0.01)
    monkeypatch.setattr("edge_agent.events.SILENT_AFTER_S", 0.05)
    edge = make(serial=(SerialConfig("bed", "nonin_df2", port="/dev/ttyNONE"),))
    asyncio.run(run_until(edge, lambda: codes().count("counts") > 1 and "silent" in codes()))
    assert codes()[0] == "started"
    assert process.COUNTS_EVERY == 10
    assert edge.not_ready() == [f"the broker {NOWHERE} is not reached"]


def test_an_agent_without_its_publisher_ends(make: Callable[..., Edge], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "HOUSEKEEPING_S", 0.01)
    edge = make()
    monkeypatch.setattr(type(edge.publisher), "alive", property(lambda _: False))
    with pytest.raises(VitalwireError, match="the publisher has ended"):
        asyncio.run(run_until(edge, lambda: False))
    assert not any(t.is_alive() for t in edge.publisher._threads)


def test_a_port_in_use_ends_the_start_and_lets_go_of_the_spool(make: Callable[..., Edge], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        source = MllpConfig("bed", "hl7_oru", listen=place, time_zone="UTC")
        with pytest.raises(OSError, match=rf"bed: {place} cannot be listened on \(Address already in use\)"):
            asyncio.run(run_until(make(mllp=(source,)), lambda: False))
    Spool(tmp_path / "spool", bytes_max=1 << 20, receipt_hold_s=1).close()  # free again


def test_a_spool_found_damaged_at_the_start_is_told_after_started(make: Callable[..., Edge], tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "spool.db").write_bytes(b"no database" * 1000)
    asyncio.run(run_until(make(), lambda: "spool-damaged" in codes()))
    assert codes()[:2] == ["started", "spool-damaged"]


def test_the_time_between_two_runs_is_a_gap(make: Callable[..., Edge]) -> None:
    asyncio.run(run_until(make(), lambda: kept))
    ended_us = now_us()
    assert "gap" not in codes()
    kept.clear()
    asyncio.run(run_until(make(), lambda: kept))
    assert codes()[:2] == ["started", "gap"]
    before, after = (int(word) for word in (kept[1].records[0].text or "").split() if word.isdecimal())
    assert ended_us - 5_000_000 < before <= ended_us < after


def test_a_step_of_the_clock_is_said_and_makes_nobody_silent(
    make: Callable[..., Edge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HOUSEKEEPING_S", 0.01)
    edge = make(serial=(SerialConfig("bed", "nonin_df2", port="/dev/ttyNONE"),))
    steps, ahead_us = iter([0, 0, 3_600_000]), 0

    class Stepping:
        def step_ms(self) -> int:
            nonlocal ahead_us
            step = next(steps, 0)
            ahead_us += step * 1000
            return step

    edge.voice._now_us = lambda: now_us() + ahead_us
    monkeypatch.setattr(process, "ClockWatch", Stepping)
    asyncio.run(run_until(edge, lambda: "clock-step" in codes() and "counts" in codes()))
    assert "silent" not in codes()


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({"serial": (SerialConfig("a", "nonin_df2", port="spy://x"),)}, "a: spy:// is not supported"),
        ({"serial": (SerialConfig("a", "hl7_oru", port="/dev/x"),)}, "does not speak over serial: choose nonin_ascii"),
        ({"mllp": (MllpConfig("a", "nope"),)}, "driver 'nope' does not speak over mllp: choose hl7_oru"),
        ({"mllp": (MllpConfig("a", "hl7_oru", time_zone="Europe"),)}, "'Europe' is no time zone"),
        ({"mllp": (MllpConfig("a", "hl7_oru", time_zone="Mars/Base"),)}, "'Mars/Base' is no time zone"),
        ({"mqtt": (MqttConfig("a", "mqtt_json", topics=("ward/#/x",)),)}, "a: 'ward/#/x' is no topic filter"),
        ({"mapping": Path("/nowhere/mapping.toml")}, "mapping file /nowhere/mapping.toml cannot be read"),
    ],
)
def test_what_is_wrong_with_a_source_is_said_before_the_spool_is_touched(
    make: Callable[..., Edge], tmp_path: Path, sources: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as told:
        make(**sources)
    assert words in str(told.value)
    assert not (tmp_path / "spool").exists()


def test_the_hash_of_a_configuration_changes_with_it_and_with_nothing_else() -> None:
    one = EdgeConfig(edge="e", mllp=(MllpConfig("a", "hl7_oru"),))
    assert config_hash(one) == config_hash(msgspec.structs.replace(one))
    others = [
        msgspec.structs.replace(one, cut_after_s=1.0),
        msgspec.structs.replace(one, spool=Path("elsewhere")),
        msgspec.structs.replace(one, mllp=(MllpConfig("a", "hl7_oru", charset="GB18030"),)),
        msgspec.structs.replace(one, mllp=()),
    ]
    assert len({config_hash(each) for each in (one, *others)}) == 5


def test_a_driver_is_told_what_the_source_is_configured_with() -> None:
    serial = make_source(SerialConfig("a", "nonin_df2", device="ward:nonin:1"), {}, "/dev/x")
    assert (serial.device_claim, serial.device_field, serial.peer) == ("ward:nonin:1", None, "/dev/x")
    mllp = make_source(MllpConfig("b", "hl7_oru", device="PV1-3", charset="GBK", time_zone="Asia/Shanghai"), {}, "p")
    assert (mllp.device_claim, mllp.device_field, mllp.charset) == (None, "PV1-3", "GBK")
    assert str(mllp.time_zone) == "Asia/Shanghai"
    assert make_source(MqttConfig("c", "mqtt_json", time_field="at"), {}, "t").time_field == "at"


def test_it_is_not_ready_while_the_oldest_report_has_waited_long(make: Callable[..., Edge]) -> None:
    edge = make()
    done: list[object] = []
    edge.spool.put([report(at_us=1)], done=done.append)

    async def run() -> None:
        await eventually(lambda: done)
        assert edge.not_ready()[-1] == "the oldest report has waited for more than 30 s"

    asyncio.run(run())
    edge.spool.close()
