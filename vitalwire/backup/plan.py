"""What a restore would do, and all that is in its way, before anything is touched."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from vitalwire.backup.config import BackupConfig
from vitalwire.backup.folder import MANIFEST, BackupFolder, BaseBackup, line_of, newest_line
from vitalwire.backup.programs import Programs, Progress
from vitalwire.backup.take import VERSION_STEP
from vitalwire.backup.wal import PARTIAL, ArchivedFile, Line, Reach, Segment, names, reach
from vitalwire.backup.waldump import last_commit_at

SPARE_BYTES = 2 << 30  # beside the data: what recovery itself writes
LOOK_BACK_MAX = 50  # segments without a commit before the last one that are looked at


@dataclass(frozen=True)
class RestorePlan:
    """From which backup, along which timeline, to which moment (None: to the end of the log).

    `reaches` is when the last transaction of the log that is there was committed; None: none since the backup.
    `lost` are segments that are missing later than what is needed.
    """

    backup: BaseBackup
    line: Line
    until: datetime | None
    reaches: datetime | None
    segments: tuple[Segment, ...]
    lost: tuple[Segment, ...]

    @property
    def wal_bytes(self) -> int:
        """What is replayed."""
        return len(self.segments) * self.backup.segment_bytes


def plan_restore(
    config: BackupConfig, until: datetime | None, progress: Progress, *, name: str = "", timeline: int = 0,
    until_gap: bool = False,
) -> RestorePlan:  # fmt: skip
    """`name`: of another base backup than the newest that is old enough; `timeline`: another than the newest that came
    from it; `until_gap`: as far as the log goes.

    Raises UserError: no backup, of another system, files of it changed, the log lacks what is needed (which is named).
    """
    folder, programs = BackupFolder(config.folder), Programs.of(config)
    backups = folder.need_backups()
    _check_one_system(folder, backups)
    backup = _chosen(backups, until, name)
    check_version(programs, backup, config)
    archive = folder.segments_of(backup)
    check_owner(folder, backup, archive)
    line = line_of(folder, backup, timeline) if timeline else newest_line(folder, backup, archive)
    found = reach(line, backup.first_segment, archive)
    reaches = reach_of(folder, programs, backup, found)
    _check_reach(backup, found, until, reaches, until_gap=until_gap)
    progress("the base backup is held against its manifest", None)
    verify_files(folder, programs, backup)
    return RestorePlan(backup, line, until, reaches, found.contiguous, found.missing)


def check_target(target: Path, plan: RestorePlan) -> None:
    """Raises UserError: in use, of another cluster, not empty, no room."""
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file: name an empty folder, or one that is not there yet")
    if target.is_dir() and any(target.iterdir()):
        what = "a database cluster" if (target / "PG_VERSION").exists() else "files"
        raise UserError(f"{target} has {what} in it, and nothing is ever overwritten: name an empty folder")
    parent = target.parent
    if not parent.is_dir():
        raise UserError(f"{parent} is no folder: make it, or name another one")
    free, needed = shutil.disk_usage(parent).free, plan.backup.bytes + SPARE_BYTES
    if free < needed:
        raise UserError(f"{target} has room for {free / 1e9:.1f} GB, and {needed / 1e9:.1f} GB are needed: make room")


def verify_files(folder: BackupFolder, programs: Programs, backup: BaseBackup) -> None:
    """Hold a base backup's files against its manifest; raises UserError, exit 4."""
    data = folder.data(backup)
    if not (data / MANIFEST).is_file():
        raise UserError(f"{data / MANIFEST} is gone: this backup cannot be checked; use another (--base)")
    done = programs.tried("pg_verifybackup", "--quiet", "--no-parse-wal", data)
    if done.returncode != 0:
        lines = [line.removeprefix("pg_verifybackup: error: ") for line in done.stderr.splitlines() if line.strip()]
        raise UserError(
            f"the base backup {backup.name} is not what was written: {'; '.join(lines[:3])}: use another (--base, see"
            " `vitalwire backup list`)", EXIT_DOES_NOT_HOLD,
        )  # fmt: skip


