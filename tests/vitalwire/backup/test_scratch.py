"""How a restored cluster is started for us alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from emr_store.store_counts import StoreCounts
from vitalwire.backup.folder import FORM, BackupFolder, BaseBackup
from vitalwire.backup.plan import RestorePlan
from vitalwire.backup.scratch import reason_of, settings
from vitalwire.backup.wal import Line

AT = datetime(2026, 11, 30, 9, 12, tzinfo=UTC)
COUNTS = StoreCounts(at=AT, incarnation="ab", reports=0, batches=0, acts=0, chart_entries=0, log_size=0,
                     newest_stored_at=None)  # fmt: skip
BACKUP = BaseBackup(
    form=FORM, name="x", system_identifier="1", timeline=1, began_at=AT, ended_at=AT, first_segment=2, last_segment=2,
    segment_bytes=16 << 20, version=170_006, bytes=1,
    settings={"shared_preload_libraries": "timescaledb", "max_connections": "200"}, counts=COUNTS, sealed_files=0,
    program="1",
)  # fmt: skip
PLAN = RestorePlan(BACKUP, Line(3, (), 16 << 20), AT, AT, (), ())


def test_it_listens_nowhere_archives_nothing_and_ends_at_the_moment() -> None:
    found = settings(PLAN, BackupFolder(Path("/b")), Path("/t"))
    assert (found["listen_addresses"], found["archive_mode"], found["primary_conninfo"]) == ("", "off", "")
    assert found["recovery_target_time"] == "2026-11-30 09:12:00+00:00"
    assert found["recovery_target_timeline"] == "3"
    assert found["max_connections"] == "200"
    assert found["timescaledb.max_background_workers"] == "0"  # its jobs wait for the real start
    assert "recovery_target_time" not in settings(replace(PLAN, until=None), BackupFolder(Path("/b")), Path("/t"))


def test_a_folder_with_a_strange_name_is_quoted_for_the_shell_and_for_postgresql() -> None:
    found = settings(PLAN, BackupFolder(Path("/b/it's 5%")), Path("/t"))
    assert found["restore_command"].startswith(r"cp '/b/it'\''s 5%%/wal'/%f %p")


def test_the_reason_is_the_last_that_is_one() -> None:
    log = (
        "LOG:  starting point-in-time recovery\n"
        "FATAL:  the database system is not yet accepting connections\n"
        "FATAL:  recovery ended before configured recovery target was reached\n"
        "FATAL:  the database system is shutting down\n"
    )
    assert reason_of(log) == "recovery ended before configured recovery target was reached"
    assert reason_of("LOG:  all is well\n") == ""
