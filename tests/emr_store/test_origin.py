from datetime import UTC, datetime
from uuid import UUID

import pytest

from emr_store import origin, places
from emr_store.latest import latest
from schemas.block import ValidationResult
from schemas.report import Record
from tests.making import PERCENT, SPO2, T0_US, report
from tests.storing import EDGE, NOW_US, Store, event

SECOND = 1_000_000


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def numeric(code: int, unit: int, value: int, channel: int = 0) -> Record:
    return Record(code, unit, channel=channel, mantissa=value)


def test_a_latest_value_names_its_result_its_bed_and_its_origin(store: Store) -> None:
    store.emit(event("demo:nonin:1", "connected", ""))
    store.emit(report(records=[numeric(SPO2, PERCENT, 250)]))
    with store.open() as conn:
        places.assign(conn, "demo:nonin:1", "ICU-01", name="n", since=datetime(2026, 1, 1, tzinfo=UTC))
        (value,) = latest(conn)
        assert value.batch_id is not None
        where = origin.origin(conn, value.batch_id)
        assert origin.origin(conn, bytes(32)) is None
        assert where is not None
    assert (value.claim, value.bed, value.name) == ("demo:nonin:1", "ICU-01", "n")
    assert (value.validation_result, value.leaf) == (ValidationResult.DOUBTFUL_RANGE, 0)
    assert where == {
        "batch_no": 2, "batch_id": value.batch_id.hex(), "edge": f"box {UUID(bytes=EDGE)}", "lane": "live",
        "signed_ms": NOW_US // 1000, "position": None, "earlier_seals": 0,
    }  # fmt: skip


def test_the_newest_report_has_a_way(store: Store) -> None:
    with store.open() as conn:
        assert origin.newest_path(conn) is None
    store.emit(report())
    store.emit(report("b", T0_US + 1))
    with store.open() as conn:
        path = origin.newest_path(conn)
    assert path is not None
    assert (path.batch_no, path.position, path.lane, path.leaf) in {(1, None, 1, 0), (2, None, 1, 0)}
    assert path.received_at < path.signed_at
    store.seal_log()
    with store.open() as conn:
        logged = origin.newest_path(conn)
        assert logged is not None
        assert logged.position == logged.batch_no + 1  # after the log's beginning and the registration of its edge
