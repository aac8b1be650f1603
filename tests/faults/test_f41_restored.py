"""F41: the database is restored to some seconds ago, and everything else runs on."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emr_store.connect import open_store
from schemas.report import Lane
from tests.faults import ward
from tests.faults.clusters import START_S, Server
from tests.faults.conftest import by_length
from tests.faults.oracles import (
    RECOVERY_S,
    Outcome,
    check_witness,
    count,
    events,
    flowing,
    settle,
    stored_batches,
    until,
)
from tests.faults.system import System

# Small batches, so that soon there are many that the restored store is sent again.
SMALL_BATCHES, HISTORY_S = "cut_after_s = 0.02\n", by_length(20, quick=3, long=300)
LOST_S = by_length(6, quick=3, long=60)
MEANWHILE_S = by_length(10, quick=3)
# The goal is a second, which a loaded machine can miss; that new values do not wait for old ones is what fails here.
LIVE_GOAL_S, LIVE_MAX_S = 1.0, 5.0
POINT = "yesterday"

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def test_f41_restored(tmp_path: Path, kafka: str, outcome: Outcome) -> None:
    """What the restored store lacks comes again from what edges hold, behind what is new."""
    servers = tmp_path / "servers"
    servers.mkdir()
    store = Server(servers, "store")
    restored = Server(servers, "restored", store.port)
    try:
        store.make()
        with ward.running(tmp_path, kafka, store.address, edge_settings=SMALL_BATCHES) as (system, senders):
            time.sleep(HISTORY_S)
            _cut_as_usual(system)
            usual_since = datetime.now(UTC)
            store.copy_to("restored")
            flowing(system, senders)
            store.ask(f"SELECT pg_create_restore_point('{POINT}')")
            has = stored_batches(store.address)
            _archive(store)
            time.sleep(LOST_S)
            lost = stored_batches(store.address) - has
            assert lost
            outcome.usual_p99_s = _live_p99_s(system, usual_since)
            store.kill()
            began = time.monotonic()
            restored.recover_to(POINT)
            flowing(system, senders)
            since = datetime.now(UTC)
            until(lambda: lost <= stored_batches(store.address), RECOVERY_S, "all that was lost is sent again")
            outcome.resent_s = time.monotonic() - began
            time.sleep(MEANWHILE_S)
            outcome.live_p99_s = _live_p99_s(system, since)
            settle(system, senders, outcome)
            assert events(system, "store-changed") == 1
            check_witness(system)
            assert count(system, "SELECT sum(duplicates) FROM ledger") > len(has) // 2  # and what was not lost, too
            assert outcome.live_p99_s < LIVE_MAX_S, f"goal {LIVE_GOAL_S} s"
    finally:
        store.stop()
        restored.stop()


def _cut_as_usual(system: System) -> None:
    """From now on batches are as large as they are in a ward."""
    system.stop("edge")
    config = system.folder / "edge.toml"
    config.write_text(config.read_text().replace(SMALL_BATCHES, ""))
    system.start("edge")


def _archive(store: Server) -> None:
    """Have all that is written now in the archive."""
    segment = store.ask("SELECT pg_walfile_name(pg_switch_wal())")
    archived = f"SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver"
    until(lambda: bool(store.ask(archived)), START_S, "the log is archived")


def _live_p99_s(system: System, since: datetime) -> float:
    """Of what the edge has received since then and sent by the live lane: until it was stored."""
    sql = (
        "SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM b.stored_at - r.received_at))"
        " FROM report r JOIN batch b USING (batch) WHERE b.lane = %s AND r.received_at > %s"
    )
    with open_store(system.database) as conn:
        row = conn.execute(sql, (int(Lane.LIVE), since)).fetchone()
    assert row is not None
    assert row[0] is not None, "nothing live was stored"
    return float(row[0])
