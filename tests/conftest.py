"""The servers that tests speak to: the embedded ones, or the real ones for `integration` and `faults` where named.

`VITALWIRE_KAFKA` (bootstrap servers) and `VITALWIRE_DATABASE` (a libpq address of a user who may create databases) name
the real ones. Databases are fresh in either case; topics are told apart by `topic_prefix`.

A fresh database has the schema already: a copy of one that `migrate` made costs a tenth of what `migrate` does. Where
tests are about having none, their module has a fixture `database` that is `empty_database`.
"""

from __future__ import annotations

import functools
import gc
import os
import secrets
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg
import pytest
import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from benchmarks.databases import drop_database
from emr_store.migrate import migrate
from tests.runtime.conftest import Certified, certify
from vitalwire.embedded import Addresses, EmbeddedServices

KAFKA_LIMIT_S = 10
MEMORY = Path("/dev/shm")  # a file system in memory; a container's default of 64 MB is too small
MEMORY_BYTES_MIN = 4_000_000_000


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Without looking for garbage among the half million objects that it makes, and never among those again: none goes
    before the end, and it took a seventh of the collection and a part of each test after it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """The embedded services, started once for the session."""
    # Hundreds of tests make a database each, and none is to outlive the machine: that takes two thirds of their time.
    with ExitStack() as at_end:
        folder = tmp_path_factory.mktemp("embedded")
        if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
            folder = Path(at_end.enter_context(TemporaryDirectory(dir=MEMORY, prefix="vitalwire-tests-")))
        addresses = at_end.enter_context(EmbeddedServices(folder))
        with psycopg.connect(addresses.database, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET max_wal_size = '128MB'")
            connection.execute("SELECT pg_reload_conf()")
            _make_password_quick(connection, addresses.database)
        yield addresses


def _make_password_quick(connection: psycopg.Connection, conninfo: str) -> None:
    """The same password, checked with one round of its hash: 4096 take a client 5 ms at each connection."""
    line = Path(str(conninfo_to_dict(conninfo)["passfile"])).read_text()
    password = line.rstrip("\n").rpartition(":")[2]
    connection.execute("SET scram_iterations = 1")
    connection.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(password))


@pytest.fixture(scope="session", autouse=True)
def commands_built_once() -> Iterator[None]:
    """`CliRunner` builds an app's commands at each call, 0.1 s for those of `vitalwire`; no call changes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session", autouse=True)
def nobody_signed_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands find no session that whoever runs the tests made by `vitalwire login`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certify(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return certify(tmp_path_factory.mktemp("theirs"), "theirs")


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap servers of a broker."""
    address: str = _real(request, "VITALWIRE_KAFKA") or request.getfixturevalue("embedded").kafka
    return address


@pytest.fixture
def topic_prefix(kafka: str) -> Iterator[str]:
    """What this test's topics begin with; they are deleted after it."""
    prefix = f"t{secrets.token_hex(4)}."
    yield prefix
    admin = AdminClient({"bootstrap.servers": kafka})
    with suppress(KafkaException):  # a broker that the test has ended has none left
        topics = [name for name in admin.list_topics(timeout=KAFKA_LIMIT_S).topics if name.startswith(prefix)]
        for deleted in admin.delete_topics(topics).values() if topics else ():
            deleted.result(KAFKA_LIMIT_S)


class Databases:
    """The fresh databases of one embedded server. Each is dropped when the next one is: those whose test has just ended
    may still be held by a backend that ends, which the server would look for again in a tenth of a second.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self._ended: list[str] = []
        self.template = self.make()
        migrate(address_of(server, self.template))
        # TimescaleDB's scheduler goes into each that it may enter, and what somebody is in is not copied.
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {self.template} ALLOW_CONNECTIONS false".encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (self.template,)
            )

    def make(self, template: str = "template1") -> str:
        """The name of a new one."""
        name = f"t{secrets.token_hex(8)}"
        with psycopg.connect(self.server, autocommit=True) as connection:
            # Copied as files: PostgreSQL's other way writes every page to its log as well.
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy".encode())
        return name

    def make_migrated(self) -> str:
        """The name of a new one, with what `migrate` leaves in a database."""
        return self.make(self.template)

    def copy_of(self, address: str) -> Iterator[str]:
        """The libpq address of a copy of this database, which nobody may have open; it is ended afterwards."""
        name = self.make(urlsplit(address).path[1:])
        yield address_of(self.server, name)
        self.end(name)

    def end(self, name: str) -> None:
        """Nobody needs it any more."""
        for ended in self._ended:
            drop_database(self.server, ended)
        self._ended = [name]


class RealDatabases(Databases):
    """Those of a real server. Nobody is superuser there, and TimescaleDB is in each: so none can be copied."""

    def __init__(self, server: str) -> None:
        self.server = server

    def make_migrated(self) -> str:
        """The name of a new one, with what `migrate` leaves in a database."""
        name = f"t{secrets.token_hex(8)}"
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        migrate(address_of(self.server, name))
        return name

    def end(self, name: str) -> None:
        drop_database(self.server, name)


def address_of(server: str, name: str) -> str:
    """The libpq address of this database."""
    return urlsplit(server)._replace(path=f"/{name}").geturl()


@pytest.fixture(scope="session")
def databases(embedded: Addresses) -> Databases:
    """Fresh databases of the embedded server."""
    return Databases(embedded.database)


@pytest.fixture(scope="session")
def real_databases() -> Databases:
    """Fresh databases of the real server."""
    return RealDatabases(os.environ["VITALWIRE_DATABASE"])


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The libpq address of a fresh database, which has the schema."""
    is_real = _real(request, "VITALWIRE_DATABASE") is not None
    databases: Databases = request.getfixturevalue("real_databases" if is_real else "databases")
    name = databases.make_migrated()
    yield address_of(databases.server, name)
    databases.end(name)


@pytest.fixture(scope="module")
def module_database(databases: Databases) -> Iterator[str]:
    """As `database` on the embedded server, for all tests of a module that only read what the first one made there."""
    name = databases.make_migrated()
    yield address_of(databases.server, name)
    databases.end(name)


@pytest.fixture
def empty_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The libpq address of a fresh database without a schema, dropped after the test."""
    server = _real(request, "VITALWIRE_DATABASE") or request.getfixturevalue("embedded").database
    name = f"t{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield address_of(server, name)
    drop_database(server, name)


def _real(request: pytest.FixtureRequest, variable: str) -> str | None:
    """The real server's address, for tests that are marked to have one."""
    marked = any(request.node.get_closest_marker(name) for name in ("integration", "faults"))
    return os.environ.get(variable) if marked else None
