"""Versions of the spool's file: refused, set aside, migrated, held."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.spool import Kept, Spool, schema
from schemas.errors import VitalwireError
from schemas.report import Lane
from tests.edge_agent.spool.keeping import MIB, SEAL, SECOND_US, put, receipt, sequences
from tests.making import T0_US, report

# An invented next version: a table and a column more.
THIS_VERSION, NEXT_VERSION = schema.VERSION, schema.VERSION + 1
NEXT = schema.MIGRATIONS | {
    schema.VERSION: "ALTER TABLE batch ADD COLUMN priority INTEGER DEFAULT 7; CREATE TABLE note (text TEXT)"
}


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


@pytest.fixture
def file(make: Callable[..., Spool], tmp_path: Path) -> Path:
    """A spool of this version: a batch with a receipt, one without, and a report that waits."""
    spool = make()
    for i in range(2):
        put(spool, report(at_us=T0_US + i))
        assert spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    number, sealed = spool.unreceipted(Lane.LIVE, 0, 1)[0]
    spool.receipted([receipt(spool, Lane.LIVE, number, sealed)])
    put(spool, report(at_us=T0_US + 2))
    spool.close()
    return tmp_path / "spool" / "spool.db"


def goes_on(spool: Spool) -> bool:
    """Whether it has all that `file` holds, and keeps and cuts more."""
    assert (spool.figures.reports, spool.figures.open_batches) == (1, 1)
    assert put(spool, report(at_us=T0_US + 3)) is Kept.KEPT
    assert spool.cut(Lane.LIVE, SEAL, T0_US + SECOND_US)
    return list(sequences(spool.unreceipted(Lane.LIVE, 0, MIB)).values()) == [[2, 3, 4]]


def test_every_version_leads_to_this_one() -> None:
    assert list(schema.MIGRATIONS) == list(range(schema.OLDEST_VERSION, schema.VERSION))


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(make: Callable[..., Spool], file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(VitalwireError, match=r"of version 9 and was written by a newer .* install the newer one"):
        make()
    assert version_of(file) == 9
    assert list(file.parent.glob("*.db")) == [file]


def test_a_file_of_the_first_version_is_set_aside_and_said(
    make: Callable[..., Spool], tmp_path: Path, events: list[str]
) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "spool.db")) as db:
        db.executescript("CREATE TABLE report (id INTEGER); INSERT INTO report VALUES (5); PRAGMA user_version = 1")
    spool = make()
    assert put(spool, report()) is Kept.KEPT
    (aside,) = folder.glob("spool-version-1-*.db")
    with closing(sqlite3.connect(aside)) as db:
        assert db.execute("SELECT id FROM report").fetchall() == [(5,)]
    assert version_of(aside) == 1
    spool.close()
    assert events == ["spool-set-aside"]
    assert version_of(folder / "spool.db") == schema.VERSION


def test_the_next_version_brings_a_file_up_and_all_that_it_holds(
    make: Callable[..., Spool], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "VERSION", NEXT_VERSION)
    monkeypatch.setattr(schema, "MIGRATIONS", NEXT)
    spool = make()
    assert spool.version == NEXT_VERSION
    assert goes_on(spool)
    spool.close()
    assert version_of(file) == NEXT_VERSION
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT DISTINCT priority FROM batch").fetchall() == [(7,)]


def test_held_a_file_stays_what_it_was_and_the_program_before_can_take_it_back(
    make: Callable[..., Spool], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as upgraded:
        upgraded.setattr(schema, "VERSION", NEXT_VERSION)
        upgraded.setattr(schema, "MIGRATIONS", NEXT)
        spool = make(hold_version=True)
        assert spool.version == THIS_VERSION
        put(spool, report("another"))
        spool.close()
        assert version_of(file) == THIS_VERSION
    spool = make()  # the program before
    assert spool.figures.reports == 2
    spool.close()
    monkeypatch.setattr(schema, "VERSION", NEXT_VERSION)
    monkeypatch.setattr(schema, "MIGRATIONS", NEXT)
    spool = make()  # known to be well
    assert (spool.version, spool.figures.reports) == (NEXT_VERSION, 2)


def test_the_mark_of_an_upgrade_holds_the_version_until_it_is_taken_away(
    make: Callable[..., Spool], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "VERSION", NEXT_VERSION)
    monkeypatch.setattr(schema, "MIGRATIONS", NEXT)
    (file.parent / schema.HOLD_MARK).touch()
    spool = make()
    assert spool.version == THIS_VERSION
    put(spool, report("another"))
    assert spool.commits > 0
    spool.close()
    (file.parent / schema.HOLD_MARK).unlink()
    spool = make()
    assert (spool.version, spool.figures.reports) == (NEXT_VERSION, 2)


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    make: Callable[..., Spool], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as upgraded:
        upgraded.setattr(schema, "VERSION", NEXT_VERSION)
        upgraded.setattr(schema, "MIGRATIONS", {THIS_VERSION: "CREATE TABLE note (text TEXT); CREATE TABLE batch (id)"})
        with pytest.raises(VitalwireError, match="cannot be opened: table batch already exists"):
            make()
    assert version_of(file) == THIS_VERSION
    spool = make()
    assert goes_on(spool)
