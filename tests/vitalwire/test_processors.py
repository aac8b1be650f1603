"""`vitalwire processors`: the three workers kept alive; a script stands for Python."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from emr_store.migrate import migrate
from runtime.errors import UserError
from schemas.errors import VitalwireError
from stream_processors.config import APPS
from vitalwire import processors
from vitalwire.__main__ import app

LIMIT_S = 20.0
ENDS_AT_ONCE = "exit 3"
LIVES = "trap 'echo $3 ended >> {marks}; exit 0' TERM; echo $3 ready >> {marks}; while :; do sleep 0.05; done"
LIVES_ON = "trap '' TERM; echo $3 ready >> {marks}; while :; do sleep 0.05; done"


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Have workers behave so; the file that they leave marks in."""

    def behave(script: str) -> Path:
        python, marks = tmp_path / "python", tmp_path / "marks"
        marks.touch()
        body = script.format(marks=marks)
        python.write_text(f'#!/bin/sh\necho "$3 begun: $*" >> {marks}\necho "worker $3 speaks"\n{body}\n')
        python.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(python))
        monkeypatch.setattr(processors, "RESTART_FIRST_S", 0.01)
        monkeypatch.setattr(processors, "RESTART_MAX_S", 0.04)
        return marks

    return behave


async def supervised(until: Callable[[], bool], lanes: list[str], log: Path | None = None) -> float:
    """Supervise until this holds; how long the stop then took."""
    stop = asyncio.Event()
    running = asyncio.ensure_future(processors.supervise(Path("p.toml"), lanes, stop, log))
    end = time.monotonic() + LIMIT_S
    while not until():
        assert time.monotonic() < end
        assert not running.done()
        await asyncio.sleep(0.01)
    began = time.monotonic()
    stop.set()
    await asyncio.wait_for(running, LIMIT_S)
    return time.monotonic() - began


def marks_of(marks: Path, word: str) -> dict[str, int]:
    lines = marks.read_text().splitlines()
    return {name: sum(line.startswith(f"{name} {word}") for line in lines) for name in APPS}


def test_a_worker_that_ends_is_started_again_and_later_each_time(
    workers: Callable[[str], Path], tmp_path: Path
) -> None:
    marks, log = workers(ENDS_AT_ONCE), tmp_path / "log"
    with capture_logs() as logged:
        asyncio.run(supervised(lambda: min(marks_of(marks, "begun").values()) >= 5, ["live"], log))
    ours: list[Any] = [e for e in logged if e.get("worker") == "validate"]
    assert [e["retry_in_s"] for e in ours][:4] == [0.01, 0.02, 0.04, 0.04]
    assert {e["code"] for e in ours} == {3}
    assert "validate begun: -m stream_processors validate p.toml live" in marks.read_text().splitlines()
    assert log.read_text().count("worker validate speaks") >= 5


def test_after_a_long_life_the_back_off_begins_afresh(
    workers: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = workers(ENDS_AT_ONCE)
    monkeypatch.setattr(processors, "QUICK_S", 0.0)
    with capture_logs() as logged:
        asyncio.run(supervised(lambda: min(marks_of(marks, "begun").values()) >= 4, []))
    assert {e["retry_in_s"] for e in logged} == {0.01}


def test_a_stop_ends_all_in_good_order(workers: Callable[[str], Path]) -> None:
    marks = workers(LIVES)
    asyncio.run(supervised(lambda: min(marks_of(marks, "ready").values()) == 1, []))
    assert set(marks_of(marks, "ended").values()) == set(marks_of(marks, "begun").values()) == {1}


def test_who_does_not_listen_is_killed(workers: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    marks = workers(LIVES_ON)
    monkeypatch.setattr(processors, "STOP_S", 0.2)
    assert asyncio.run(supervised(lambda: min(marks_of(marks, "ready").values()) == 1, [])) >= 0.2


def test_a_stop_while_it_waits_to_start_again_is_heard_at_once(
    workers: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = workers(ENDS_AT_ONCE)
    monkeypatch.setattr(processors, "RESTART_FIRST_S", 600.0)
    with capture_logs() as logged:
        assert asyncio.run(supervised(lambda: len(logged) == len(APPS), [])) < LIMIT_S
    assert set(marks_of(marks, "begun").values()) == {1}


def test_a_schema_that_could_not_be_made_at_the_start_is_made_later(
    workers: Callable[[str], Path], empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = empty_database
    marks = workers(LIVES)
    monkeypatch.setattr(processors, "MIGRATE_RETRY_S", 0.01)
    attempts: list[str] = []

    def away_at_first(where: str) -> list[int]:
        attempts.append(where)
        return migrate(where if len(attempts) > 2 else "host=127.0.0.1 port=1 dbname=x")

    monkeypatch.setattr(processors, "migrate", away_at_first)

    async def run() -> None:
        stop = asyncio.Event()
        running = asyncio.ensure_future(processors.work(Path("p.toml"), [], migrate_later=database, stop=stop))
        while not any("up to date" in e["event"] for e in logged) or min(marks_of(marks, "ready").values()) == 0:
            assert not running.done()
            await asyncio.sleep(0.01)
        stop.set()
        await running

    with capture_logs() as logged:
        asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    assert len(attempts) == 3
    assert migrate(database) == []


def test_a_store_of_another_edition_that_comes_later_ends_all(
    workers: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = workers(LIVES)

    def refuse(_: str) -> list[int]:
        while min(marks_of(marks, "ready").values()) == 0:
            time.sleep(0.01)
        raise VitalwireError("another edition")

    monkeypatch.setattr(processors, "migrate", refuse)
    with pytest.raises(VitalwireError, match="another edition"):
        asyncio.run(processors.work(Path("p.toml"), [], migrate_later="x", stop=asyncio.Event()))
    assert set(marks_of(marks, "ended").values()) == {1}


def test_a_lane_that_is_none_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "processors.toml"
    config.write_text("")
    result = CliRunner().invoke(app, ["processors", "run", "--config", str(config), "--lanes", "live, bakfill"])
    assert isinstance(result.exception, UserError)
    assert str(result.exception) == "--lanes 'bakfill' is none of live, backfill, waveform, adt"


def test_a_limit_on_no_metric_is_refused_before_anything_starts(tmp_path: Path) -> None:
    config = tmp_path / "processors.toml"
    config.write_text('[[limits]]\nmetric = "MDC_PULS_OXIM_SAT_02"\nlow = 90\n')
    result = CliRunner().invoke(app, ["processors", "run", "--config", str(config)])
    assert isinstance(result.exception, UserError)
    assert str(result.exception).endswith("is no metric of the nomenclature: did you mean 'MDC_PULS_OXIM_SAT_O2'?")


def test_a_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "platform.key"
    result = CliRunner().invoke(app, ["processors", "keygen", str(path)])
    assert result.exit_code == 0
    assert path.with_suffix(".pub").exists()
    assert result.output.count("\n") == 1
    assert isinstance(CliRunner().invoke(app, ["processors", "keygen", str(path)]).exception, UserError)
