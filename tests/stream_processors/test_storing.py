import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest

from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from schemas.report import Record
from stream_processors import storing
from stream_processors.stage import Message
from tests.making import PERCENT, SPO2, Key, report
from tests.storing import Store
from tests.stream_processors.platform import AsSigningKey


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def signed(store: Store, *batches: bytes) -> Message:
    opened = store.validate(*batches or [store.seal(report())])
    return Message("live.signed", 1, opened.seal + opened.block.encode())


def as_message(letter: DeadLetter, key: Key) -> Message:
    return Message("live.signed", 1, letter.encode(key.key_id, key.sign))


def committed_by(store: Store, run: Callable[[storing.Store], Coroutine[Any, Any, None]]) -> int:
    """Run this with a stage's store; how often it said that it had committed."""
    committed: list[int] = []

    async def go() -> None:
        stage = storing.Store(store.address, AsSigningKey(store.platform), lambda: committed.append(1))
        try:
            await run(stage)
        finally:
            stage.close()

    asyncio.run(go())
    return len(committed)


def test_a_chunk_is_stored_and_the_receipts_are_told_of(store: Store) -> None:
    async def run(stage: storing.Store) -> None:
        assert await stage.store([signed(store), Message("live.signed", 0, b"noise")]) == []

    assert committed_by(store, run) == 1
    assert store.rows("SELECT (SELECT count(*) FROM report), (SELECT count(*) FROM outbox)") == [(1, 1)]
    assert store.rows("SELECT reason, topic, outcome FROM dead_letter") == [("magic", "live.signed", None)]


def test_a_forged_dead_letter_gets_nothing_but_a_count_and_a_place(store: Store) -> None:
    """It names a batch that nobody has; its edge would let go of it."""
    batch, before = store.seal(report()), storing._forged._value.get()
    letter = DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, batch)

    async def run(stage: storing.Store) -> None:
        await stage.store(
            [as_message(letter, Key()), Message("live.signed", 1, b"VWDEAD\x00\x02" + bytes(400) + batch)]
        )

    committed_by(store, run)
    assert store.rows("SELECT count(*) FROM outbox") == [(0,)]
    assert store.rows("SELECT topic, outcome FROM dead_letter") == [("live.signed", None)] * 2
    assert storing._forged._value.get() == before + 2
    assert store.rows("SELECT count(*) FROM ledger") == [(0,)]


def test_what_validate_did_not_validate_is_kept_and_its_edge_told(store: Store) -> None:
    batches = [store.seal(report()) for _ in range(3)]
    outcomes = (ReceiptOutcome.QUARANTINED, ReceiptOutcome.REFUSED, None)
    letters = [DeadLetter("odd", "live.raw", outcome, batch) for outcome, batch in zip(outcomes, batches, strict=True)]

    async def run(stage: storing.Store) -> None:
        await stage.store([as_message(letter, store.platform) for letter in letters])

    committed_by(store, run)
    assert store.rows("SELECT batch_no, outcome, reason FROM outbox ORDER BY id") == [
        (1, ReceiptOutcome.QUARANTINED, "odd"), (2, ReceiptOutcome.REFUSED, "odd")
    ]  # fmt: skip
    assert store.rows("SELECT count(*) FROM dead_letter") == [(3,)]


def test_a_connection_that_broke_is_opened_again(store: Store) -> None:
    async def run(stage: storing.Store) -> None:
        await stage.store([signed(store)])
        store.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND backend_type = 'client backend'"
        )
        message = signed(store)
        with pytest.raises(psycopg.OperationalError):
            await stage.store([message])
        await stage.store([message])

    assert committed_by(store, run) == 2
    assert store.rows("SELECT count(*) FROM report") == [(2,)]


def test_what_is_no_block_is_kept_as_bytes_once(store: Store) -> None:
    async def run(stage: storing.Store) -> None:
        for _ in range(2):
            assert await stage.dead_letter(Message("live.signed", 0, b"noise"), "store:KeyError") == []

    committed_by(store, run)
    assert store.rows("SELECT reason, topic, outcome, message FROM dead_letter") == [
        ("store:KeyError", "live.signed", None, b"noise")
    ]


def test_of_a_block_that_the_database_refuses_the_good_batches_are_stored(store: Store) -> None:
    store.emit(report())  # makes the month
    with store.open() as conn:
        conn.execute("ALTER TABLE report ADD CONSTRAINT refused CHECK (value[1] <> 66)")
    reports = (report(records=[Record(SPO2, PERCENT, mantissa=value)]) for value in (97, 66, 98))
    first, bad, last = (store.seal(r) for r in reports)
    message = signed(store, first, bad, last)

    async def run(stage: storing.Store) -> None:
        with pytest.raises(psycopg.errors.CheckViolation):
            await stage.store([message])
        for _ in range(2):  # emitted twice, it is the same
            assert await stage.dead_letter(message, "store:CheckViolation") == []

    committed_by(store, run)
    assert store.rows("SELECT array_agg(batch_no ORDER BY batch_no) FROM batch") == [([1, 2, 4],)]
    assert store.rows("SELECT reason, topic, outcome, message FROM dead_letter") == [
        ("store:CheckViolation", "live.raw", ReceiptOutcome.QUARANTINED, bad)
    ]
    assert store.rows("SELECT batch_no, outcome FROM outbox WHERE batch_no > 1 ORDER BY id") == [
        (2, ReceiptOutcome.STORED), (3, ReceiptOutcome.QUARANTINED), (4, ReceiptOutcome.STORED)
    ] * 2  # fmt: skip
    assert store.rows("SELECT reports, quarantined_reports FROM ledger") == [(3, 1)]
