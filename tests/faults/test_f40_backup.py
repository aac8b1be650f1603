"""F40: backup and restore beside a ward at work: to a moment, with a lost log, a wrong key, to an older state."""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec import structs

from emr_store import registry
from emr_store.connect import open_store
from emr_store.log import newest_checkpoint
from emr_store.store_counts import StoreCounts, count_store
from evidence.verification import OutsideCheckpoint, Trust
from runtime.errors import UserError
from tests.faults import ward
from tests.faults.clusters import Server, received, silent
from tests.faults.conftest import by_length
from tests.faults.oracles import RECOVERY_S, Outcome, settle, until
from tests.making import Key
from vitalwire.backup import words
from vitalwire.backup.config import BackupConfig
from vitalwire.backup.drill import run_drill
from vitalwire.backup.folder import BackupFolder
from vitalwire.backup.plan import RestorePlan, plan_restore
from vitalwire.backup.restoring import Restored, open_keys, restore
from vitalwire.backup.take import take_backup

HISTORY_S = by_length(10, quick=1, long=120)
RECEIPT_HOLD_H = 24.0
ALL = timedelta.max
LATE_ACTS = 3

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def test_f40_backup(tmp_path: Path, kafka: str, outcome: Outcome) -> None:
    """What comes back is counted and verified, what does not is named, and nobody at the bedside notices any of it."""
    servers = tmp_path / "servers"
    servers.mkdir()
    store = Server(servers, "store")
    try:
        store.make()
        config = _with_keys(store.backup_config(), tmp_path)
        with ward.running(tmp_path, kafka, store.address) as (system, senders):
            platform = (system.platform_der,)
            with received(config):
                take_backup(config, silent)
                _register_box(store)
                time.sleep(HISTORY_S)
                then, moment = _counts(store), datetime.now(UTC)
                for _ in range(LATE_ACTS):
                    _register_box(store)
                witnessed = _witnessed(store)
                _switch_and_catch_up(store)
                drill = run_drill(config, None, config.folder / "drill", silent, trust=Trust(platform), verify_last=ALL)
            _check_latest(drill.restored, drill.figures(RECEIPT_HOLD_H, datetime.now(UTC)))
            outcome.restore_rto_s = drill.rto_s
            older = _replayed(config, plan_restore(config, moment, silent), Trust(platform, (), (witnessed,)))
            _check_moment(older, moment, then)
            _check_lost_log(config)
            _check_wrong_passphrase(config, tmp_path)
            settle(system, senders, outcome)
    finally:
        store.stop()


def _check_latest(restored: Restored, figures: dict[str, float | int | bool | None]) -> None:
    """Acts come back from the log alone, to the last one."""
    assert restored.verification is not None
    assert not restored.verification.findings
    assert restored.missing["acts"] == 0
    assert figures["restore_rpo_reports"] == 0
    assert figures["compared_with_running_store"] is True


def _check_moment(restored: Restored, moment: datetime, then: StoreCounts) -> None:
    """It is that moment's state; that it is an older one is counted, and a checkpoint kept outside shows it."""
    assert restored.counts.acts == then.acts
    assert restored.replayed_until is not None
    assert restored.replayed_until <= moment
    assert then.reports <= restored.counts.reports
    assert restored.missing["acts"] >= LATE_ACTS
    assert restored.missing["reports"] > 0
    assert restored.verification is not None
    assert any("of an edge" in f"{found.where} {found.what}" for found in restored.verification.findings)


def _check_lost_log(config: BackupConfig) -> None:
    """A segment is gone: it is named, and nothing is touched; what there is without it is counted.

    Who trusts another platform's key is told that nothing of it is proved.
    """
    folder = BackupFolder(config.folder)
    (backup,) = folder.backups()
    segments = sorted(path for path in folder.wal.iterdir() if path.is_file() and not path.suffix)
    lost = next(path for path in segments if int(path.name[-8:], 16) > backup.last_segment)
    lost.unlink()
    with pytest.raises(UserError, match=lost.name):
        plan_restore(config, None, silent)
    plan = plan_restore(config, None, silent, until_gap=True)
    found = _replayed(config, plan, Trust((Key().public_der,)))
    assert any("acts" in each for each in words.findings(found, plan, RECEIPT_HOLD_H, datetime.now(UTC)))
    assert found.verification is not None
    assert any("key" in finding.what for finding in found.verification.findings)


def _check_wrong_passphrase(config: BackupConfig, folder: Path) -> None:
    """Keys and configuration open for one passphrase alone."""
    (backup,) = BackupFolder(config.folder).backups()
    with pytest.raises(UserError, match="does not open"):
        open_keys(BackupFolder(config.folder), backup, None, _passphrase(folder / "wrong"))
    assert open_keys(BackupFolder(config.folder), backup, None, config.passphrase_file)


def _replayed(config: BackupConfig, plan: RestorePlan, trust: Trust) -> Restored:
    target = config.folder / f"restored-{secrets.token_hex(4)}"
    return restore(config, plan, target, silent, trust=trust, verify_last=ALL, keep_history=False)


def _with_keys(config: BackupConfig, folder: Path) -> BackupConfig:
    """The platform's key and the edge's configuration are backed up, too."""
    included = folder / "etc"
    included.mkdir()
    (included / "platform.key").write_text("a key")
    return structs.replace(config, include=(included,), passphrase_file=_passphrase(folder / "passphrase"))


def _passphrase(path: Path) -> Path:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(secrets.token_hex(16))
    return path


def _register_box(store: Server) -> None:
    """An act, which no edge sends again."""
    with open_store(store.address) as conn:
        registry.add_edge(conn, uuid4(), "a box that is never heard", Key().public_der)


def _counts(store: Server) -> StoreCounts:
    with open_store(store.address) as conn:
        return count_store(conn)


def _witnessed(store: Server) -> OutsideCheckpoint:
    """As an edge keeps it: of a log that has the late acts."""
    with open_store(store.address) as conn:
        until(lambda: conn.execute("SELECT FROM unlogged WHERE act IS NOT NULL").rowcount == 0, RECOVERY_S, "logged")
        time.sleep(1)  # the checkpoint follows
        return OutsideCheckpoint("of an edge", newest_checkpoint(conn))


def _switch_and_catch_up(store: Server) -> None:
    """The log goes on in another segment, and all of it was received."""
    _register_box(store)
    store.ask("SELECT pg_switch_wal()::text")
    _register_box(store)
    store.ask("SELECT pg_switch_wal()::text")
    end = store.ask("SELECT pg_current_wal_flush_lsn()::text")
    sql = f"SELECT count(*) FROM pg_stat_replication WHERE write_lsn >= '{end}'"
    until(lambda: store.ask(sql) == 1, RECOVERY_S, "the log is received")
