import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from emr_store import alerts, conservation, proof, registry
from emr_store.retention import Keep
from evidence.statements import ReceiptOutcome, read_receipt
from runtime import config as configuration
from runtime import keys
from runtime.errors import UserError
from schemas.block import Quarantine, ReportFlag, read_block, read_quarantine
from schemas.errors import LayoutError
from schemas.report import Lane, Record
from schemas.topics import receipt_partition
from schemas.transition import Transition
from stream_processors import alert, work
from stream_processors.config import ProcessorsConfig
from stream_processors.sign import sign
from stream_processors.stage import Message, Output
from stream_processors.work import Alert, Judge, deliver_receipts, file_alerts
from tests.making import PERCENT, SPO2, T0_US, Key, report, sealed
from tests.storing import EDGE, NOW_US, Store

NOWHERE = "host=127.0.0.1 port=1 dbname=x"
LIMITS = [alert.Limit(SPO2, low=90.0)]


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory) -> keys.SigningKey:
    return keys.generate(tmp_path_factory.mktemp("key") / "platform.key")


def raw(message: bytes, partition: int = 0) -> Message:
    return Message("live.raw", partition, message)


def reasons(outputs: Sequence[Output]) -> list[str]:
    """ "" for a block, the reason of a quarantined message."""
    return [read_quarantine(o.value).reason if o.value.startswith(b"VWQUARA") else "" for o in outputs]


