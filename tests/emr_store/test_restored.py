"""The act of a restored store."""

from __future__ import annotations

import pytest

from emr_store.acts import Author, acts
from emr_store.restored import record_restored
from tests.storing import Store

AUTHOR = Author("os:root@hospital", "the disk broke")


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def test_it_is_an_act_like_any_other(store: Store) -> None:
    assert record_restored(store.address, AUTHOR, {"backup": "b", "until": None}) == ""
    with store.open() as conn:
        (found,) = [act for act in acts(conn) if act.kind == "store.restored"]
    assert (found.by, found.why, found.details) == (AUTHOR.by, AUTHOR.why, {"backup": "b", "until": None})


def test_what_hinders_it_is_said_in_a_line_and_hinders_nothing_else(store: Store) -> None:
    nowhere = "host=127.0.0.1 port=1 dbname=x user=y"
    assert "refused" in record_restored(nowhere, AUTHOR, {})
    assert "\n" not in record_restored(nowhere, AUTHOR, {})
    assert "JSON" in record_restored(store.address, AUTHOR, {"x": float("nan")})
