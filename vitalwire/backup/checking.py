"""Whether base backups are what was written, and the log goes on from each without a gap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runtime.errors import UserError
from vitalwire.backup.folder import BackupFolder, BaseBackup, newest_line
from vitalwire.backup.plan import check_owner, reach_of, verify_files
from vitalwire.backup.programs import Programs, Progress
from vitalwire.backup.restoring import open_keys
from vitalwire.backup.wal import names, reach


@dataclass(frozen=True)
class BackupState:
    """`reaches`: to which moment it can be restored; None: to none."""

    name: str
    reaches: datetime | None
    wrong: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


def check_backups(
    folder: BackupFolder, programs: Programs, progress: Progress, identity: Path | None, passphrase_file: Path | None
) -> list[BackupState]:
    """Each of them; with a key also whether its keys and configuration open. Raises UserError where there is none."""
    found = []
    for backup in folder.need_backups():
        progress(f"{backup.name} is held against its manifest", None)
        wrong, reaches = list[str](), None
        try:
            reaches = _check(folder, programs, backup, wrong)
            if identity is not None or passphrase_file is not None:
                open_keys(folder, backup, identity, passphrase_file)
        except UserError as error:
            wrong.append(str(error))
        found.append(BackupState(backup.name, reaches, tuple(wrong)))
    return found


def _check(folder: BackupFolder, programs: Programs, backup: BaseBackup, wrong: list[str]) -> datetime | None:
    verify_files(folder, programs, backup)
    archive = folder.segments_of(backup)
    check_owner(folder, backup, archive)
    found = reach(newest_line(folder, backup, archive), backup.first_segment, archive)
    if found.missing:
        wrong.append(f"the log lacks {names(found.missing, backup.segment_bytes)}")
    return reach_of(folder, programs, backup, found) or backup.ended_at