def check_version(programs: Programs, backup: BaseBackup, config: BackupConfig) -> None:
    """Raises UserError where the programs are of another version than the server that was backed up."""
    if (major := programs.major_version()) != backup.version // VERSION_STEP:
        raise UserError(
            f"the backup is of PostgreSQL {backup.version // VERSION_STEP}, and {config.programs} has the programs of"
            f" {major}: install that version, and name it with `programs`"
        )


def check_owner(folder: BackupFolder, backup: BaseBackup, archive: set[ArchivedFile]) -> None:
    """Raises UserError for a segment that another system wrote."""
    for file in sorted(archive, key=lambda each: (each.segment, each.is_partial)):
        if not folder.path_of(file, backup.segment_bytes).exists():
            continue  # the base backup's own, which its manifest is over
        header = folder.header(file, backup.segment_bytes)
        if header is not None and str(header.system_identifier) != backup.system_identifier:
            raise UserError(
                f"{folder.path_of(file, backup.segment_bytes)} was written by another system"
                f" ({header.system_identifier}; the backup is of {backup.system_identifier}): two databases archive"
                " into one folder; move what is not this one's away"
            )


def reach_of(folder: BackupFolder, programs: Programs, backup: BaseBackup, found: Reach) -> datetime | None:
    """When the last transaction was committed that can be replayed; None: none since the backup began."""
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=".wal-") as scratch:
        os.chmod(scratch, 0o755)
        for segment in reversed(found.contiguous[-LOOK_BACK_MAX:]):
            name = segment.name(backup.segment_bytes)
            places = (folder.wal / name, folder.wal / f"{name}{PARTIAL}", folder.data(backup) / "pg_wal" / name)
            path = next((place for place in places if place.exists()), None)
            if path is None:
                continue
            if path.suffix == PARTIAL:  # its reader wants the whole name
                (Path(scratch) / name).symlink_to(path)
                path = Path(scratch) / name
            if (at := last_commit_at(programs, path)) is not None:
                return at
    return None


def _check_one_system(folder: BackupFolder, backups: Sequence[BaseBackup]) -> None:
    systems = {backup.system_identifier for backup in backups}
    if len(systems) > 1:
        raise UserError(
            f"{folder.path} has backups of {len(systems)} systems ({', '.join(sorted(systems))}): move those that are"
            " not this hospital's away"
        )


def _chosen(backups: Sequence[BaseBackup], until: datetime | None, name: str) -> BaseBackup:
    if name:
        found = [backup for backup in backups if backup.name == name]
        if not found:
            raise UserError(f"there is no base backup {name}: see `vitalwire backup list`")
        backups = found
    old_enough = [backup for backup in backups if until is None or backup.ended_at <= until]
    if not old_enough:
        raise UserError(
            f"the oldest base backup is of {_moment(backups[0].ended_at)}, after {_moment(until)}: nothing older can be"
            " restored; name a later moment"
        )
    return old_enough[-1]


def _check_reach(
    backup: BaseBackup, found: Reach, until: datetime | None, reaches: datetime | None, *, until_gap: bool
) -> None:  # fmt: skip
    if backup.last_segment not in {segment.number for segment in found.contiguous}:
        raise UserError(
            f"the base backup {backup.name} cannot be used without"
            f" {names(found.missing, backup.segment_bytes) or 'the log that was written while it was made'}, which"
            " lacks in wal/: put it there, or use another backup (--base)", EXIT_DOES_NOT_HOLD,
        )  # fmt: skip
    if found.missing and not until_gap and (until is None or reaches is None or until > reaches):
        raise UserError(
            f"the log lacks {names(found.missing, backup.segment_bytes)}: what came after {_moment(reaches)} cannot be"
            " restored without it. Put it into wal/ (from the server's pg_wal, or another archive), or give up what"
            " comes after it: --until-gap", EXIT_DOES_NOT_HOLD,
        )  # fmt: skip
    if until is not None and not found.missing and (reaches is None or until > reaches):
        raise UserError(
            f"the log reaches to {_moment(reaches)} and not to {_moment(until)}: --to latest restores what there is"
        )


def _moment(moment: datetime | None) -> str:
    return "the base backup" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
