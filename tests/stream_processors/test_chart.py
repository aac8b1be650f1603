"""The background task that charts: its policies' file, its rhythm, and that one works at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from clinical.chart_policy import read_policies
from emr_store import chart_policies, charting
from emr_store.acts import acts
from emr_store.chart_queue import EachMetrics
from stream_processors import chart, recurring_work, stage
from stream_processors.chart import Charting, PolicyFile, keep_charting
from tests.adt import group, us
from tests.charting import POLICIES, PULSE_ID, SLOT, Ward, pulse, spo2
from tests.storing import Store

OTHER = POLICIES.replace('when = "every 5 min"', 'when = "hourly"')
WRONG = 'zone = "UTC"\n[[policy]]\nmetrics = ["MDC_TEMP"]\nwhen = "every 7 min"\nvalue = "last valid"\n'


@pytest.fixture(autouse=True)
def _no_waits() -> Iterator[None]:
    yield
    for what in (chart.REFUSED, chart.WAITS):
        stage.waits.pop(what, None)


def test_a_file_is_read_when_it_changes_and_each_change_is_an_act(database: str, tmp_path: Path) -> None:
    path, each_metrics = tmp_path / "chart.toml", EachMetrics()
    file = PolicyFile(path, each_metrics)
    path.write_text(POLICIES, "utf-8")
    with Store(database).open() as conn:
        assert file.read(conn)
        assert not file.read(conn)
        assert file.policies.each_metrics() == {PULSE_ID}
        assert len(each_metrics.codes) == 1
        path.write_text(OTHER, "utf-8")
        assert file.read(conn)
        assert [act.kind for act in acts(conn) if act.kind == chart_policies.KIND] == [chart_policies.KIND] * 2
        assert chart_policies.noted_policies(conn) == OTHER


def test_one_that_contradicts_itself_is_refused_and_the_old_one_stays_after_a_restart_too(
    database: str, tmp_path: Path
) -> None:
    path = tmp_path / "chart.toml"
    path.write_text(POLICIES, "utf-8")
    with Store(database).open() as conn:
        file = PolicyFile(path, EachMetrics())
        file.read(conn)
        path.write_text(WRONG, "utf-8")
        assert not file.read(conn)
        assert "line 4: a day cannot be divided into slots of 7 min" in stage.waits[chart.REFUSED]
        assert file.policies.each_metrics() == {PULSE_ID}
        restarted = PolicyFile(path, EachMetrics())
        assert restarted.read(conn)
        assert restarted.policies.each_metrics() == {PULSE_ID}
        path.write_text(OTHER, "utf-8")
        assert restarted.read(conn)
        assert chart.REFUSED not in stage.waits


def test_a_file_that_is_gone_is_said_and_the_old_one_stays(database: str, tmp_path: Path) -> None:
    file = PolicyFile(tmp_path / "chart.toml", EachMetrics())
    with Store(database).open() as conn:
        assert not file.read(conn)
        assert "No such file" in stage.waits[chart.REFUSED]
        assert list(PolicyFile(None, EachMetrics()).policies) == []


@pytest.fixture
def ward(database: str) -> Ward:
    made = Ward(database, PolicyFile(None, EachMetrics()).policies)
    made.place()
    made.hospital.emit_records([group("A01", 0)])
    return made


def test_values_of_each_are_charted_at_once_and_slots_in_time(ward: Ward, tmp_path: Path) -> None:
    path, each_metrics = tmp_path / "chart.toml", EachMetrics()
    path.write_text(POLICIES, "utf-8")
    now, monotonic = [us(200)], [0.0]
    working = Charting(
        ward.store.address, PolicyFile(path, each_metrics), clock_us=lambda: now[0], clock_s=lambda: monotonic[0]
    )
    working.work()
    ward.policies = working._policies.policies
    ward.emit(pulse(10, 70), spo2(50, 97))
    monotonic[0] += chart.LOOK_EVERY_S
    assert working.work() == 1
    assert ward.said(item=PULSE_ID) == [(10, "preliminary", 70, 1)]
    monotonic[0] += chart.DUE_EVERY_S
    now[0] = us(SLOT + 600)
    while not ward.said():
        working.work()
    assert ward.said() == [(SLOT, "preliminary", 97, 1)]
    working.close()


def test_while_another_works_it_does_nothing(ward: Ward) -> None:
    working = Charting(ward.store.address, PolicyFile(None, EachMetrics()))
    with ward.store.open() as conn, charting.alone(conn) as held:
        assert held
        assert working.work() == 0
    working.close()


def test_it_goes_on_after_a_failure(ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chart.toml"
    path.write_text(POLICIES, "utf-8")
    failures, work = [ZeroDivisionError()], Charting._chart

    def failing(self: Charting) -> int:
        if failures:
            raise failures.pop()
        return work(self)

    monkeypatch.setattr(Charting, "_chart", failing)
    monkeypatch.setattr(recurring_work, "RETRY_AFTER_S", 0.01)
    each_metrics = EachMetrics()

    async def until_charted() -> None:
        task = asyncio.ensure_future(keep_charting(ward.store.address, path, each_metrics))
        while failures or not len(each_metrics.codes):
            await asyncio.sleep(0.01)
        ward.emit(pulse(10, 70))
        while not ward.said(item=PULSE_ID):
            await asyncio.sleep(0.02)
        task.cancel()

    ward.policies = read_policies(POLICIES)
    ward.store.rows("UPDATE chart_progress SET charted_until = now() RETURNING 1")
    asyncio.run(asyncio.wait_for(until_charted(), 30))
    assert ward.said(item=PULSE_ID) == [(10, "preliminary", 70, 1)]