class Reads:
    """How often the registry was asked, and whether it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.away = 0, False
        opened = work.open_store

        def open_store(conninfo: str) -> psycopg.Connection:
            self.count += 1
            return opened(NOWHERE if self.away else conninfo)

        monkeypatch.setattr(work, "open_store", open_store)


def test_nothing_is_judged_before_the_registry_was_read(store: Store, key: keys.SigningKey) -> None:
    judge = Judge(NOWHERE, key, 5.0)
    with pytest.raises(TimeoutError):  # which the stage takes for a service that is away
        asyncio.run(judge.validate(Lane.LIVE, [raw(store.seal(report()))]))


def test_while_the_store_is_away_the_last_registry_holds(
    store: Store, key: keys.SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        reads, judge = Reads(monkeypatch), Judge(store.address, key, 5.0)
        assert reasons(await judge.validate(Lane.LIVE, [raw(store.seal(report()))])) == [""]
        reads.away = True
        await judge.refresh()
        assert reads.count == 2
        assert reasons(await judge.validate(Lane.LIVE, [raw(store.seal(report()))])) == [""]

    asyncio.run(run())


def test_an_unknown_edge_has_the_registry_read_again_once_a_second(
    store: Store, key: keys.SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        reads, judge, stranger = Reads(monkeypatch), Judge(store.address, key, 5.0), Key()
        message = raw(sealed([report()], stranger, edge=b"N" * 16))
        for _ in range(3):  # just read: not stale yet
            assert reasons(await judge.validate(Lane.LIVE, [message])) == ["unknown-edge"]
        assert reads.count == 1
        monkeypatch.setattr(work, "UNKNOWN_EDGE_WAIT_S", 0.0)
        assert reasons(await judge.validate(Lane.LIVE, [message])) == ["unknown-edge"]
        assert reads.count == 2
        with store.open() as conn:
            registry.add_edge(conn, UUID(bytes=b"N" * 16), "new", stranger.public_der)
        assert reasons(await judge.validate(Lane.LIVE, [message])) == [""]
        assert reads.count == 3
        with store.open() as conn:
            registry.revoke_edge(conn, UUID(bytes=b"N" * 16))
        await judge.refresh()
        assert reasons(await judge.validate(Lane.LIVE, [message])) == ["key-not-valid"]

    asyncio.run(run())


def test_blocks_stay_in_their_partitions(store: Store, key: keys.SigningKey) -> None:
    async def run() -> None:
        judge = Judge(store.address, key, 5.0)
        lot = [raw(store.seal(report()), 2), raw(store.seal(report()), 0), raw(store.seal(report()), 2)]
        valid = await judge.validate(Lane.BACKFILL, lot)
        assert [(o.topic, o.partition, len(read_block(o.value).batches)) for o in valid] == [
            ("backfill.valid", 2, 2), ("backfill.valid", 0, 1)
        ]  # fmt: skip
        signed = await judge.sign(Lane.BACKFILL, [Message(o.topic, o.partition or 0, o.value) for o in valid])
        assert [(o.topic, o.partition) for o in signed] == [("backfill.signed", 2), ("backfill.signed", 0)]
        (dead,) = await judge.quarantine(Lane.LIVE, raw(b"poison", 3), "validate:KeyError")
        assert (dead.topic, dead.partition) == ("live.signed", 3)
        assert read_quarantine(dead.value) == Quarantine("validate:KeyError", "live.raw", False, b"poison")

    asyncio.run(run())


def test_an_unknown_edge_in_the_lot_hides_no_gap(
    store: Store, key: keys.SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setattr(work, "UNKNOWN_EDGE_WAIT_S", 0.0)
        judge, unknown = Judge(store.address, key, 5.0), raw(sealed([report()], Key(), edge=b"N" * 16))
        first, _, third = (store.seal(report()) for _ in range(3))
        await judge.validate(Lane.LIVE, [raw(first)])
        judge.validated(Lane.LIVE)
        found = await judge.validate(Lane.LIVE, [raw(third), unknown])
        flags = [read_block(o.value).flags for o in found if not o.value.startswith(b"VWQUARA")]
        assert int(flags[0][0]) & ReportFlag.GAP

    asyncio.run(run())


def valid(store: Store, value: int, at_us: int) -> Message:
    block = store.judge(store.seal(report(at_us=at_us, records=[Record(SPO2, PERCENT, mantissa=value)]))).block
    return Message("live.valid", 0, block.encode())


def transitions(outputs: Sequence[Output]) -> list[bool]:
    return [msgspec.json.decode(o.value, type=Transition).opened for o in outputs]


def test_alerts_go_to_their_topic_by_device(store: Store) -> None:
    async def run() -> None:
        alerting = Alert(LIMITS, {})
        dead = Message("live.valid", 0, Quarantine("root", "live.raw", True, b"x").encode())
        found = await alerting.evaluate([valid(store, 80, T0_US), dead, valid(store, 95, T0_US + 1)])
        assert transitions(found) == [True, False]
        assert {(o.topic, o.key, o.partition) for o in found} == {("alerts", str(report().device).encode(), None)}
        alerting.said()
        assert alerting.episodes == {}
        assert list(await alerting.skip(dead, "alert:KeyError")) == []

    asyncio.run(run())


def test_what_breaks_the_alerts_leaves_the_episodes(store: Store) -> None:
    async def run() -> None:
        alerting = Alert(LIMITS, {})
        await alerting.evaluate([valid(store, 80, T0_US)])
        alerting.said()
        before = dict(alerting.episodes)
        with pytest.raises(LayoutError):
            await alerting.evaluate([valid(store, 95, T0_US + 1), Message("live.valid", 0, b"noise")])
        assert alerting.episodes == before != {}

    asyncio.run(run())


def test_a_lot_worked_again_after_the_broker_was_away_says_the_same(store: Store) -> None:
    async def run() -> None:
        alerting, lot = Alert(LIMITS, {}), [valid(store, 80, T0_US)]
        first = await alerting.evaluate(lot)
        again = await alerting.evaluate(lot)  # `attempt`, when `send` raised
        assert again == first

    asyncio.run(run())


def signed(store: Store, *batches: bytes) -> Message:
    block = store.judge(*batches or [store.seal(report())]).block
    return Message("live.signed", 1, sign(block.encode(), store.platform.key_id, store.platform.sign, NOW_US))


def stored_by(store: Store, run: Callable[[work.Store], Coroutine[Any, Any, None]]) -> int:
    """Run this with a stage's store; how often it said that it had committed."""
    committed: list[int] = []

    async def go() -> None:
        stage = work.Store(store.address, _AsKey(store.platform), lambda: committed.append(1))
        try:
            await run(stage)
        finally:
            stage.close()

    asyncio.run(go())
    return len(committed)


