"""The volume of the broker is full, or the database's: nothing is lost, people are told, and it goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from emr_store.fleet import UNHEARD_AFTER_S
from runtime.errors import EXIT_UNREACHABLE
from tests.commands import vitalwire
from tests.faults import ward
from tests.faults.clusters import Server
from tests.faults.conftest import NOT_QUICK, by_length
from tests.faults.oracles import Outcome, count, events, settle, until
from tests.faults.senders import Sender
from tests.faults.system import System
from tests.faults.volumes import fill, free, volume
from tests.own_kafka import OwnKafka

# Longer than it takes until the fleet's page and the box say that something is wrong.
FULL_S = by_length(75, quick=75, long=300)
NOTICED_S = 60
BROKER_MB, DATABASE_MB = 300, 400
DISK = "No space left on device"

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600), NOT_QUICK]


def test_broker_disk_full(tmp_path: Path, database: str, outcome: Outcome) -> None:
    """Kafka ends itself at the first write that fails; what it had not taken waits on the box."""
    (tmp_path / "services" / "kafka").mkdir(parents=True)
    with (
        volume(tmp_path / "services" / "kafka" / "data", BROKER_MB) as data,
        OwnKafka(tmp_path / "services") as broker,
        ward.running(tmp_path, broker.address, database) as (system, senders),
    ):
        began = time.monotonic()
        fill(data)
        until(lambda: not broker.answers(), NOTICED_S, "it ends at the first write that fails")
        assert DISK in "".join(log.read_text() for log in broker.kafka.glob("log*"))
        full(system, senders, began)
        check_status(system)
        free(data)
        broker.start()
        settle(system, senders, outcome)
        assert events(system, "broker-lost") >= 1
        assert events(system, "broker-away") >= 1  # a minute, with what waits and for how long there is room
        assert events(system, "broker-reached") >= 2


def test_database_disk_full(tmp_path: Path, kafka: str, outcome: Outcome) -> None:
    """PostgreSQL refuses what needs room and can be read, or ends; no batch becomes a dead letter."""
    with volume(tmp_path / "servers", DATABASE_MB) as data:
        store = Server(data, "store")
        try:
            store.make()
            with ward.running(tmp_path, kafka, store.address) as (system, senders):
                began = time.monotonic()
                fill(data)
                log = system.folder / "processors.log"
                until(lambda: "DiskFull" in log.read_text() or store.has_ended(), NOTICED_S, "it cannot write")
                full(system, senders, began)
                if store.can_be_asked():
                    check_status(system)
                else:  # it was its log that had no room: it has ended, or tries to start
                    check_unreachable(system)
                assert DISK in (data / "store.log").read_text()
                free(data)
                store.resume()
                settle(system, senders, outcome)
                assert events(system, "receipts-away") >= 1
                assert count(system, "SELECT count(*) FROM dead_letter") == 0
        finally:
            store.stop()


def full(system: System, senders: list[Sender], began: float) -> None:
    """The bedside notices nothing meanwhile."""
    acked = sum(len(sender.acked) for sender in senders)
    time.sleep(max(0.0, FULL_S - (time.monotonic() - began)))
    assert sum(len(sender.acked) for sender in senders) > acked + 100


def check_unreachable(system: System) -> None:
    """Nothing can be asked: that is said, with what to look at."""
    code, text = vitalwire("status", "--database", system.database)
    assert code == EXIT_UNREACHABLE
    assert "the store cannot be reached" in text
    assert "is its disk full" in text


def check_status(system: System) -> None:
    """It names the hospital's side, and what each box had said."""
    where = ("--database", system.database)
    code, text = vitalwire("status", *where)
    assert code == 0, text
    assert "Nothing of any box was stored for 1 min" in text
    assert "their disks: vitalwire doctor" in text
    code, text = vitalwire("status --json", *where)
    (trouble,) = json.loads(text)["edges_in_trouble"]
    assert trouble["trouble"].startswith("nothing heard for 1 min")
    assert UNHEARD_AFTER_S < FULL_S
