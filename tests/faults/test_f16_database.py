"""F16: the database is down: nothing is acknowledged past what is stored, and alarms still reach people."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from emr_store.connect import open_store
from evidence import statement
from evidence.alarm import TRANSITION_MAGIC
from evidence.block_seal import SEAL_BYTES
from evidence.seal import batch_id
from schemas.block import read_block
from schemas.topics import ALERTS
from tests.faults import ward
from tests.faults.conftest import Services, by_length
from tests.faults.oracles import Outcome, count, settle, until
from tests.faults.senders import SPO2, MllpSender
from tests.faults.topics import committed, ends, messages, reader

DOWN_S = by_length(30, quick=6, long=120)
# The goal is a second, which a loaded machine can miss; that alarms wait for no database is what fails here.
ALARM_GOAL_S, ALARM_MAX_S = 1.0, 5.0
ALARMS = 5

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


def test_f16_database_down(services: Services, tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """Killed, and away for 30 s (6 s in the quick run, two minutes in the long one)."""
    with ward.running(tmp_path, kafka, database) as (system, senders):
        began = time.monotonic()
        services("kill", "timescaledb")
        beds = [MllpSender(("127.0.0.1", system.mllp), "icu", str(number)) for number in range(90, 90 + ALARMS)]
        slowest_s = _slowest_alarm_s(kafka, beds)
        held = committed(kafka, "vitalwire-store")
        time.sleep(max(0.0, DOWN_S - (time.monotonic() - began)))
        acknowledged = committed(kafka, "vitalwire-store")
        assert held == acknowledged
        system.signal_workers(signal.SIGSTOP)  # so that the store is looked at as it was left
        services("start", "timescaledb")
        with open_store(database) as conn:
            stored = {bytes(row[0]) for row in conn.execute("SELECT batch_id FROM batch")}
        signed = {place: end for place, end in acknowledged.items() if place[0].endswith(".signed")}
        transition = [read_block((m.value() or b"")[SEAL_BYTES:]) for m in messages(kafka, signed)]
        assert transition
        assert all(batch_id(sealed) in stored for block in transition for sealed in block.batches)
        system.signal_workers(signal.SIGCONT)
        settle(system, senders, outcome, beds)
        until(lambda: count(system, "SELECT count(*) FROM alarm_episode") == ALARMS, 10, "the alarms are filed")
        outcome.slowest_alarm_s = slowest_s
        assert slowest_s < ALARM_MAX_S, f"goal {ALARM_GOAL_S} s"
        assert '"stage": "store"' in (tmp_path / "processors.log").read_text()


def _slowest_alarm_s(kafka: str, beds: Sequence[MllpSender]) -> float:
    """Each bed measures a value below the limit: the longest time until its alarm was on the topic."""
    consumer = reader(kafka)
    consumer.assign([TopicPartition(topic, p, end) for (topic, p), end in ends(kafka, ALERTS).items()])
    assert consumer.poll(1) is None  # connected, and at the end
    slowest_s = 0.0
    for bed in beds:
        began = time.monotonic()
        bed.send(SPO2, 55)
        message = consumer.poll(10)
        slowest_s = max(slowest_s, time.monotonic() - began)
        assert message is not None, "no alarm"
        transition = json.loads(statement.decode(message.value() or b"", TRANSITION_MAGIC).body)
        assert transition["device"] == str(bed.device)
    consumer.close()
    return slowest_s
