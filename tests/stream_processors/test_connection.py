"""The store's conninfo out of the configuration, and what of it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import UserError
from stream_processors.config import ProcessorsConfig
from stream_processors.connection import conninfo, reachable

VERIFIED = "postgresql://u@store/x?sslmode=verify-full&sslrootcert=ca.pem"


@pytest.mark.parametrize(
    "database",
    ["dbname=x", "host=/run/postgresql", "host=127.0.0.1 dbname=x", "postgresql://u@localhost:5432/x", VERIFIED],
)
def test_a_database_here_or_verified_is_taken_as_it_is(database: str) -> None:
    assert conninfo(ProcessorsConfig(database=database)) == database


@pytest.mark.parametrize(
    "database", ["host=store", "postgresql://u@127.0.0.1,store/x", "host=127.0.0.1 hostaddr=10.0.0.7", "service=store"]
)
def test_a_line_that_can_be_read_is_refused_unless_asked_for(database: str) -> None:
    with pytest.raises(UserError, match=r"give sslmode=verify-full.*, or, knowingly, set insecure = true$"):
        conninfo(ProcessorsConfig(database=database))
    assert conninfo(ProcessorsConfig(database=database, insecure=True)) == database


def test_what_is_no_conninfo_is_said_in_a_line() -> None:
    with pytest.raises(UserError, match=r'^database: missing "=" after "vitalwire" .*: write it as host='):
        conninfo(ProcessorsConfig(database="vitalwire"))


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.touch(0o600)
    secret.write_text("hush it's\n", "utf-8")
    found = conninfo(ProcessorsConfig(database="dbname=x", database_password_file=secret))
    assert found == "dbname=x password='hush it\\'s'"


def test_whether_the_store_answers(database: str) -> None:
    assert reachable(database)
    assert not reachable("host=127.0.0.1 port=1 dbname=x")
