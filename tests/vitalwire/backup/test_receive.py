"""What `vitalwire backup wal` keeps beside the log, and what it sets aside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from emr_store.replication import timeline_history
from emr_store.store_counts import StoreCounts
from runtime.errors import UserError
from tests.vitalwire.backup.conftest import Hospital
from vitalwire.backup import receive as receiving
from vitalwire.backup.folder import BackupFolder
from vitalwire.backup.restoring import last_noted
from vitalwire.backup.wal import ArchivedFile, Branch, Line, Segment

AT = datetime(2026, 11, 30, tzinfo=UTC)
SIZE = 16 << 20


def counts(minute: int) -> StoreCounts:
    return StoreCounts(
        at=AT + timedelta(minutes=minute), incarnation="ab", reports=minute, batches=0, acts=0, chart_entries=0,
        log_size=0, newest_stored_at=None,
    )  # fmt: skip


def test_the_newest_note_counts_and_a_line_cut_short_does_not(tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path)
    assert last_noted(folder) is None
    for minute in range(3):
        receiving.note(tmp_path, counts(minute))
    with (tmp_path / "counts.jsonl").open("ab") as file:
        file.write(b'{"at": "2026')
    assert last_noted(folder) == counts(2)


def test_notes_do_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "NOTES_BYTES_MAX", 1000)
    for minute in range(100):
        receiving.note(tmp_path, counts(minute))
    assert (tmp_path / "counts.jsonl").stat().st_size < 1500
    assert last_noted(BackupFolder(tmp_path)) == counts(99)


def test_what_was_received_after_another_server_took_over_is_set_aside() -> None:
    line = Line(2, (Branch(1, 5 * SIZE + 100),), SIZE)
    archive = {ArchivedFile(Segment(1, number), False) for number in (3, 4, 5, 6)}
    archive |= {ArchivedFile(Segment(2, 5), False), ArchivedFile(Segment(9, 7), False)}
    assert [file.segment for file in receiving.given_up(line, archive)] == [Segment(1, 5), Segment(1, 6)]


def test_the_first_timeline_has_no_history(hospital: Hospital) -> None:
    assert timeline_history(hospital.config.database, 1) == ""


def test_a_folder_that_is_not_there_is_said(hospital: Hospital) -> None:
    config = structs.replace(hospital.config, folder=hospital.root / "none")
    with pytest.raises(UserError, match="install -d"):
        receiving.prepare(config, config.database)
