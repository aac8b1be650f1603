"""The edge as a whole: a real spool, the embedded broker, real ports."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from adapters.devices import nonin
from adapters.driver import DeviceDriver
from edge_agent import process
from edge_agent.config import EdgeConfig, SerialLink, SourceConfig, TcpLink
from edge_agent.downtime.ring_file import FILE_NAME, HistoryReader
from edge_agent.process import Edge, config_hash
from edge_agent.spool import Kept
from runtime import keys
from runtime.clock import now_us
from runtime.pki import Pki, request_for
from schemas.edge_status import read_status
from schemas.errors import ConfigError, VitalwireError
from schemas.report import Kind, Report
from tests.edge_agent.links.scene import LIMIT_S, eventually
from tests.making import report
from tests.runtime.conftest import Certified
from tests.wire import MllpSender
from vitalwire.embedded import Addresses
from vitalwire.embedded.services import free_port

NOWHERE = "127.0.0.1:1"
MESSAGE = b"MSH|^~\\&|MON||||20261124101500+0000||ORU^R01|7|P|2.6\rOBR|1||||||20261124101500+0000\rOBX|1|NM|x||97|\r"


UNPLUGGED = SourceConfig("bed", "nonin_df2", SerialLink("/dev/ttyNONE"))


def hl7(link: TcpLink, name: str = "bed") -> SourceConfig:
    return SourceConfig(name, "hl7_oru", link, time_zone="Europe/London")


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
        source=(hl7(TcpLink(f"127.0.0.1:{port}")),),
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
    counts = json.loads(kept[-1].records[0].text or "")
    assert (counts["frames:bed"], counts["state:bed"]) == (1, "stands")
    assert "clock_offset_ms" in counts
    status = read_status(kept[-1].records[0].text or "")
    assert (status.version, status.spool_quota_bytes) == (version("vitalwire"), edge.config.spool_bytes_max)
    assert not any(t.is_alive() for t in edge.publisher._threads)
    with pytest.raises(VitalwireError):
        edge.spool.receipted([])  # it is closed


def test_the_counts_come_by_the_clock_and_a_silent_source_is_said(
    make: Callable[..., Edge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HOUSEKEEPING_S", 0.01)
    monkeypatch.setattr("edge_agent.events.SILENT_AFTER_S", 0.05)
    edge = make(source=(UNPLUGGED,))
    asyncio.run(run_until(edge, lambda: codes().count("counts") > 1 and "silent" in codes()))
    assert codes()[0] == "started"
    assert process.COUNTS_EVERY == 10
    (reason,) = edge.not_ready()
    assert reason.startswith(f"the broker {NOWHERE} is not reached: broker unreachable for 0 s; ")


def test_an_agent_without_its_publisher_ends(make: Callable[..., Edge], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "HOUSEKEEPING_S", 0.01)
    edge = make()
    monkeypatch.setattr(type(edge.publisher), "alive", property(lambda _: False))
    with pytest.raises(VitalwireError, match="the publisher has ended"):
        asyncio.run(run_until(edge, lambda: False))
    assert not any(t.is_alive() for t in edge.publisher._threads)


def test_a_port_in_use_is_that_sources_trouble_and_the_others_flow(make: Callable[..., Edge]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        edge = make(source=(hl7(TcpLink(place), "taken"), hl7(TcpLink("127.0.0.1:0"), "free")))
        asyncio.run(run_until(edge, lambda: "source-trouble" in codes() and edge.states()[1].state == "stands"))
    taken_state, free_state = edge.states()
    assert taken_state.state == "trouble"
    assert taken_state.why.startswith(f"{place} cannot be listened on (Address already in use): choose")
    assert edge.notes() == [f"taken: {taken_state.why}"]
    assert free_state.why == ""
    texts = [r.records[0].text for r in kept if r.records[0].as_sent and r.records[0].as_sent.code == "source-trouble"]
    assert texts == [f"taken: {taken_state.why}"]


def test_what_sessions_and_drivers_count_travels_with_the_counts_and_has_a_limit(
    make: Callable[..., Edge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "COUNT_NAMES_MAX", 3)
    edge = make(source=(UNPLUGGED,))
    for n, name in enumerate(("rare", "rarer", "often", "oftener", "oftenest")):
        edge.supervisors[0].plan.counts[name] += n + 1
    edge.spool.put([], None, lambda _: None)
    edge._put_counts()
    counts = json.loads(kept[-1].records[0].text or "")
    assert {k: v for k, v in counts.items() if k.startswith("bed:")} == {
        "bed:oftenest": 5, "bed:oftener": 4, "bed:others": 6,
    }  # fmt: skip
    assert process._counted.labels("bed", "oftenest")._value.get() == 5
    edge.spool.close()


def test_a_bug_with_one_answer_costs_no_other_frame_its_own() -> None:
    raised: list[Kept] = []

    def fail(_: Kept) -> None:
        raise ZeroDivisionError

    process._notify_each([(raised.append, Kept.KEPT), (fail, Kept.KEPT), (raised.append, Kept.FULL)])
    assert raised == [Kept.KEPT, Kept.FULL]


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
    edge = make(source=(UNPLUGGED,))
    steps, ahead_us = iter([0, 0, 3_600_000]), 0

    class Stepping:
        def step_ms(self) -> int:
            nonlocal ahead_us
            step = next(steps, 0)
            ahead_us += step * 1000
            return step

    edge.emitter._now_us = lambda: now_us() + ahead_us
    monkeypatch.setattr(process, "ClockWatch", Stepping)
    asyncio.run(run_until(edge, lambda: "clock-step" in codes() and "counts" in codes()))
    assert "silent" not in codes()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"source": (SourceConfig("a", "nonin_df2", SerialLink("spy://x")),)}, "a: spy:// is not supported"),
        ({"mapping": Path("/nowhere/mapping.toml")}, "mapping file /nowhere/mapping.toml cannot be read"),
        ({"kafka": "192.0.2.1:9092"}, "kafka: plaintext to 192.0.2.1:9092 leaves this machine: set kafka_ca"),
    ],
)
def test_what_is_wrong_is_said_before_the_spool_is_touched(
    make: Callable[..., Edge], tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        make(**wrong)
    assert words in str(raised.value)
    assert not (tmp_path / "spool").exists()


def test_the_hash_covers_configuration_mapping_version_and_drivers_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = tmp_path / "site.toml"
    mapping.write_text("")
    one = EdgeConfig(edge="e", source=(hl7(TcpLink()),), mapping=mapping)
    first = config_hash(one)
    assert first == config_hash(msgspec.structs.replace(one))
    others = [
        msgspec.structs.replace(one, cut_after_s=1.0),
        msgspec.structs.replace(one, spool=Path("elsewhere")),
        msgspec.structs.replace(one, source=(msgspec.structs.replace(one.source[0], settings={"charset": "GBK"}),)),
        msgspec.structs.replace(one, source=(hl7(TcpLink(idle_s=1.0)),)),
        msgspec.structs.replace(one, source=()),
    ]
    found = {first, *map(config_hash, others)}
    mapping.write_text("# changed")
    found.add(config_hash(one))
    mapping.write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(process, "version", lambda _: "9.9.9")
        found.add(config_hash(one))
    with monkeypatch.context() as patch:
        more: dict[str, DeviceDriver[Any]] = {**process.DRIVER_BY_NAME, "new": nonin.ASCII}
        patch.setattr(process, "DRIVER_BY_NAME", more)
        found.add(config_hash(one))
    assert len(found) == 9
    assert config_hash(one) == first


def test_it_is_not_ready_while_the_oldest_report_has_waited_long(make: Callable[..., Edge]) -> None:
    edge = make()
    edge.spool.put([report(at_us=1)], None, lambda _: None)

    async def run() -> None:
        edge._loop = asyncio.get_running_loop()
        await eventually(lambda: edge.not_ready()[-1] == "the oldest report has waited for more than 30 s")

    asyncio.run(run())
    edge.spool.close()


def test_a_refusal_is_no_readiness_and_a_contradiction_of_the_log_is_a_note(make: Callable[..., Edge]) -> None:
    """What the hospital has done wrong holds nothing back; what it refuses does not flow."""
    edge = make()
    edge.publisher._sender.refusal = "expired-key"
    edge.publisher._witness.contradiction = "log-forked"
    assert edge.not_ready()[-1] == (
        "the hospital refuses this edge's batches (expired-key): make a new key and have it registered,"
        " `vitalwire registry edge renew`"
    )
    edge.publisher._sender.refusal = "newer-layout"
    assert edge.not_ready()[-1].endswith("upgrade the processors, then set `batch_layout` (docs/deploy.md)")
    assert edge.notes() == ["log-forked: checkpoints of the hospital's log contradict: `vitalwire edge witness`"]
    edge.spool.close()


def test_what_somebody_must_act_on_is_logged_as_an_error(make: Callable[..., Edge]) -> None:
    edge = make()
    with structlog.testing.capture_logs() as logs:
        for code in ("started", *sorted(process.ALARMS)):
            edge._emit(code, "why")
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("started", "info"), ("batches-refused", "error"), ("log-forked", "error"), ("log-shrunk", "error"),
        ("spool-copied", "error"),
    ]  # fmt: skip
    edge.spool.close()


def test_a_certificate_that_is_not_renewed_is_said_and_data_flows_on(
    make: Callable[..., Edge], ours: Certified, tmp_path: Path
) -> None:
    keys.generate(tmp_path / "kafka.key")
    pem = authority(tmp_path).issue(
        request_for(tmp_path / "kafka.key"), str(uuid.UUID(int=7)), datetime.now(UTC) - timedelta(days=90, minutes=-10)
    ).pem  # fmt: skip
    (tmp_path / "kafka.crt").write_text(pem)
    edge = make(
        kafka_ca=ours.cert, kafka_cert=tmp_path / "kafka.crt", kafka_key=tmp_path / "kafka.key",
        gateway="https://127.0.0.1:1", gateway_ca=ours.cert,
    )  # fmt: skip
    asyncio.run(run_until(edge, lambda: "certificate-not-renewed" in codes()))
    (note,) = edge.notes()
    assert "is not renewed: https://127.0.0.1:1 is not reached" in note
    assert (tmp_path / "kafka.crt").read_text() == pem


def authority(folder: Path) -> Pki:
    passphrase = folder / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("correct horse battery")
    return Pki.create(folder / "pki", "Hospital X", passphrase)


def test_what_came_last_is_kept_for_when_the_hospitals_side_is_away(make: Callable[..., Edge], tmp_path: Path) -> None:
    port = free_port()
    edge = make(source=(hl7(TcpLink(f"127.0.0.1:{port}")), UNPLUGGED))

    async def run() -> None:
        stop = asyncio.Event()
        task = asyncio.ensure_future(edge.run(stop))
        await eventually(lambda: [each.state for each in edge.states()] == ["stands", "trouble"])

        def send() -> None:
            sender = MllpSender(port)
            sender.ask(MESSAGE)
            sender.ask(MESSAGE)  # sent again: it is not what came last
            sender.close()

        await asyncio.to_thread(send)
        stop.set()
        async with asyncio.timeout(LIMIT_S):
            await task

    asyncio.run(run())
    with HistoryReader(tmp_path / "spool" / FILE_NAME) as reader:
        state = reader.state()
        ((_, series),) = reader.series()
    assert (series.source, series.mantissa, series.name) == ("bed", 97, "x")
    assert state.edge == str(uuid.UUID(int=7))
    assert state.broker_away_since_us is not None
    assert [each.name for each in state.troubled] == ["bed"]
