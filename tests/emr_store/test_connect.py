"""Where a conninfo leads, as libpq would read it."""

from __future__ import annotations

import pytest

from emr_store.connect import StoreError, StoreServer, open_store, server_of


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
