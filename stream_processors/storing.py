"""Storing: a lane's writers, each with a connection, and what becomes of a block that the database refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from prometheus_client import Counter

from emr_store.chart_queue import EachMetrics
from emr_store.connect import StoreError, open_store, store_errors
from emr_store.signed_block import SignedBlock
from emr_store.transaction import Writer
from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from runtime.clock import now_us
from runtime.keys import SigningKey
from schemas import topics
from schemas.block import Block
from schemas.errors import LayoutError
from stream_processors import store
from stream_processors.signed_message import open_message, sign_block
from stream_processors.stage import Message, Output, error_name, is_transient

WRITERS = 2  # of a lane
_log = structlog.get_logger("storing")
_written = Counter("vitalwire_stored", "Reports, values and batches committed", ["what"])
_forged = Counter("vitalwire_forged_messages", "Messages that the platform did not sign, kept in a bounded place")


class Store:
    """A lane's writers, each with a connection and, while it works, a thread.

    The rows of one are built while the database takes those of the other. A stream keeps to one partition, and that to
    one writer, which is never given two chunks at once.
    """

    def __init__(
        self,
        conninfo: str,
        key: SigningKey,
        committed: Callable[[], None],
        each_metrics: EachMetrics | None = None,
    ) -> None:
        """`each_metrics`: those whose values are charted at once; None: none."""
        self._conninfo, self._key, self._committed = conninfo, key, committed
        self._each_metrics = each_metrics
        self._writers: dict[int, Writer] = {}

    async def store(self, chunk: Sequence[Message]) -> list[Output]:
        """A chunk of one writer's partitions into one transaction."""
        await asyncio.to_thread(self._store, chunk)
        self._committed()
        return []

    async def dead_letter(self, message: Message, reason: str) -> list[Output]:
        """Of a block that the database refuses each batch alone: what is refused even then is kept as bytes."""
        await asyncio.to_thread(self._one_by_one, message, reason)
        self._committed()
        return []

    def _store(self, chunk: Sequence[Message]) -> None:
        contents = store.sort_messages([m.value for m in chunk], chunk[0].topic, self._key.public_der)
        self._write(chunk[0].partition % WRITERS, contents.blocks, contents.dead_letters)
        if contents.forged:
            _forged.inc(contents.forged)
            _log.error("not signed by the platform", topic=chunk[0].topic, messages=contents.forged)

    def _one_by_one(self, message: Message, reason: str) -> None:
        writer = message.partition % WRITERS
        try:
            signed = open_message(message.value, self._key.public_der)
        except LayoutError:
            signed = DeadLetter(reason, message.topic, None, message.value)
        if isinstance(signed, DeadLetter):
            return self._write(writer, [], [signed])
        for block in store.split_by_batch(signed):
            self._write_alone(writer, block)
        return None

    def _write_alone(self, writer: int, block: Block) -> None:
        """A block of one batch, signed anew; as a dead letter where the database refuses it."""
        message = sign_block(block, self._key.key_id, self._key.sign, now_us())
        signed = open_message(message, self._key.public_der)
        assert isinstance(signed, SignedBlock)
        try:
            with store_errors():
                self._write(writer, [signed], [])
        except Exception as error:
            if is_transient(error):
                raise
            letter = DeadLetter(
                reason=f"store:{error_name(error)}",
                topic=topics.raw(signed.headers[0].lane),
                outcome=ReceiptOutcome.QUARANTINED,
                message=block.batches[0],
            )
            self._write(writer, [], [letter])

    def _write(self, writer: int, blocks: Sequence[SignedBlock], dead_letters: Sequence[DeadLetter]) -> None:
        """One transaction; a connection that broke is opened again by the next."""
        try:
            if writer not in self._writers:
                self._writers[writer] = Writer(open_store(self._conninfo), self._each_metrics)
            written = self._writers[writer].store(blocks, dead_letters)
        except StoreError:
            self._close(writer)
            raise
        for what, n in (("reports", written.reports), ("values", written.values), ("batches", written.batches)):
            _written.labels(what).inc(n)
        for edge in written.replaced_spools:
            _log.warning("an edge sends from another spool", edge=str(UUID(bytes=edge)))
        for ident in written.conflicts:
            _log.error("two batches with one number, both kept", batch=ident.hex())

    def _close(self, writer: int) -> None:
        if (gone := self._writers.pop(writer, None)) is not None:
            gone.close()

    def close(self) -> None:
        """Let the connections go."""
        for writer in list(self._writers):
            self._close(writer)
