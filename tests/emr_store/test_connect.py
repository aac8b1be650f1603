"""Where a conninfo leads, as libpq would read it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from emr_store.connect import (
    StoreError,
    StoreServer,
    at_socket,
    current_incarnation,
    open_store,
    server_of,
    split_password,
    store_errors,
)
from schemas.errors import ServiceError
from vitalwire.embedded import postgres


@pytest.fixture(autouse=True)
def _nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("conninfo", "hosts", "ssl_mode"),
    [
        ("dbname=x", ("",), "prefer"),
        ("host=/run/postgresql", ("/run/postgresql",), "prefer"),
        ("postgresql://u@a,b:5/x?sslmode=require", ("a", "b"), "require"),
        ("postgresql://u@[::1]:5/x", ("::1",), "prefer"),
        ("host=127.0.0.1 hostaddr=10.0.0.7", ("10.0.0.7",), "prefer"),
        ("host=a,b hostaddr=,10.0.0.7 sslmode=verify-ca", ("a", "10.0.0.7"), "verify-ca"),
        ("service=ward", ("service ward",), "(of the service)"),
        ("service=ward host=127.0.0.1 sslmode=verify-full", ("service ward",), "verify-full"),
    ],
)
def test_where_it_leads(conninfo: str, hosts: tuple[str, ...], ssl_mode: str) -> None:
    assert server_of(conninfo) == StoreServer(hosts, ssl_mode)


def test_the_environment_counts_where_it_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "a")
    monkeypatch.setenv("PGSSLMODE", "require")
    assert server_of("dbname=x") == StoreServer(("a",), "require")
    assert server_of("host=b sslmode=disable") == StoreServer(("b",), "disable")
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.7")
    assert server_of("host=127.0.0.1").hosts == ("10.0.0.7",)


def test_libpq_dials_the_address_before_the_name() -> None:
    """The rule of the test above: the name is no host at all, and the address is refused by this machine itself."""
    with pytest.raises(StoreError, match=r"127\.0\.0\.1.* port 1 failed: Connection refused"):
        open_store("host=name.invalid hostaddr=127.0.0.1 port=1 dbname=x")


def test_what_is_no_conninfo() -> None:
    with pytest.raises(StoreError, match='missing "="'):
        server_of("nonsense")


def test_a_promoted_replica_is_another_incarnation(tmp_path: Path) -> None:
    """A copy that recovers and is promoted writes on a timeline of its own; the original goes on with the old one."""
    original, replica = tmp_path / "original", tmp_path / "replica"
    original.mkdir()
    replica.mkdir()
    with running(original) as conninfo, open_store(conninfo) as conn:
        before = current_incarnation(conn)
        conn.execute("CREATE TABLE kept AS SELECT 1 AS value")
    copy_as_its_owner(original / "postgres", replica / "postgres")
    shutil.copy(original / "database.pgpass", replica)
    (replica / "postgres" / "standby.signal").touch()
    with running(replica, standby=True) as conninfo, open_store(conninfo) as conn:
        with pytest.raises(StoreError, match="recovery is in progress"):
            current_incarnation(conn)
        conn.execute("SELECT pg_promote()")
        promoted = current_incarnation(conn)
        assert promoted == current_incarnation(conn) != before
        assert conn.execute("SELECT value FROM kept").fetchone() == (1,)
    with running(original) as conninfo, open_store(conninfo) as conn:
        assert current_incarnation(conn) == before
    with running(replica) as conninfo, open_store(conninfo) as conn:
        assert current_incarnation(conn) == promoted


@contextmanager
def running(folder: Path, *, standby: bool = False) -> Iterator[str]:
    """The server in this folder; its libpq address."""
    with ExitStack() as undo:
        server = postgres.prepare(folder, undo, lambda _: None)
        child = server.start()
        try:
            ready = partial(answers, server) if standby else server.answers
            assert child.wait_until(ready, 60), child.last_words()
            yield server.conninfo()
        finally:
            child.end()


def answers(server: postgres.Server) -> bool:
    """A standby makes no database, and has the original's."""
    try:
        open_store(server.conninfo()).close()
    except StoreError:
        return False
    return True


def copy_as_its_owner(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    for path in [source, *source.rglob("*")]:
        found = path.stat()
        os.chown(target / path.relative_to(source), found.st_uid, found.st_gid)


@pytest.mark.parametrize(
    ("statement", "reason", "transient"),
    [
        ("SELECT 1 / 0", "DivisionByZero", False),
        ("INSERT INTO one VALUES (1)", "UniqueViolation", False),
        ("SELECT FROM not_migrated_yet", "UndefinedTable", True),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "AdminShutdown", True),
    ],
)
def test_what_another_attempt_may_do(database: str, statement: str, reason: str, transient: bool) -> None:
    with open_store(database) as conn:
        conn.execute("CREATE TEMP TABLE one (id int PRIMARY KEY); INSERT INTO one VALUES (1)")
        with pytest.raises(ServiceError) as raised, store_errors():
            conn.execute(statement.encode())
    assert (raised.value.reason, raised.value.transient) == (reason, transient)
    assert isinstance(raised.value.__cause__, StoreError)


def test_a_password_is_taken_out_of_a_conninfo() -> None:
    shown, password = split_password("postgresql://vw:se%20cret@db.example/vitalwire?sslmode=verify-full")
    assert password == "se cret"
    assert "cret" not in shown
    assert server_of(shown) == StoreServer(("db.example",), "verify-full")
    assert split_password("dbname=x")[1] == ""


def test_the_same_database_at_a_socket_of_this_machine() -> None:
    found = at_socket("postgresql://vw:secret@db.example:6432/vitalwire?sslmode=verify-full", "/run/restored")
    assert dict(word.split("=") for word in found.split()) == {
        "dbname": "vitalwire", "user": "vw", "host": "/run/restored", "port": "5432",
    }  # fmt: skip
