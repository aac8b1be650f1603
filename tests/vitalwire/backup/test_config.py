"""backup.toml, and the programs that it names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import structs

from runtime import config as configuration
from runtime.errors import UserError
from tests.commands import vitalwire
from vitalwire.backup.config import AS_POSTGRES, BackupConfig, conninfo
from vitalwire.backup.programs import Programs
from vitalwire.backup.take import take_backup
from vitalwire.backup.waldump import newest_commit

CONFIG = BackupConfig(folder=Path("/b"), database="dbname=x")


def test_the_sample_is_a_configuration(tmp_path: Path) -> None:
    code, text = vitalwire("config sample backup")
    assert code == 0
    (tmp_path / "backup.toml").write_text(text)
    assert configuration.load(tmp_path / "backup.toml", BackupConfig).keep == 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('include = ["/etc/vitalwire"]', "keys are never kept as they are"),
        ('recipient = "a.pub"\npassphrase_file = "b"', "leave one out"),
        ("keep = 0", "keep"),
        ('folders = "x"', "did you mean 'folder'"),
    ],
)
def test_a_slip_is_said(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "backup.toml"
    path.write_text(f'folder = "/b"\ndatabase = "dbname=x"\n{line}\n')
    with pytest.raises(UserError, match=said):
        configuration.load(path, BackupConfig)


def test_plaintext_beyond_this_machine_is_refused() -> None:
    config = structs.replace(CONFIG, database="host=db.example dbname=x sslmode=disable")
    with pytest.raises(UserError, match=r"db\.example"):
        conninfo(config)
    assert conninfo(structs.replace(config, insecure=True)) == config.database
    with pytest.raises(UserError, match="write it as host"):
        conninfo(structs.replace(CONFIG, database="no conninfo"))


def test_root_runs_postgresqls_programs_as_its_user() -> None:
    assert CONFIG.prefix == (AS_POSTGRES if os.geteuid() == 0 else ())
    assert structs.replace(CONFIG, run_as=("docker", "exec", "db")).prefix == ("docker", "exec", "db")


def test_programs_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="PostgreSQL's programs with `programs`"):
        Programs(tmp_path, ()).major_version()
    (tmp_path / "postgres").write_text("#!/bin/sh\necho 'no room' >&2\nexit 1\n")
    (tmp_path / "postgres").chmod(0o755)
    with pytest.raises(UserError, match="no room"):
        Programs(tmp_path, ()).major_version()


def test_a_store_that_is_away_is_said(tmp_path: Path) -> None:
    config = structs.replace(CONFIG, folder=tmp_path, database="host=127.0.0.1 port=1 dbname=x")
    with pytest.raises(UserError, match="cannot be reached") as refused:
        take_backup(config, lambda what, done: None)
    assert refused.value.exit_code == 3


def test_the_newest_commit_of_a_segment() -> None:
    head = "rmgr: Transaction len (rec/tot): 34/34, tx: 733, lsn: 0/01, prev 0/01, desc:"
    output = (
        f"{head} COMMIT 2026-11-30 01:02:03.5 UTC\n"
        f"{head} ABORT 2026-11-30 01:02:05.0 UTC\n"
        f"{head} COMMIT 2026-11-30 01:02:04 UTC; inval msgs: catcache 21\n"
    )
    found = newest_commit(output)
    assert found is not None
    assert found.isoformat() == "2026-11-30T01:02:04+00:00"
    assert newest_commit("") is None
