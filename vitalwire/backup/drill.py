"""`vitalwire backup drill`: a restore to a scratch server, measured, counted, verified, and removed again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from emr_store.connect import StoreError, open_store
from emr_store.store_counts import StoreCounts, count_store
from evidence.verification import Trust
from vitalwire.backup.config import BackupConfig, conninfo
from vitalwire.backup.folder import BackupFolder
from vitalwire.backup.plan import RestorePlan, check_target, plan_restore
from vitalwire.backup.programs import Programs, Progress
from vitalwire.backup.restoring import COUNTED, Restored, last_noted, restore


@dataclass(frozen=True)
class Drill:
    """`rto_s`: from the command to a database that could be started, counted; what was verified is not in it.

    `behind_s`: by how much the newest report of the restored store is older than that of the store as it was when the
    drill began. `is_live`: that was asked of the running store; else it is what was noted last.
    """

    plan: RestorePlan
    restored: Restored
    rto_s: float
    behind_s: float | None
    is_live: bool

    def figures(self, receipt_hold_h: float, now: datetime) -> dict[str, float | int | bool | None]:
        """`restore_rpo_reports`: those that are lost for good; 0 where edges hold all that the restored store lacks."""
        restored, missing = self.restored, self.restored.missing
        lost = restored.not_held_until(receipt_hold_h, now) is not None
        found = restored.verification
        return {
            "restore_rto_s": round(self.rto_s, 2),
            "restore_rpo_reports": missing.get("reports", 0) if lost else 0,
            "behind_s": None if self.behind_s is None else round(self.behind_s, 2),
            **{f"missing_{name}": missing.get(name, 0) for name in COUNTED},
            "verify_s": restored.seconds.get("verified"),
            "findings": None if found is None else len(found.findings),
            "compared_with_running_store": self.is_live,
        }  # fmt: skip


def run_drill(
    config: BackupConfig, until: datetime | None, target: Path, progress: Progress, *, trust: Trust,
    verify_last: timedelta | None,
) -> Drill:  # fmt: skip
    """Restore into `target`, which is removed again whatever comes of it. Raises UserError as `restore` does."""
    known, is_live = _known(config)
    began_s = time.monotonic()
    plan = plan_restore(config, until, progress)
    check_target(target, plan)
    programs = Programs.of(config)
    try:
        restored = restore(config, plan, target, progress, trust=trust, verify_last=verify_last, known=known,
                           keep_history=False)  # fmt: skip
    finally:
        programs.remove(target)
    took_s = time.monotonic() - began_s - restored.seconds.get("verified", 0.0)
    behind_s = None
    if known is not None and known.newest_stored_at is not None and restored.counts.newest_stored_at is not None:
        behind_s = max(0.0, (known.newest_stored_at - restored.counts.newest_stored_at).total_seconds())
    return Drill(plan, restored, took_s, behind_s, is_live)


def _known(config: BackupConfig) -> tuple[StoreCounts | None, bool]:
    """How much the store holds, and whether it said so itself."""
    try:
        with open_store(conninfo(config)) as conn:
            return count_store(conn), True
    except StoreError:
        return last_noted(BackupFolder(config.folder)), False
