"""The fixture outlives new migrations: it is named by the schema that it was made with, and upgraded in place."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from benchmarks import fixture
from benchmarks.fixture import FROZEN, FULL, QUICK, Fixture, kept, name_of
from emr_store import migrate
from emr_store.connect import open_store

NEWER = (99, "CREATE TABLE newer (one int);")


def test_the_one_that_was_made_is_found() -> None:
    assert name_of(FULL) == "fixture_713cbdb5c67d"
    assert name_of(QUICK) != name_of(FULL)


def test_a_newer_migration_does_not_rename_it_and_a_changed_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    name, known = name_of(FULL), migrate.migrations()
    monkeypatch.setattr(fixture, "migrations", lambda: [*known, NEWER])
    assert name_of(FULL) == name
    monkeypatch.setattr(fixture, "migrations", lambda: [*known[:-1], (FROZEN, "CREATE TABLE other ();")])
    assert name_of(FULL) != name


def test_what_is_kept_is_upgraded_in_place(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrate.migrations()
    monkeypatch.setattr(fixture, "CACHE", tmp_path)
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    assert kept(QUICK) is None
    folder = tmp_path / name_of(QUICK)
    folder.mkdir()
    made = Fixture(urlsplit(database).path[1:], begins_us=0, sealed_from_us=1, ends_us=2, values=3, took_s=4.0)
    (folder / "fixture.json").write_bytes(msgspec.json.encode(made))
    monkeypatch.setattr(migrate, "migrations", lambda: [*known, NEWER])
    assert kept(QUICK) == made
    with open_store(database) as conn:
        assert conn.execute("SELECT max(version) FROM schema_version").fetchone() == (99,)
        assert conn.execute("SELECT count(*) FROM newer").fetchone() == (0,)
