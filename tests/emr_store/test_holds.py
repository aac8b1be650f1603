from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from emr_store import acts, holds
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.migrate import migrate
from schemas.errors import VitalwireError

AUTHOR = Author("os:jurist@house", "case 7")
MONTH = "report_2026_09"


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    migrate(database)
    with open_store(database) as conn:
        conn.execute(
            f"CREATE TABLE {MONTH} PARTITION OF report FOR VALUES FROM ('2026-09-01') TO ('2026-10-01')".encode()
        )
        yield conn


def test_a_partition_is_held_and_released_by_acts(conn: psycopg.Connection) -> None:
    holds.add(conn, MONTH, AUTHOR)
    (held,) = holds.holds(conn)
    assert (held.partition, held.by, held.why) == (MONTH, "os:jurist@house", "case 7")
    assert [p.held for p in holds.partitions(conn) if p.partition == MONTH] == [True]
    assert conn.execute("SELECT encode(act, 'hex') FROM legal_hold").fetchone() == (acts.acts(conn)[0].act_id,)
    holds.release(conn, MONTH, Author("os:jurist@house"))
    assert holds.holds(conn) == []
    assert [(a.kind, a.details, a.at == held.since) for a in acts.acts(conn)] == [
        ("hold.add", {"partition": MONTH}, True), ("hold.release", {"partition": MONTH}, False)
    ]  # fmt: skip


def test_batches_are_held_by_ranges_of_their_numbers(conn: psycopg.Connection) -> None:
    spans = {p.partition: p.bounds for p in holds.partitions(conn)}
    assert spans["batch_body_1_0"].startswith("FOR VALUES IN ('1') FOR VALUES FROM ('0') TO (")
    assert "batch_body_1" not in spans  # holds no rows itself
    assert "2026-10-01" in spans[MONTH]
    holds.add(conn, "batch_body_1_0", AUTHOR)


def test_what_cannot_be_held_is_refused_and_is_no_act(conn: psycopg.Connection) -> None:
    with pytest.raises(VitalwireError, match=r"no partition 'edge': see `vitalwire hold partitions`"):
        holds.add(conn, "edge", AUTHOR)
    with pytest.raises(VitalwireError, match="needs its reason: --why"):
        holds.add(conn, MONTH, Author("os:a@b", " "))
    with pytest.raises(VitalwireError, match=f"{MONTH} is not held"):
        holds.release(conn, MONTH)
    holds.add(conn, MONTH, AUTHOR)
    with pytest.raises(VitalwireError, match="held already"):
        holds.add(conn, MONTH, AUTHOR)
    assert [a.kind for a in acts.acts(conn)] == ["hold.add"]
