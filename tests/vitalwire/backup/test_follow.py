"""A restored store goes on, and so do its backups: the log is received, and restored, along the new timeline."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from emr_store.replication import timeline_history
from emr_store.store_counts import count_store
from evidence.verification import Trust
from runtime.errors import UserError
from tests.vitalwire.backup.conftest import Hospital, silent, until
from vitalwire.backup.folder import BackupFolder
from vitalwire.backup.plan import plan_restore
from vitalwire.backup.restoring import Restored, restore
from vitalwire.backup.take import take_backup
from vitalwire.embedded import postgres
from vitalwire.embedded.child import Child


def restored(hospital: Hospital, name: str = "", *, keep_history: bool) -> Restored:
    plan = plan_restore(hospital.config, None, silent, name=name)
    return restore(hospital.config, plan, hospital.target(), silent, trust=Trust(), verify_last=timedelta.max,
                   keep_history=keep_history)  # fmt: skip


def test_the_log_is_followed_into_the_next_timeline(hospital: Hospital) -> None:
    with hospital.received():
        hospital.say(2)
        hospital.switch()
        hospital.say(2)
        hospital.catch_up()
    back = restored(hospital, keep_history=True)
    assert back.timeline == 2
    hospital.say(1)  # of a future that is given up: the old server goes on for a moment, and is received
    with hospital.received():
        hospital.switch()
        hospital.switch()
        hospital.catch_up()
    owner = back.target.stat()
    argv = [hospital.config.programs / "postgres", "-D", postgres.HERE, *(f"--{each}" for each in postgres.SETTINGS)]
    server = Child(argv, hospital.root / "restored.log", cwd=back.target, account=(owner.st_uid, owner.st_gid),
                   endings=postgres.ENDINGS)  # fmt: skip
    address = hospital.config.database.replace(str(hospital.root / "postgres"), str(back.target))
    after = replace(hospital, store=hospital.store.in_copy(address),
                    config=structs.replace(hospital.config, database=address))  # fmt: skip
    try:
        until(lambda: (back.target / ".s.PGSQL.5432").exists(), "the restored server listens")
        until(lambda: _answers(after), "the restored server answers")
        _go_on(hospital, after)
    finally:
        after.store.hang_up()
        server.end()


def _of_the_left_timeline(hospital: Hospital, name: str) -> None:
    """What was received of it before the new one began, and, once it is moved back, after that."""
    wal = hospital.config.folder / "wal"
    for path in (wal / "given-up").iterdir():
        path.rename(wal / path.name)
    plan = plan_restore(hospital.config, None, silent, name=name, timeline=1)
    left = restore(hospital.config, plan, hospital.target(), silent, trust=Trust(), verify_last=timedelta.max,
                   keep_history=False)  # fmt: skip
    assert left.counts.reports == hospital.said
    assert left.timeline == 3  # 2 is taken
    with pytest.raises(UserError, match="did not come from"):
        plan_restore(hospital.config, None, silent, name=name, timeline=7)


def _answers(hospital: Hospital) -> bool:
    try:
        return hospital.ask("SELECT 1") == 1
    except Exception:  # noqa: BLE001  it starts
        return False


def _go_on(before: Hospital, after: Hospital) -> None:
    """Report, act, back up and restore along the new timeline."""
    assert timeline_history(after.config.database, 2).startswith("1\t")
    first = BackupFolder(after.config.folder).backups()[0]
    with after.received():
        after.say(3)
        after.act()
        after.catch_up()
        with after.store.open() as conn:
            counts = count_store(conn)
        along = restored(after, keep_history=False)
        assert (along.counts.reports, along.counts.acts) == (counts.reports, counts.acts)
        assert along.timeline == 3
        assert along.verification is not None
        assert not along.verification.findings
        given_up = {path.name[:8] for path in (after.config.folder / "wal" / "given-up").iterdir()}
        assert given_up == {"00000001"}
        taken = take_backup(after.config, silent)
        assert (first.timeline, taken.timeline) == (1, 2)
        after.say(1)
        after.catch_up()
    again = restored(after, keep_history=False)
    assert again.counts.reports == counts.reports + 1
    older = restored(after, first.name, keep_history=False)  # the older backup reaches the same end
    assert older.counts.reports == again.counts.reports
    _of_the_left_timeline(before, first.name)
    with pytest.raises(UserError, match="there is no base backup"):
        restored(before, "none", keep_history=False)
