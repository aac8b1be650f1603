"""F1 and F3: the agent killed, at any moment and at the worst one."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults import ward
from tests.faults.conftest import by_length
from tests.faults.oracles import Outcome, count, events, settle, until
from tests.faults.topics import ends

KILLS = by_length(200, quick=15)
ROUNDS = by_length(10, quick=2)
MQTT_KILLS, MQTT_HZ = by_length(5, quick=2), 1500
WAIT_S = 20

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


def test_f01_edge_killed(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """SIGKILL at random, 200 times under load (15 in the quick run)."""
    with ward.running(tmp_path, kafka, database) as (system, senders):
        before = sum(len(s.acked) for s in senders)
        for _ in range(KILLS):
            time.sleep(random.uniform(0.2, 0.7))
            system.stop("edge", signal.SIGKILL)
            system.start("edge")
        assert sum(len(s.acked) for s in senders) > before + KILLS
        settle(system, senders, outcome)
        assert events(system, "started") > KILLS / 2  # the others did not live so long


def test_f01_mqtt_load(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """SIGKILL five times (twice in the quick run) in the middle of 1,500 MQTT messages a second."""
    with ward.running(tmp_path, kafka, database, mqtt_rate_hz=MQTT_HZ) as (system, senders):
        before, began = sum(len(s.acked) for s in senders), time.monotonic()
        for _ in range(MQTT_KILLS):
            time.sleep(random.uniform(1.5, 3.0))
            system.stop("edge", signal.SIGKILL)
            system.start("edge")
        spent_s = time.monotonic() - began
        assert sum(len(s.acked) for s in senders) - before > 0.8 * MQTT_HZ * spent_s
        settle(system, senders, outcome)


def test_f03_edge_killed_before_receipt(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """Killed when Kafka has acknowledged batches that have no receipt: they are sent again, and stored once."""

    def published() -> int:
        return sum(ends(kafka, ".raw").values())

    def two_more() -> None:
        before = published()
        until(lambda: published() >= before + 2, WAIT_S, "two batches published, and no receipt for them")

    with ward.running(tmp_path, kafka, database) as (system, senders):
        for _ in range(ROUNDS):
            system.signal_workers(signal.SIGSTOP)
            two_more()
            system.stop("edge", signal.SIGKILL)
            system.start("edge")
            two_more()
            system.signal_workers(signal.SIGCONT)
        settle(system, senders, outcome)
        kept = count(system, "SELECT count(*) FROM batch")
        duplicates = count(system, "SELECT sum(duplicates) FROM ledger")
        assert duplicates >= 2 * ROUNDS
        assert events(system, "started") > ROUNDS
        assert kept + duplicates >= published()  # a worker that is started again may validate a block twice
        assert kept == count(system, "SELECT count(DISTINCT (spool, lane, batch_no)) FROM batch")
