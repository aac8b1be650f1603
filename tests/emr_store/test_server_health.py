"""What the store says of its own health."""

from __future__ import annotations

import pytest

from emr_store.connect import open_store
from emr_store.migrate import migrate, migrations
from emr_store.server_health import expected_indexes, store_health


@pytest.fixture
def database(empty_database: str) -> str:
    migrate(empty_database)
    return empty_database


def test_a_fresh_store_lacks_nothing_but_its_months(database: str) -> None:
    with open_store(database) as conn:
        found = store_health(conn)
        assert (found.missing_indexes, found.pending, found.roles_problem) == ([], [], "")
        assert found.timeline >= 1
        assert len(found.missing_months) == 2  # the processors make them at their start
        conn.execute("SELECT make_month(current_date)")
        conn.execute("SELECT make_month((current_date + interval '1 month')::date)")
        assert store_health(conn).missing_months == []


def test_an_index_that_is_gone_comes_with_the_statement_that_makes_it(database: str) -> None:
    with open_store(database) as conn:
        conn.execute("DROP INDEX batch_ident")
        conn.execute("DELETE FROM schema_version WHERE version = 24")
        found = store_health(conn)
        assert found.pending == [24]
        (missing,) = found.missing_indexes
        assert (missing.name, missing.table) == ("batch_ident", "batch")
        conn.execute(missing.statement.encode())
        assert store_health(conn).missing_indexes == []


def test_an_index_that_a_later_migration_drops_is_not_expected() -> None:
    first = "CREATE INDEX a ON t (x); -- CREATE INDEX c ON t (y);\nCREATE UNIQUE INDEX b ON t (x)\n  WHERE x > 0;"
    assert set(expected_indexes([first, "DROP INDEX a;"])) == {"b"}
    assert expected_indexes([first])["b"].statement == "CREATE UNIQUE INDEX b ON t (x) WHERE x > 0;"
    assert len(expected_indexes([text for _, text in migrations()])) > 50
