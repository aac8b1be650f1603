"""Background: receipts to edges after COMMIT, the log's sealer, summaries, and what is kept no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

import msgspec
import structlog

from emr_store import (
    acts,
    log,
    look_minutes,
    mapping_acts,
    minutes,
    outbox,
    partitions,
    registry,
    retention,
    sequences,
    sign_in_retention,
)
from emr_store.connect import StoreError, current_incarnation_async, open_store, open_store_async
from emr_store.outbox import OutboxRow
from emr_store.retention import Keep
from emr_store.revalidation import Revalidation
from evidence.receipt import RECEIPT_BATCHES_MAX, Receipt, ReceiptedBatch, ReceiptOutcome
from runtime.clock import now_us
from runtime.keys import SigningKey
from schemas import topics
from schemas.errors import VitalwireError
from schemas.identity import StreamKey
from stream_processors.config import LimitConfig
from stream_processors.mapping import remap
from stream_processors.recurring_work import keep_doing
from stream_processors.stage import Output, Send, error_name, first_line, waits
from stream_processors.validation import validate_stored

OUTBOX_ROWS = 5000  # signed and sent at once
SEAL_EVERY_S = 0.5
VALIDATE_ANEW_EVERY_S = 5.0
RETRY_S = 1.0
LOOKS_EVERY_S = 10.0
LOOKS_WAIT = "looks wait for their act"  # in `waits`
LOG_WAITS = "the log waits"  # in `waits`
_log = structlog.get_logger("background")
_Answer = TypeVar("_Answer")


class ReceiptGroup(NamedTuple):
    """What one receipt can be about."""

    stream: StreamKey
    outcome: ReceiptOutcome
    reason: str


def receipts_of(rows: Sequence[OutboxRow], incarnation: bytes, checkpoint: bytes) -> list[Receipt]:
    """One receipt a stream, outcome and reason, for as many batches as one may name."""
    groups: dict[ReceiptGroup, list[OutboxRow]] = {}
    for row in rows:
        group = ReceiptGroup(StreamKey(row.spool, row.lane, row.edge), row.outcome, row.reason)
        groups.setdefault(group, []).append(row)
    out = []
    for group, members in groups.items():
        for start in range(0, len(members), RECEIPT_BATCHES_MAX):
            chunk = members[start : start + RECEIPT_BATCHES_MAX]
            receipt = Receipt(
                outcome=group.outcome,
                edge=group.stream.edge,
                spool=group.stream.spool,
                lane=group.stream.lane,
                batches=tuple(ReceiptedBatch(row.batch_no, row.batch_id) for row in chunk),
                incarnation=incarnation,
                stored_at_us=max(row.stored_at_us for row in chunk),
                reason=group.reason,
                checkpoint=checkpoint,
            )
            out.append(receipt)
    return out


async def deliver_receipts(conninfo: str, key: SigningKey, committed: asyncio.Event, send: Send) -> None:
    """The outbox to the topic `receipts`, signed after each COMMIT and every second, deleted once the broker has it."""
    asking = _Asking(conninfo)
    while True:
        try:
            async with await open_store_async(conninfo) as conn:
                # Of the very server that has the rows: another one may take over at any moment, and lack them.
                incarnation = await current_incarnation_async(conn)
                while True:
                    rows = await outbox.waiting(conn, OUTBOX_ROWS)
                    if rows:
                        checkpoint = await asking.ask(log.newest_checkpoint)
                        await send(_signed(receipts_of(rows, incarnation, checkpoint), key))
                        await outbox.delivered(conn, [row.id for row in rows])
                    if len(rows) < OUTBOX_ROWS:
                        await _either(committed, 1.0)
        except Exception as error:  # noqa: BLE001  a background task that ends is a feed that stops
            _log.warning("receipts wait", error=error_name(error))
            await asyncio.sleep(RETRY_S)


class _Asking:
    """A connection whose questions are asked in a thread; opened when it is wanted, and anew after one that failed."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._conn: Any = None

    async def ask(self, question: Callable[[Any], _Answer]) -> _Answer:
        return await asyncio.to_thread(self._ask, question)

    def _ask(self, question: Callable[[Any], _Answer]) -> _Answer:
        if self._conn is None:
            self._conn = open_store(self._conninfo)
        try:
            return question(self._conn)
        except BaseException:
            self._conn.close()
            self._conn = None
            raise


def _signed(receipts: Sequence[Receipt], key: SigningKey) -> list[Output]:
    return [
        Output(
            topics.RECEIPTS,
            receipt.encode(key.key_id, key.sign),
            partition=topics.receipt_partition(receipt.edge),
            key=receipt.edge,
        )
        for receipt in receipts
    ]


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
    event.clear()


