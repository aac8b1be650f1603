"""Connections to the store, and what can be asked of it without a schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from schemas.errors import ServiceError

CONNECT_TIMEOUT_S = 5
# A server that vanished behind a cut line is noticed in some 30 s.
_KEEPALIVE = "keepalives_idle=10 keepalives_interval=5 keepalives_count=4 tcp_user_timeout=30000"
_DEFAULTS = f"connect_timeout={CONNECT_TIMEOUT_S} {_KEEPALIVE}"

StoreError = psycopg.Error


@contextmanager
def store_errors() -> Iterator[None]:
    """A StoreError inside comes out as a ServiceError: a transient one, unless it lies with the values themselves."""
    try:
        yield
    except psycopg.Error as error:
        is_of_values = isinstance(error, (psycopg.DataError, psycopg.IntegrityError))
        raise ServiceError(type(error).__name__, str(error), transient=not is_of_values) from error


def is_forbidden(error: psycopg.Error) -> bool:
    """Whether the login lacks a right for it."""
    return isinstance(error, psycopg.errors.InsufficientPrivilege)


def limit_statements(conn: psycopg.Connection, limit_s: float) -> None:
    """Each later statement of this connection is given up after so long: `took_too_long` knows the error."""
    conn.execute("SELECT set_config('statement_timeout', %s, false)", (f"{round(limit_s * 1000)}ms",))


def took_too_long(error: psycopg.Error) -> bool:
    """Whether a statement reached the limit of its connection."""
    return isinstance(error, psycopg.errors.QueryCanceled)


def with_role(conninfo: str, role: str) -> str:
    """The same conninfo for one of the groups of emr_store/roles.py; raises StoreError for a text that is none.

    `open_store` then uses the group's rights alone, where the login is a member of it and the group has rights in this
    database; else those of the login.
    """
    options = f"{conninfo_to_dict(conninfo).get('options', '')} {_ROLE}{role}"
    return make_conninfo(conninfo, options=options.strip())


_ROLE = "-c vitalwire.role="  # taken out again before the server, or a pooler before it, sees it


def open_store(conninfo: str) -> psycopg.Connection:
    """A connection for reading and small changes; every statement is its own transaction."""
    complete, role = _complete(conninfo)
    conn = psycopg.connect(complete, autocommit=True)
    if role:
        try:
            conn.execute(_SET_ROLE_SQL, {"role": role})
        except BaseException:
            conn.close()
            raise
    return conn


# A login that is the group already, or that only inherits its rights (PostgreSQL 16: WITH SET FALSE), keeps its own.
_SET_ROLE_SQL = """
SELECT set_config('role', rolname, false) FROM pg_roles
WHERE rolname = %(role)s AND rolname <> current_user
    AND pg_has_role(oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
    AND coalesce(has_table_privilege(oid, to_regclass('schema_version'), 'SELECT'), false)
"""


@contextmanager
def one_moment(conn: psycopg.Connection) -> Iterator[None]:
    """What is read inside is of one moment, whatever is stored meanwhile."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def with_password(conninfo: str, password: str) -> str:
    """The same conninfo with this password."""
    return make_conninfo(conninfo, password=password)


def split_password(conninfo: str) -> tuple[str, str]:
    """The conninfo without its password, for a command line that others can read, and the password ("": none)."""
    stated = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    password = stated.pop("password", "")
    return make_conninfo("", **stated), password


def at_socket(conninfo: str, folder: str) -> str:
    """The same database and login, at the server on this machine whose socket is in the folder."""
    stated = conninfo_to_dict(conninfo)
    named = {name: str(stated[name]) for name in ("dbname", "user") if stated.get(name)}
    return make_conninfo("", host=folder, port="5432", **named)


@dataclass(frozen=True)
class StoreServer:
    """Where a conninfo leads: `hosts` as libpq takes them, and its `ssl_mode`."""

    hosts: tuple[str, ...]
    ssl_mode: str


def server_of(conninfo: str) -> StoreServer:
    """Where this conninfo leads, with what libpq adds from the environment.

    A service is a host of its own: its file, which libpq reads later, may name any. Raises StoreError for a text that
    is no conninfo.
    """
    stated = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    if "service" in stated:
        return StoreServer((f"service {stated['service']}",), stated.get("sslmode", "(of the service)"))
    defaults = {o.keyword.decode(): (o.val or b"").decode() for o in psycopg.pq.Conninfo.get_defaults()}
    found = defaults | stated
    names, addresses = found["host"].split(","), found["hostaddr"].split(",")
    # libpq dials the address where there is one; the name is then for the certificate alone.
    hosts = tuple(address or name for name, address in zip_longest(names, addresses, fillvalue=""))
    return StoreServer(hosts, found["sslmode"])


async def open_store_async(conninfo: str) -> psycopg.AsyncConnection:
    """A connection for the writer, which opens its transactions itself."""
    complete, role = _complete(conninfo)
    conn = await psycopg.AsyncConnection.connect(complete, autocommit=True)
    if role:
        try:
            await conn.execute(_SET_ROLE_SQL, {"role": role})
        except BaseException:
            await conn.close()
            raise
    return conn


def _complete(conninfo: str) -> tuple[str, str]:
    """The conninfo for libpq with our defaults, and the group that `with_role` named ("": none)."""
    stated = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    options, _, role = stated.pop("options", "").partition(_ROLE)
    if options.strip():
        stated["options"] = options.strip()
    return make_conninfo(_DEFAULTS, **stated), role


# The timeline that is written on now: a promoted replica keeps the old one in its control file for minutes.
_INCARNATION_SQL = """
SELECT system_identifier::text || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()
"""


def current_incarnation(conn: psycopg.Connection) -> bytes:
    """16 bytes that name this store between two restores or failovers: of its system identifier and timeline.

    Raises StoreError on a replica, which writes on none.
    """
    return _incarnation(conn.execute(_INCARNATION_SQL).fetchone())


async def current_incarnation_async(conn: psycopg.AsyncConnection) -> bytes:
    """The same; of what is read over one connection, it names the server that it was read from."""
    cursor = await conn.execute(_INCARNATION_SQL)
    return _incarnation(await cursor.fetchone())


def _incarnation(row: tuple[Any, ...] | None) -> bytes:
    assert row is not None
    return sha256(str(row[0]).encode()).digest()[:16]
