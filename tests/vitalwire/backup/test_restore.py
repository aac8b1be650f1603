"""A backup and its restores, by PostgreSQL's own programs."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from emr_store import proof
from emr_store.acts import Author, acts
from emr_store.connect import open_store
from emr_store.store_counts import count_store
from evidence.verification import Trust
from runtime.errors import UserError
from stream_processors.mapping import remap
from tests.commands import vitalwire
from tests.vitalwire.backup.conftest import Hospital, silent
from vitalwire.backup import scratch, words
from vitalwire.backup.config import BackupConfig
from vitalwire.backup.drill import run_drill
from vitalwire.backup.folder import BackupFolder
from vitalwire.backup.plan import check_target, plan_restore
from vitalwire.backup.programs import Programs
from vitalwire.backup.restoring import Restored, open_keys, put_keys, restore
from vitalwire.backup.take import one_run
from vitalwire.verify import revalidate

ALL = timedelta.max


def restored(config: BackupConfig, target: Path, moment: datetime | None = None) -> Restored:
    plan = plan_restore(config, moment, silent)
    check_target(target, plan)
    return restore(config, plan, target, silent, trust=Trust(), verify_last=ALL, keep_history=False)


def test_all_that_was_received_comes_back(hospital: Hospital) -> None:
    with hospital.received():
        hospital.say(4)
        hospital.switch()
        hospital.say(2)
        hospital.act()
        hospital.catch_up()
        with hospital.store.open() as conn:
            before = count_store(conn)
    target = hospital.target()
    found = restored(hospital.config, target)
    assert (found.counts.reports, found.counts.acts) == (before.reports, before.acts)
    assert found.counts.log_size == before.log_size
    assert found.verification is not None
    assert not found.verification.findings
    assert found.verification.counts["batches"] == before.batches
    assert found.timeline == 2
    assert found.counts.incarnation != before.incarnation
    assert (target / "PG_VERSION").is_file()
    assert not list(target.glob("vitalwire-restore*"))
    assert not (target / "recovery.signal").exists()
    assert not (target / "postmaster.pid").exists()
    assert [end.last_batch_no for end in found.streams] == [hospital.store.batch_no]
    assert not any(found.missing.values())


def test_the_moment_is_kept_to_and_what_it_lacks_is_counted(hospital: Hospital) -> None:
    with hospital.received():
        hospital.say(1)
        time.sleep(0.01)
        moment, (reports, acts) = datetime.now(UTC), _counted(hospital)
        hospital.say(5)
        hospital.act()
        hospital.switch()
        hospital.catch_up()
        time.sleep(1.5)  # once a second it is noted how much there is
    found = restored(hospital.config, hospital.target(), moment)
    assert (found.counts.reports, found.counts.acts) == (reports, acts)
    assert found.missing["reports"] == 5
    assert found.missing["acts"] == 2
    assert found.replayed_until is not None
    assert found.replayed_until <= moment
    plan = plan_restore(hospital.config, moment, silent)
    assert words.findings(found, plan, 24, datetime.now(UTC)) == []  # that was what somebody wanted
    latest = structs.replace(found.counts, newest_stored_at=datetime.now(UTC) - timedelta(hours=30))
    old = Restored(found.target, latest, found.known, None, 2, [], None)
    (of_acts, of_edges) = words.findings(old, plan_restore(hospital.config, None, silent), 24, datetime.now(UTC))
    assert "2 acts" in of_acts
    assert "no edge holds" in of_edges


def _counted(hospital: Hospital) -> tuple[int, int]:
    with hospital.store.open() as conn:
        counts = count_store(conn)
    return counts.reports, counts.acts


def test_a_missing_segment_is_named_before_anything_is_touched(hospital: Hospital) -> None:
    with hospital.received():
        for _ in range(3):
            hospital.say(1)
            hospital.switch()
        hospital.say(1)
        hospital.catch_up()
    config = hospital.copy()
    gone = sorted(path for path in (config.folder / "wal").iterdir() if path.suffix == "")[-2]
    gone.unlink()
    target = hospital.target()
    with pytest.raises(UserError, match=gone.name) as refused:
        restored(config, target)
    assert refused.value.exit_code == 4
    assert not target.exists()
    code, text = vitalwire(f"backup check --config {hospital.written(config)}")
    assert code == 4
    assert gone.name in text
    plan = plan_restore(config, None, silent, until_gap=True)
    assert [segment.name(16 << 20) for segment in plan.lost] == [gone.name]
    found = restore(config, plan, target, silent, trust=Trust(), verify_last=ALL, keep_history=False)
    assert found.missing["reports"] > 0
    assert words.findings(found, plan, 24, datetime.now(UTC))


def test_a_moment_that_no_backup_reaches(hospital: Hospital) -> None:
    with pytest.raises(UserError, match="the oldest base backup"):
        plan_restore(hospital.config, datetime(2020, 1, 1, tzinfo=UTC), silent)
    with pytest.raises(UserError, match="the log reaches to"):
        plan_restore(hospital.config, datetime.now(UTC) + timedelta(hours=1), silent)


def test_a_backup_of_another_system_is_refused(hospital: Hospital) -> None:
    config = hospital.copy()
    folder = BackupFolder(config.folder)
    (backup,) = folder.backups()
    meta = folder.base / backup.name / "backup.json"
    meta.write_text(meta.read_text().replace(backup.system_identifier, "7312345678901234567"))
    with pytest.raises(UserError, match="another system"):
        plan_restore(config, None, silent)
    code, text = vitalwire(f"backup run --config {hospital.written(config)}")
    assert code == 2
    assert "backups of another system" in text


def test_a_log_of_another_system_is_refused(hospital: Hospital) -> None:
    config = hospital.copy()
    segment = sorted(path for path in (config.folder / "wal").iterdir() if path.suffix == "")[0]
    changed = bytearray(segment.read_bytes())
    changed[24] ^= 1
    segment.write_bytes(changed)
    with pytest.raises(UserError, match="written by another system"):
        plan_restore(config, None, silent)
    segment.write_bytes(bytes(changed[:1000]))
    with pytest.raises(UserError, match="1000 bytes"):
        plan_restore(config, None, silent)


def test_a_base_backup_with_a_byte_changed_is_refused(hospital: Hospital) -> None:
    config = hospital.copy()
    (backup,) = BackupFolder(config.folder).backups()
    file = next((config.folder / "base" / backup.name / "data" / "base").glob("*/2619"))
    changed = bytearray(file.read_bytes())
    changed[100] ^= 1
    file.write_bytes(changed)
    with pytest.raises(UserError, match="not what was written") as refused:
        plan_restore(config, None, silent)
    assert refused.value.exit_code == 4


def test_a_folder_in_use_and_one_without_room_are_refused(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_restore(hospital.config, None, silent)
    with pytest.raises(UserError, match="a database cluster"):
        check_target(hospital.root / "postgres", plan)
    with pytest.raises(UserError, match="is no folder"):
        check_target(hospital.root / "none" / "target", plan)
    with pytest.raises(UserError, match="is a file"):
        check_target(hospital.config_file if hospital.config_file.exists() else hospital.root / "passphrase", plan)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1_000_000))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="make room"):
        check_target(hospital.target(), plan)


def test_keys_come_back_for_who_has_the_key_alone(hospital: Hospital, tmp_path: Path) -> None:
    folder = BackupFolder(hospital.config.folder)
    (backup, *_) = folder.backups()
    wrong = tmp_path / "passphrase"
    wrong.write_text("f" * 32)
    wrong.chmod(0o600)
    with pytest.raises(UserError, match="does not open"):
        open_keys(folder, backup, None, wrong)
    with pytest.raises(UserError, match="--identity"):
        open_keys(folder, backup, None, None)
    archive = open_keys(folder, backup, None, hospital.config.passphrase_file)
    assert archive is not None
    (key,) = put_keys(archive, tmp_path / "keys")
    assert key.read_text() == "the platform's key"
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(UserError, match="a new folder"):
        put_keys(archive, tmp_path / "keys")


def test_a_drill_measures_and_leaves_nothing(hospital: Hospital) -> None:
    with hospital.received():
        hospital.say(2)
        hospital.catch_up()
        target = hospital.target()
        drill = run_drill(hospital.config, None, target, silent, trust=Trust(), verify_last=ALL)
    assert not target.exists()
    figures = drill.figures(24, datetime.now(UTC))
    assert figures["compared_with_running_store"] is True
    assert (figures["restore_rpo_reports"], figures["missing_reports"], figures["missing_acts"]) == (0, 0, 0)
    assert figures["findings"] == 0
    assert 0 < drill.rto_s < 60
    assert drill.behind_s == 0


def test_the_commands(hospital: Hospital) -> None:
    config = structs.replace(hospital.copy(), include=(), passphrase_file=None, keep=1)
    file = hospital.written(config)
    hospital.say(1)
    with one_run(config.folder):
        assert "another run" in vitalwire(f"backup run --config {file}")[1]
    code, text = vitalwire(f"backup run --config {file}")
    assert code == 0, text
    assert "removed: " in text
    code, text = vitalwire(f"backup list --config {file}")
    assert code == 0, text
    code, text = vitalwire(f"restore --config {file} --into {hospital.target()} --dry-run")
    assert code == 0, text
    assert "Nothing was touched" in text
    target = hospital.target()
    code, text = vitalwire(f"restore --config {file} --into {target} --verify all --why drill")
    assert code == 0, text
    for line in (
        "Restored",
        "an act store.restored in it says so",
        "Edges send again",
        "box",
        "verified: ",
        "vitalwire backup run",
    ):
        assert line in text
    assert (config.folder / "wal" / "00000002.history").is_file()
    code, text = vitalwire(f"backup drill --config {file} --json")
    assert code == 0, text
    assert json.loads(text)["figures"]["restore_rpo_reports"] == 0
    assert json.loads(text)["timeline"] == 3  # 2 is taken
    code, text = vitalwire(f"restore --config {file} --into {hospital.target()} --to 2035-01-01")
    assert code == 2
    assert "in the future" in text
    with open_store(hospital.config.database) as conn:
        assert count_store(conn).reports == hospital.said


def test_a_restored_store_has_an_act_that_says_so_which_verifies(hospital: Hospital) -> None:
    with hospital.received():
        hospital.say(2)
        hospital.catch_up()
    plan = plan_restore(hospital.config, None, silent)
    target = hospital.target()
    author = Author("os:root@hospital", "the disk broke")
    found = restore(
        hospital.config, plan, target, silent, trust=Trust(), verify_last=None, keep_history=False, author=author
    )
    assert found.act == ""
    programs, options = Programs.of(hospital.config), scratch.settings(plan, BackupFolder(target), target)
    scratch.put_files(programs, target)
    with scratch.started(programs, target, options, hospital.config.database, plan, silent) as where:
        store = hospital.store.in_copy(where)
        with store.open() as conn:
            restored = acts(conn)[-1]
            assert count_store(conn).acts == found.counts.acts + 1
        assert (restored.kind, restored.by, restored.why) == ("store.restored", author.by, author.why)
        assert restored.details["backup"] == plan.backup.name
        assert restored.details["counts"]["reports"] == found.counts.reports
        assert restored.details["until"] is None
        store.seal_log()
        with store.open() as conn:
            assert acts(conn)[-1].signed
            assert not proof.verify(conn, None, trust=Trust(), revalidate=revalidate, remap=remap).findings
        store.hang_up()


def test_a_drill_leaves_no_act(hospital: Hospital) -> None:
    with hospital.received():
        hospital.catch_up()
    assert restored(hospital.config, hospital.target()).act is None
