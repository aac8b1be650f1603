"""F41: the database is restored to some seconds ago, by base backup and log, and everything else runs on."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emr_store.connect import open_store
from evidence.verification import Trust
from schemas.report import Lane
from tests.faults import ward
from tests.faults.clusters import Server, received, silent
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
from vitalwire.backup.config import BackupConfig
from vitalwire.backup.plan import check_target, plan_restore
from vitalwire.backup.restoring import Restored, restore
from vitalwire.backup.take import take_backup

# Small batches, so that soon there are many that the restored store is sent again.
SMALL_BATCHES, HISTORY_S = "cut_after_s = 0.02\n", by_length(20, quick=3, long=300)
LOST_S = by_length(6, quick=3, long=600)
MEANWHILE_S = by_length(10, quick=3)
# The goal is a second, which a loaded machine can miss; that new values do not wait for old ones is what fails here.
LIVE_GOAL_S, LIVE_MAX_S = 1.0, 5.0
RECEIPT_HOLD_H = 24.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


def test_f41_restored(tmp_path: Path, kafka: str, outcome: Outcome) -> None:
    """What the restored store lacks comes again from what edges hold, behind what is new."""
    servers = tmp_path / "servers"
    servers.mkdir()
    store = Server(servers, "store")
    restored = Server(servers, "restored", store.port)
    try:
        store.make()
        config = store.backup_config()
        with ward.running(tmp_path, kafka, store.address, edge_settings=SMALL_BATCHES) as (system, senders):
            time.sleep(HISTORY_S)
            _cut_as_usual(system)
            usual_since = datetime.now(UTC)
            with received(config):
                take_backup(config, silent)
                flowing(system, senders)
                moment, has = datetime.now(UTC), stored_batches(store.address)
                time.sleep(LOST_S)
                lost = stored_batches(store.address) - has
                assert lost
                outcome.usual_p99_s = _live_p99_s(system, usual_since)
                store.kill()
            began = time.monotonic()
            found = _restore(config, moment, restored.data)
            restored.start()
            outcome.restore_rto_s = time.monotonic() - began
            assert found.missing["reports"] > 0  # counted, and the edges hold it
            assert found.not_held_until(RECEIPT_HOLD_H, datetime.now(UTC)) is None
            flowing(system, senders)
            since = datetime.now(UTC)
            until(lambda: lost <= stored_batches(store.address), RECOVERY_S, "all that was lost is sent again")
            outcome.resent_s = time.monotonic() - began
            time.sleep(MEANWHILE_S)
            outcome.live_p99_s = _live_p99_s(system, since)
            settle(system, senders, outcome)
            outcome.restore_rpo_reports = outcome.lost
            assert events(system, "store-changed") == 1
            check_witness(system)
            assert count(system, "SELECT sum(duplicates) FROM ledger") > len(has) // 2  # and what was not lost, too
            assert outcome.live_p99_s < LIVE_MAX_S, f"goal {LIVE_GOAL_S} s"
    finally:
        store.stop()
        restored.stop()


def _restore(config: BackupConfig, moment: datetime, target: Path) -> Restored:
    """As `vitalwire restore --to MOMENT --verify none`: with everything waiting, it is verified afterwards."""
    plan = plan_restore(config, moment, silent)
    check_target(target, plan)
    return restore(config, plan, target, silent, trust=Trust(), verify_last=None)


def _cut_as_usual(system: System) -> None:
    """From now on batches are as large as they are in a ward."""
    system.stop("edge")
    config = system.folder / "edge.toml"
    config.write_text(config.read_text().replace(SMALL_BATCHES, ""))
    system.start("edge")


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
