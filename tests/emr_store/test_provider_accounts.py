"""Which account at a provider is whose."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from emr_store import login_sessions, provider_accounts
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.login_sessions import NewSession
from evidence.act import parse_act
from schemas.errors import VitalwireError
from tests.gateway.signing_in import hire

HERE, THERE = "https://id.example/here", "https://id.example/there"
ANN = Author("os:ann@office", "a new account")


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    hire(database, "N1")
    hire(database, "N2")
    with open_store(database) as conn:
        yield conn


def acted(conn: psycopg.Connection) -> list[tuple[str, str]]:
    found = [parse_act(bytes(body)) for (body,) in conn.execute("SELECT body FROM act")]
    ordered = sorted(found, key=lambda act: act.at_us)
    return [(act.kind, act.by) for act in ordered if act.kind.startswith("account.")]


def test_the_first_account_of_each_provider_is_bound_once(conn: psycopg.Connection) -> None:
    for _ in range(2):
        assert provider_accounts.bind(conn, HERE, "s1", "N1")
    assert provider_accounts.bind(conn, THERE, "s1", "N1")
    assert acted(conn) == [("account.bind", "staff:N1"), ("account.bind", "staff:N1")]
    assert not provider_accounts.bind(conn, HERE, "s2", "N1")
    assert not provider_accounts.bind(conn, HERE, "s1", "N2")
    assert provider_accounts.bind(conn, HERE, "s2", "N2")
    assert not provider_accounts.bind(conn, HERE, "s1", "N2")  # each of the two is another's


def test_one_that_is_unbound_lets_another_in_and_ends_its_sessions(conn: psycopg.Connection) -> None:
    assert provider_accounts.bind(conn, HERE, "s1", "N1")
    now = datetime.now(UTC)
    for session, issuer in ((b"1", HERE), (b"2", None)):
        new = NewSession("N1", "provider", "w", "a", "t", None, now + timedelta(hours=1), issuer=issuer)
        login_sessions.begin(conn, session, new, now)
    assert provider_accounts.unbind(conn, "N1", ANN) == 1
    assert acted(conn)[-1] == ("account.unbind", "os:ann@office")
    assert provider_accounts.bind(conn, HERE, "s2", "N1")
    assert provider_accounts.bind(conn, HERE, "s1", "N2")


def test_what_cannot_be_unbound_says_why(conn: psycopg.Connection) -> None:
    with pytest.raises(VitalwireError, match="no account is bound to N1"):
        provider_accounts.unbind(conn, "N1", ANN)
    assert provider_accounts.bind(conn, HERE, "s1", "N1")
    with pytest.raises(VitalwireError, match="--why"):
        provider_accounts.unbind(conn, "N1", Author("os:ann@office", " "))
