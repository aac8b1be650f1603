"""`vitalwire restore`: a cluster out of a base backup and the log, counted and verified before anybody writes to it."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from emr_store import proof
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.restored import record_restored
from emr_store.store_counts import StoreCounts, StreamEnd, count_store, replayed_until, server_facts, stream_ends
from emr_store.verification import Verification
from evidence.verification import Trust
from runtime.errors import UserError
from schemas.errors import VitalwireError
from stream_processors.mapping import remap
from vitalwire.backup import scratch
from vitalwire.backup.config import BackupConfig, conninfo
from vitalwire.backup.folder import SEALED, BackupFolder, BaseBackup
from vitalwire.backup.plan import RestorePlan
from vitalwire.backup.programs import Programs, Progress
from vitalwire.backup.sealing import read_identity, read_passphrase, unseal
from vitalwire.verify import revalidate

COUNTED = ("reports", "batches", "acts", "chart_entries", "log_size")
OF_PEOPLE = ("acts", "chart_entries")  # what no edge sends again


@dataclass(frozen=True)
class Restored:
    """What came back. `known` is the newest that is known of the store before: by what was noted beside its log, or by
    itself; `missing` what it had more. Times in seconds. `act`: whether the act `store.restored` is in it, and why not;
    None: it was not to be.
    """

    target: Path
    counts: StoreCounts
    known: StoreCounts | None
    replayed_until: datetime | None
    timeline: int
    streams: list[StreamEnd]
    verification: Verification | None
    seconds: dict[str, float] = field(default_factory=dict)
    act: str | None = None  # "": it is there

    @property
    def missing(self) -> dict[str, int]:
        """What the store is known to have had and lacks now."""
        if self.known is None:
            return {}
        return {name: max(0, getattr(self.known, name) - getattr(self.counts, name)) for name in COUNTED}

    def not_held_until(self, receipt_hold_h: float, now: datetime) -> datetime | None:
        """What the store lacks of before this moment no edge holds any more; None: they hold all that it lacks."""
        held_since = now - timedelta(hours=receipt_hold_h)
        newest = self.counts.newest_stored_at
        return held_since if newest is not None and newest < held_since else None


def restore(
    config: BackupConfig, plan: RestorePlan, target: Path, progress: Progress, *, trust: Trust,
    verify_last: timedelta | None, known: StoreCounts | None = None, keep_history: bool = True,
    author: Author | None = None,
) -> Restored:  # fmt: skip
    """Fill the folder `target`, which `check_target` allows, and leave it ready for the start, stopped in good order.

    `verify_last`: what was stored in so long before the restored moment is verified; None: nothing, timedelta.max: all.
    `keep_history`: the new timeline is noted beside the log, so that no other restore takes its number.
    `author`: who restores, and why, of whom an act in the restored store says so; None: it says nothing (a drill).
    """
    folder, programs, database = BackupFolder(config.folder), Programs.of(config), conninfo(config)
    timer = _Timer()
    _copy(programs, folder.data(plan.backup), target, plan.backup.bytes, progress)
    scratch.put_files(programs, target)
    programs.as_owner("touch", target / "recovery.signal")
    timer.note("copied")
    options = scratch.settings(plan, folder, target)
    with scratch.started(programs, target, options, database, plan, progress) as where, open_store(where) as conn:
        timer.note("replayed")
        counts, timeline = count_store(conn), server_facts(conn).timeline
        until, streams = replayed_until(conn), stream_ends(conn)
        timer.note("counted")
        verification = None
        if verify_last is not None:
            since = None
            if verify_last != timedelta.max and counts.newest_stored_at is not None:
                since = counts.newest_stored_at - verify_last
            verification = proof.verify(conn, since, trust=trust, revalidate=revalidate, remap=remap,
                                        on_progress=_of_verification(progress))  # fmt: skip
            timer.note("verified")
        known = known or last_noted(folder)
        restored = Restored(target, counts, known, timeline=timeline, replayed_until=until, streams=streams,
                            verification=verification, seconds=timer.seconds)  # fmt: skip
        if author is not None:
            restored = replace(restored, act=record_restored(where, author, _details(restored, plan)))
    scratch.remove_files(programs, target)
    if keep_history:
        _keep_history(programs, folder, target, timeline)
    timer.note("stopped")
    return restored


def _details(restored: Restored, plan: RestorePlan) -> dict[str, Any]:
    """What the act says: from what, to which moment, and how much there is; null is "not known"."""
    verification = restored.verification
    return {
        "backup": plan.backup.name,
        "until": None if plan.until is None else plan.until.isoformat(),
        "replayed_until": None if restored.replayed_until is None else restored.replayed_until.isoformat(),
        "timeline": restored.timeline,
        "counts": {name: getattr(restored.counts, name) for name in COUNTED},
        "missing": restored.missing if restored.known is not None else None,
        "segments_missing": len(plan.lost),
        "findings": None if verification is None else len(verification.findings),
    }


def last_noted(folder: BackupFolder) -> StoreCounts | None:
    """How much the store held when that was noted last, with a base backup or a minute of the log."""
    found = [*folder.noted(), *(backup.counts for backup in folder.backups())]
    return max(found, key=lambda counts: counts.at, default=None)


class _Timer:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last_s = time.monotonic()

    def note(self, name: str) -> None:
        now_s = time.monotonic()
        self.seconds[name], self._last_s = round(now_s - self._last_s, 3), now_s


def _copy(programs: Programs, data: Path, target: Path, size: int, progress: Progress) -> None:
    """By file systems that can, without copying a byte."""
    progress(f"{size / 1e9:.1f} GB are copied", None)
    if not target.exists() and os.geteuid() == 0:  # PostgreSQL's user may not make it there
        owner = data.stat()
        target.mkdir(mode=0o700)
        os.chown(target, owner.st_uid, owner.st_gid)
    source = f"{data}/." if target.is_dir() else data
    mend = f"PostgreSQL's user must be able to write to {target}, and to pass through what is above it"
    programs.as_owner("cp", "-a", "--reflink=auto", source, target, mend=mend)
    programs.as_owner("chmod", "700", target)
    # Of the old server, where its socket lay in its data folder: its number may be another process's by now.
    programs.as_owner("sh", "-c", 'rm -f "$1"/.s.PGSQL.*', "sh", target)


def _of_verification(progress: Progress) -> Callable[[str, int, int | None], None]:
    return lambda what, done, of: progress(f"verified: {what}", done / of if of else None)


def _keep_history(programs: Programs, folder: BackupFolder, target: Path, timeline: int) -> None:
    name = f"{timeline:08X}.history"
    if not (folder.wal / name).exists():
        programs.as_owner("cp", target / "pg_wal" / name, folder.wal / name)


# --- keys and configuration -------------------------------------------------------------------------------------------


def open_keys(
    folder: BackupFolder, backup: BaseBackup, identity: Path | None, passphrase_file: Path | None
) -> bytes | None:
    """The archive of keys and configuration; None where the backup has none. Raises UserError for the wrong key."""
    path = folder.base / backup.name / SEALED
    if not path.is_file():
        if backup.sealed_files:
            raise UserError(f"{path} is gone: take keys and configuration from another backup (--base)")
        return None
    if identity is None and passphrase_file is None:
        raise UserError(f"{path} is encrypted: give --identity (of `vitalwire backup keygen`) or --passphrase-file")
    key = read_identity(identity) if identity is not None else read_passphrase(passphrase_file or Path())
    return unseal(path.read_bytes(), key, str(path))


def put_keys(archive: bytes, into: Path) -> list[Path]:
    """The files, below a new folder that only its owner can read; their old paths go on below it."""
    if into.exists():
        raise UserError(f"{into} exists: keys are put into a new folder, so that none is overwritten")
    old_mask = os.umask(0o077)
    try:
        into.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
            packed.extractall(into, filter="data")
        for path in into.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
    except (tarfile.TarError, OSError) as error:
        raise VitalwireError(f"keys and configuration cannot be put into {into}: {error}") from None
    finally:
        os.umask(old_mask)
    return sorted(path for path in into.rglob("*") if path.is_file())
