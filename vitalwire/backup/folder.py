"""The folder of backups: what is in it, without changing anything.

base/NAME/data         a base backup, as `pg_basebackup --format=plain` leaves it, with its manifest
base/NAME/backup.json  what it is of; written last: without it the backup is not whole
base/NAME/keys.sealed  keys and configuration of that moment, encrypted
wal/                   the log, a file a segment, by `pg_receivewal` or `archive_command`; histories of timelines
counts.jsonl           how much the store held, a line a minute
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from emr_store.store_counts import StoreCounts
from runtime.errors import EXIT_UNREACHABLE, UserError
from vitalwire.backup.wal import (
    HEADER_BYTES,
    ArchivedFile,
    Branch,
    Line,
    SegmentHeader,
    parse_header,
    parse_history,
    parse_history_name,
    parse_segment,
)

FORM = 1
UNFINISHED = ".unfinished"
DATA, META, SEALED, MANIFEST = "data", "backup.json", "keys.sealed", "backup_manifest"


class BaseBackup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a base backup is of; the log from segment `first_segment` on is needed, to `last_segment` at least."""

    form: int
    name: str
    system_identifier: str
    timeline: int
    began_at: datetime
    ended_at: datetime
    first_segment: int
    last_segment: int
    segment_bytes: int
    version: int
    bytes: int
    settings: dict[str, str]
    counts: StoreCounts
    sealed_files: int
    program: str  # vitalwire's version


@dataclass(frozen=True)
class BackupFolder:
    """Where backups are."""

    path: Path

    @property
    def wal(self) -> Path:
        """The log."""
        return self.path / "wal"

    @property
    def base(self) -> Path:
        """Base backups."""
        return self.path / "base"

    def data(self, backup: BaseBackup) -> Path:
        """The files of the cluster."""
        return self.base / backup.name / DATA

    def give_to_owner(self, path: Path) -> None:
        """What root has written here, PostgreSQL's user goes on with."""
        if os.geteuid() == 0:
            owner = self.path.stat()
            os.chown(path, owner.st_uid, owner.st_gid)

    def backups(self) -> list[BaseBackup]:
        """Those that are whole, the oldest first; raises UserError for one that cannot be read."""
        found = []
        for path in sorted(self.base.glob(f"*/{META}")):
            if path.parent.name.endswith(UNFINISHED):
                continue
            try:
                backup = msgspec.json.decode(path.read_bytes(), type=BaseBackup)
            except (OSError, msgspec.MsgspecError) as error:
                raise UserError(f"{path} cannot be read: {error}: move {path.parent} away") from None
            if backup.form != FORM:
                raise UserError(f"{path} is of form {backup.form}, this program knows {FORM}: use a newer vitalwire")
            found.append(backup)
        return found

    def unfinished(self) -> list[Path]:
        """What a run that was ended has left."""
        return sorted(self.base.glob(f"*{UNFINISHED}"))

    def need_backups(self) -> list[BaseBackup]:
        """As `backups`; raises UserError where there is none."""
        if not self.path.is_dir():
            raise UserError(f"{self.path} is no folder: name the one of backups with `folder`", EXIT_UNREACHABLE)
        found = self.backups()
        if not found:
            raise UserError(f"{self.path} has no base backup: `vitalwire backup run` makes one", EXIT_UNREACHABLE)
        return found

    def archive(self, segment_bytes: int) -> set[ArchivedFile]:
        """The segments of the log that are there; raises UserError for a file of another length."""
        found = set()
        for path in self.wal.glob("*") if self.wal.is_dir() else ():
            file = parse_segment(path.name, segment_bytes)
            if file is None:
                continue
            size = path.stat().st_size
            if size != segment_bytes:
                raise UserError(
                    f"{path} has {size} bytes and not {segment_bytes}: it was cut short, or compressed; put the whole"
                    " file there, or move it away"
                )
            found.add(file)
        return found

    def segments_of(self, backup: BaseBackup) -> set[ArchivedFile]:
        """Of the log those that are there, and those that the base backup itself brings."""
        own = (parse_segment(path.name, backup.segment_bytes) for path in (self.data(backup) / "pg_wal").glob("*"))
        return self.archive(backup.segment_bytes) | {file for file in own if file is not None}

    def histories(self) -> dict[int, list[Branch]]:
        """Of each timeline that has a history file: what it came from."""
        found = {}
        for path in self.wal.glob("*.history") if self.wal.is_dir() else ():
            timeline = parse_history_name(path.name)
            if timeline is not None:
                found[timeline] = parse_history(path.read_text("utf-8", errors="replace"))
        return found

    def header(self, file: ArchivedFile, segment_bytes: int) -> SegmentHeader | None:
        """What a segment of the archive says of itself."""
        with self.path_of(file, segment_bytes).open("rb") as opened:
            return parse_header(opened.read(HEADER_BYTES))

    def path_of(self, file: ArchivedFile, segment_bytes: int) -> Path:
        """The file of a segment of the archive."""
        return self.wal / (file.segment.name(segment_bytes) + (".partial" if file.is_partial else ""))

    def noted(self) -> Iterator[StoreCounts]:
        """How much the store held, the oldest first; a line that was cut short is left out."""
        path = self.path / "counts.jsonl"
        if path.is_file():
            for line in path.read_bytes().splitlines():
                try:
                    yield msgspec.json.decode(line, type=StoreCounts)
                except msgspec.MsgspecError:
                    continue


def line_of(folder: BackupFolder, backup: BaseBackup, timeline: int) -> Line:
    """This timeline; raises UserError where it did not come from the backup's."""
    line = Line(timeline, tuple(folder.histories().get(timeline, ())), backup.segment_bytes)
    if backup.timeline not in line.timelines:
        raise UserError(
            f"timeline {timeline} did not come from {backup.timeline}, that of the base backup {backup.name}, or its"
            f" history ({timeline:08X}.history) is gone: name another backup (--base)"
        )
    return line


def newest_line(folder: BackupFolder, backup: BaseBackup, archive: set[ArchivedFile]) -> Line:
    """The newest timeline that came from this backup's and that something of the log is there of.

    A timeline that has a history alone is of a restore that nobody went on with.
    """
    written = {file.segment.timeline for file in archive}
    best = Line(backup.timeline, tuple(folder.histories().get(backup.timeline, ())), backup.segment_bytes)
    for timeline, before in folder.histories().items():
        from_here = [branch for branch in before if branch.timeline == backup.timeline]
        left_too_early = any(branch.left_at_lsn // backup.segment_bytes < backup.last_segment for branch in from_here)
        if from_here and not left_too_early and timeline in written and timeline > best.timeline:
            best = Line(timeline, tuple(before), backup.segment_bytes)
    return best