async def keep_sealing(conninfo: str, site: str, key: SigningKey) -> None:
    """What has no place in the log gets one, and the log a checkpoint, at least once a second.

    One writer: `seal_unlogged` holds a lock of its session, and a second process appends nothing meanwhile.
    """

    def seal(conn: Any) -> None:
        while log.seal_unlogged(conn, site=site, key=key, now_us=now_us()) >= log.CHUNK_LEAVES:
            pass

    asking = _Asking(conninfo)
    while True:
        try:
            await asking.ask(seal)
            waits.pop(LOG_WAITS, None)
        except Exception as error:  # noqa: BLE001  as above
            # Ours says what to do, and no later attempt succeeds before that is done.
            detail = str(error) if isinstance(error, VitalwireError) else first_line(error)
            waits[LOG_WAITS] = f"{LOG_WAITS}: {detail if isinstance(error, VitalwireError) else type(error).__name__}"
            _log.warning("the log waits", error=type(error).__name__, detail=detail)
        await asyncio.sleep(SEAL_EVERY_S)


async def validate_anew(conninfo: str, key: SigningKey) -> None:
    """Mapping acts that wait: stored batches get a new seal, and rows that say what it says. Every five seconds."""

    def work() -> None:
        with open_store(conninfo) as conn:
            act = mapping_acts.oldest_waiting(conn)
            if act is None:
                return
            working = Revalidation(conn, key=key, remap=remap, revalidate=validate_stored, clock_us=now_us)
            while working.work():
                pass
            _log.info("mapping act done", act=act.act_id.hex())

    while True:
        try:
            await asyncio.to_thread(work)
        except Exception as error:  # noqa: BLE001  as above
            detail = str(error) if isinstance(error, VitalwireError) else first_line(error)
            _log.warning("mapping acts wait", error=type(error).__name__, detail=detail)
        await asyncio.sleep(VALIDATE_ANEW_EVERY_S)


async def summarise(conninfo: str) -> None:
    """The devices' own counts, and the minutes that are closed, every five seconds."""

    async def all_closed(conn: Any) -> None:
        await sequences.fold(conn)
        while await minutes.summarise(conn):
            pass

    await _every(5.0, conninfo, "summaries", all_closed)


async def seal_looks(conninfo: str) -> None:
    """What people looked at in minutes that are closed becomes an act each, every ten seconds."""

    def seal() -> None:
        with open_store(conninfo) as conn:
            while look_minutes.seal_minutes(conn):
                pass

    await keep_doing(seal, every_s=LOOKS_EVERY_S, waits_as=LOOKS_WAIT, log=_log)


async def make_partitions(conninfo: str) -> None:
    """The coming months and the next numbers of batches, every ten minutes."""

    async def ahead(conn: Any) -> None:
        await partitions.make_ahead(conn, datetime.fromtimestamp(now_us() / 1e6, UTC).date())

    await _every(600.0, conninfo, "partitions", ahead)


async def note_platform_key(conninfo: str, key: SigningKey) -> None:
    """Keep the public half of the platform's key for `verify`, as soon as the store answers."""

    def note() -> None:
        with open_store(conninfo) as conn:
            registry.note_platform_key(conn, key.public_der)

    while True:
        try:
            return await asyncio.to_thread(note)
        except StoreError as error:
            _log.warning("platform key not noted", error=type(error).__name__)
            await asyncio.sleep(RETRY_S)


async def drop_old(conninfo: str, keep: Keep) -> None:
    """What is kept no longer, every hour."""

    async def all_old(conn: Any) -> None:
        for part in await retention.drop_old(conn, keep):
            _log.info("dropped", **part._asdict())

    await _every(3600.0, conninfo, "old rows", all_old)


async def purge_sign_ins(conninfo: str, keep_attempts_days: int) -> None:
    """Tries to sign in that are older, and what could be used once and is out of date, every hour."""

    async def purge(conn: Any) -> None:
        purged = await sign_in_retention.purge(conn, keep_attempts_days)
        if any(purged):
            _log.info("rows of sign-ins removed", **purged._asdict())

    await _every(3600.0, conninfo, "old rows of sign-ins", purge)


async def _every(seconds: float, conninfo: str, what: str, work: Callable[[Any], Awaitable[None]]) -> None:
    while True:
        try:
            conn = await open_store_async(conninfo)
            async with conn:
                await work(conn)
        except Exception as error:  # noqa: BLE001  as above
            _log.warning(f"{what} wait", error=type(error).__name__)
        await asyncio.sleep(seconds)


async def note_limits(conninfo: str, limits: Sequence[LimitConfig]) -> None:
    """By which alarm limits the processors work from now on: an act where they are others than the last act says."""
    stated = [msgspec.to_builtins(limit) for limit in limits]
    digest = sha256(msgspec.json.encode(stated)).digest()

    def note() -> bool:
        with open_store(conninfo) as conn:
            author = acts.this_user("read from the configuration at the start")
            return acts.record_change(conn, "limits.change", author, digest, limits=stated)

    while True:
        try:
            if await asyncio.to_thread(note):
                _log.info("other alarm limits than before", limits=len(limits))
            return
        except StoreError as error:
            _log.warning("alarm limits not noted", error=type(error).__name__)
        except VitalwireError as error:  # too many for one act: no later attempt would do
            _log.error("alarm limits not noted", error=str(error))
            return
        await asyncio.sleep(RETRY_S)
