import pytest

from schemas.block import ValidationResult
from schemas.report import Record
from tests.making import PERCENT, SPO2, T0_US, report, sealed
from tests.storing import Store

DOUBTFUL = Record(SPO2, PERCENT, mantissa=300)


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


@pytest.mark.parametrize(
    ("created_at_us", "stored"),
    [
        (T0_US, "2026-09-21 14:13:20+00"),
        (-(2**63), "0001-01-01 00:00:00+00"),
        (2**63 - 1, "9999-12-31 23:59:59.999999+00"),
    ],
)
def test_an_edges_clock_may_say_anything(store: Store, created_at_us: int, stored: str) -> None:
    batch = sealed([report()], store.edge_key, edge=store.edge, spool=store.spool, created_at_us=created_at_us)
    store.write([store.validate(batch)])
    assert store.rows("SELECT (created_at AT TIME ZONE 'UTC')::text || '+00', edge::text FROM batch") == [
        (stored, "45454545-4545-4545-4545-454545454545")
    ]


def test_of_a_block_that_came_in_part_before_the_rest_keeps_what_was_said_of_it(store: Store) -> None:
    first, second, third = (
        store.seal(report("demo:m:1", T0_US + i), report("demo:m:2", T0_US + i, [DOUBTFUL] * i)) for i in (1, 2, 3)
    )
    store.write([store.validate(second)])
    written = store.write([store.validate(first, second, third), store.validate(store.seal(report("demo:m:3")))])
    assert (written.batches, written.duplicates, written.reports, written.values) == (3, 1, 5, 3 + 5 + 2)
    rows = store.rows(
        "SELECT batch_no, leaf, cardinality(value), coalesce(validation_result[1], 0)::int, reports, records"
        " FROM report JOIN batch USING (batch) ORDER BY batch_no, leaf"
    )
    doubtful = int(ValidationResult.DOUBTFUL_RANGE)
    assert rows == [
        (1, 0, 2, 0, 2, 3), (1, 1, 1, doubtful, 2, 3), (2, 0, 2, 0, 2, 4), (2, 1, 2, doubtful, 2, 4),
        (3, 0, 2, 0, 2, 5), (3, 1, 3, doubtful, 2, 5), (4, 0, 2, 0, 1, 2),
    ]  # fmt: skip
    assert store.rows("SELECT reports, accepted, doubtful, duplicates, kept::text FROM ledger") == [
        (7, 8, 6, 1, "{[1,5)}")
    ]
