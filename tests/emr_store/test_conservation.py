from datetime import UTC, datetime
from uuid import UUID

import pytest

from emr_store import conservation
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from schemas.report import device_id
from tests.making import T0_US, report
from tests.storing import EDGE, Store, event

SECOND = 1_000_000


EDGE_CLAIM = f"edge:{UUID(bytes=EDGE)}"


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def quarantined(message: bytes) -> DeadLetter:
    return DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, message)


def test_a_quarantined_batch_is_no_gap_and_hides_none(store: Store) -> None:
    first, second, third, fourth, fifth = (store.seal(report(at_us=T0_US + i)) for i in range(5))

    def stream() -> conservation.Stream:
        with store.open() as conn:
            (found,) = conservation.streams(conn)
            return found

    store.write([store.validate(first)])
    store.write([], [quarantined(second)])
    assert (stream().last_batch_no, stream().gaps) == (2, 0)  # adjacent and the newest
    store.write([], [quarantined(fifth)])
    assert (stream().last_batch_no, stream().gaps) == (5, 2)
    store.write([store.validate(fourth)])
    assert (stream().last_batch_no, stream().gaps) == (5, 1)
    store.write([store.validate(third), store.validate(fifth)])
    assert (stream().last_batch_no, stream().gaps, stream().quarantined_reports) == (5, 0, 1)
    assert stream().duplicates == 0
    store.write([store.validate(third)])
    assert stream().duplicates == 1


def test_each_devices_own_count_stands_beside_what_is_kept(store: Store) -> None:
    one, two, three = store.seal(report("a"), report("b")), store.seal(report("b")), store.seal(report("b"))
    store.write([store.validate(m) for m in (one, three)])
    with store.open() as conn:
        assert {s.device: (s.last, s.stored) for s in conservation.sequences(conn)} == {
            device_id("a"): (1, 1), device_id("b"): (3, 2)
        }  # fmt: skip
        total = conservation.conservation(conn)
        assert (total["said"], total["stored"], total["quarantined"]) == (4, 3, 0)
    store.write([store.validate(two)])
    with store.open() as conn:
        assert [conservation.conservation(conn)[k] for k in ("stored", "accepted")] == [4, 8]


def equation(store: Store) -> list[int]:
    with store.open() as conn:
        total = conservation.conservation(conn)
    names = ("said", "stored", "quarantined", "on_the_way", "lost", "unexplained")
    assert total["said"] == sum(total[name] for name in names[1:])
    return [total[name] for name in names]


@pytest.mark.parametrize(
    ("counts", "on_the_way", "unexplained"),
    [
        (None, 0, 3),
        ('{"unreceipted_batches": 1, "waiting_reports": 0}', 3, 0),  # any of them may lie in it
        ('{"unreceipted_batches": 1, "unreceipted:live": 1}', 3, 0),
        ('{"unreceipted_batches": 1, "unreceipted:live": 0, "unreceipted:backfill": 1}', 2, 1),  # it is missing in live
        ('{"unreceipted_batches": 2, "unreceipted:live": 2}', 3, 0),
        ('{"unreceipted_batches": 0, "waiting_reports": 2}', 2, 1),
        ('{"unreceipted_batches": 0, "waiting_reports": 9}', 3, 0),
        ('{"unreceipted_batches": "many"}', 0, 3),
        ("no JSON", 0, 3),
        ("{}", 0, 3),
    ],
)
def test_what_is_missing_is_on_the_way_as_far_as_its_edge_says(
    store: Store, counts: str | None, on_the_way: int, unexplained: int
) -> None:
    store.seal(report("a"), report("a"), report("b"))  # and never comes
    counted = [] if counts is None else [event(EDGE_CLAIM, "counts", counts)]
    store.emit(report("a"), report("b"), *counted)
    stored = 2 + len(counted)
    assert equation(store) == [stored + 3, stored, 0, on_the_way, 0, unexplained]


def test_what_went_with_a_spool_that_its_edge_has_no_longer_is_lost(store: Store) -> None:
    store.seal(report("a"))
    store.emit(report("a"), event(EDGE_CLAIM, "counts", '{"unreceipted_batches": 1}'))
    with store.open() as conn:
        for table in ("sequence_noted", "ledger"):
            conn.execute(f"UPDATE {table} SET spool = %s".encode(), [UUID(int=1)])
    assert equation(store) == [3, 2, 0, 1, 0, 0]
    store.emitted.clear()
    store.emit(report("a"))
    assert equation(store) == [4, 3, 0, 0, 1, 0]


def test_gaps_of_the_last_day_are_told(store: Store) -> None:
    now_us = int(datetime.now(UTC).timestamp()) * SECOND
    store.emit(
        *(event(EDGE_CLAIM, "gap", f"{who} from {now_us} to {now_us + 90 * SECOND}", now_us) for who in ("a was", "b")),
        event(EDGE_CLAIM, "gap", f"c was gone from {now_us} to {now_us + SECOND}", now_us - 25 * 3600 * SECOND),
        event("x", "silent", f"y from {now_us} to {now_us + SECOND}", now_us),
        event(EDGE_CLAIM, "gap", "since long ago", now_us),
    )
    with store.open() as conn:
        total = conservation.conservation(conn)
    assert (total["gaps"], total["gap_s"]) == (3, 180)  # one does not say how long