class _AsKey:
    """A test's key where the platform's is wanted."""

    def __init__(self, key: Key) -> None:
        self.key_id, self.public_der, self.sign = key.key_id, key.public_der, key.sign


def test_a_lot_is_stored_and_the_receipts_are_told_of(store: Store) -> None:
    async def run(stage: work.Store) -> None:
        assert await stage.store([signed(store), Message("live.signed", 0, b"noise")]) == []

    assert stored_by(store, run) == 1
    assert store.rows("SELECT (SELECT count(*) FROM report), (SELECT count(*) FROM outbox)") == [(1, 1)]
    assert store.rows("SELECT reason, topic, receipted FROM dead") == [("magic", "live.signed", False)]


def test_a_connection_that_broke_is_opened_again(store: Store) -> None:
    async def run(stage: work.Store) -> None:
        await stage.store([signed(store)])
        store.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND backend_type = 'client backend'"
        )
        message = signed(store)
        with pytest.raises(psycopg.OperationalError):
            await stage.store([message])
        await stage.store([message])

    assert stored_by(store, run) == 2
    assert store.rows("SELECT count(*) FROM report") == [(2,)]


def test_poison_that_is_no_block_is_kept_as_bytes_once(store: Store) -> None:
    async def run(stage: work.Store) -> None:
        for _ in range(2):
            assert await stage.poison(Message("live.signed", 0, b"noise"), "store:KeyError") == []

    stored_by(store, run)
    assert store.rows("SELECT reason, topic, receipted, message FROM dead") == [
        ("store:KeyError", "live.signed", False, b"noise")
    ]


def test_of_a_block_that_the_database_refuses_the_good_batches_are_stored(store: Store) -> None:
    with store.open() as conn:
        conn.execute("ALTER TABLE report ADD CONSTRAINT refused CHECK (value[1] <> 66)")
    reports = (report(records=[Record(SPO2, PERCENT, mantissa=value)]) for value in (97, 66, 98))
    first, bad, last = (store.seal(r) for r in reports)
    message = signed(store, first, bad, last)

    async def run(stage: work.Store) -> None:
        with pytest.raises(psycopg.errors.CheckViolation):
            await stage.store([message])
        assert await stage.poison(message, "store:CheckViolation") == []

    stored_by(store, run)
    assert store.rows("SELECT array_agg(batch_no ORDER BY batch_no) FROM batch") == [([1, 3],)]
    assert store.rows("SELECT reason, topic, receipted, message FROM dead") == [
        ("store:CheckViolation", "live.raw", True, bad)
    ]
    with store.open() as conn:
        receipts = conn.execute("SELECT receipt FROM outbox").fetchall()
        (stream,) = conservation.streams(conn)
        assert proof.verify(conn, datetime(2000, 1, 1, tzinfo=UTC)).findings == []
    found = [read_receipt(bytes(r[0]), store.platform.public_der) for r in receipts]
    assert {r.batch_no: r.outcome for r in found} == {
        1: ReceiptOutcome.STORED, 2: ReceiptOutcome.QUARANTINED, 3: ReceiptOutcome.STORED
    }  # fmt: skip
    assert (stream.gaps, stream.reports, stream.quarantined_reports) == (0, 2, 1)


def test_transitions_are_filed_from_the_topic(store: Store) -> None:
    opened = Transition(str(uuid4()), str(uuid4()), str(uuid4()), "c", "high", True, T0_US, T0_US, "SpO2 80 < 90")
    lot = [Message("alerts", 0, msgspec.json.encode(opened))]
    asyncio.run(file_alerts(store.address, lot * 2))
    with store.open() as conn:
        assert [(str(e.episode), e.message) for e in alerts.open_now(conn)] == [(opened.episode, "SpO2 80 < 90")]
    with pytest.raises(LayoutError, match="transition"):
        asyncio.run(file_alerts(store.address, [*lot, Message("alerts", 0, b"{}")]))


def test_receipts_leave_the_outbox_when_the_broker_has_them(store: Store) -> None:
    store.say(report())
    sent: list[Output] = []
    failures = [ConnectionError("the broker is away")]

    async def send(outputs: Sequence[Output]) -> None:
        if outputs and failures:
            raise failures.pop()
        sent.extend(outputs)

    async def run() -> None:
        committed = asyncio.Event()
        delivering = asyncio.ensure_future(deliver_receipts(store.address, committed, send))
        while not sent:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(store.say, report(at_us=T0_US + 1))
        committed.set()
        while store.rows("SELECT count(*) FROM outbox") != [(0,)]:
            await asyncio.sleep(0.01)
        delivering.cancel()

    asyncio.run(asyncio.wait_for(run(), 20))
    assert [(o.topic, o.partition, o.key) for o in sent] == [("receipts", receipt_partition(EDGE), EDGE)] * 2


def test_of_a_block_that_the_database_refuses_only_what_is_refused_is_dead(store: Store, key: keys.SigningKey) -> None:
    before, never, after = (store.seal(report(at_us=at_us)) for at_us in (T0_US, -(2**62), T0_US + 1))

    async def run() -> None:
        judge, stored = Judge(store.address, key, 5.0), work.Store(store.address, key, lambda: None)
        (block,) = await judge.validate(Lane.LIVE, [raw(before), raw(never), raw(after)])
        (signed,) = await judge.sign(Lane.LIVE, [Message(block.topic, 0, block.value)])
        message = Message(signed.topic, 0, signed.value)
        with pytest.raises(Exception, match="range"):
            await stored.store([message])
        for _ in range(2):  # said twice, it is the same
            await stored.poison(message, "store:ValueError")
            await stored.poison(Message("live.signed", 0, b"noise"), "store:LayoutError")
        stored.close()

    asyncio.run(run())
    assert store.rows("SELECT sealed FROM batch ORDER BY batch_no") == [(before,), (after,)]
    dead = store.rows("SELECT topic, receipted, message FROM dead ORDER BY id")
    assert dead == [("live.raw", True, never), ("live.signed", False, b"noise")]
    outcomes = [read_receipt(bytes(r), key.public_der) for (r,) in store.rows("SELECT receipt FROM outbox ORDER BY id")]
    told = [(r.batch_no, r.outcome) for r in outcomes]
    assert told == [(1, ReceiptOutcome.STORED), (2, ReceiptOutcome.QUARANTINED), (3, ReceiptOutcome.STORED)] * 2


def test_what_is_kept_no_longer_is_dropped(store: Store) -> None:
    store.say(report())
    store.rows("UPDATE day_stored SET last_stored_at = now() - interval '9 days' RETURNING 1")

    async def run() -> None:
        dropping = asyncio.ensure_future(work.drop_old(store.address, Keep(reports=7)))
        while store.rows("SELECT what FROM dropped") != [("report",)]:
            await asyncio.sleep(0.01)
        dropping.cancel()

    asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize(
    ("text", "said"),
    [("keep_reports_days = 1", "below 7"), ("keep_minutes_days = 1", "below 30"), ("keep_batches_days = 3", "below 30"),
     ("keep_batches_days = 365", "set keep_reports_days"),
     ("keep_batches_days = 365\nkeep_reports_days = 366", "and no higher")],
)  # fmt: skip
def test_how_long_to_keep_is_refused_where_it_is_a_slip(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        configuration.decode(text, ProcessorsConfig, "processors.toml")
    kept = configuration.decode("keep_batches_days = 366\nkeep_reports_days = 366", ProcessorsConfig, "processors.toml")
    assert (kept.keep_batches_days, kept.keep_minutes_days) == (366, 0)
