"""Draining: a dead box's spool is sent from its disk by another box, under the dead box's own identity."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from threading import Event

from edge_agent.config import EdgeConfig
from edge_agent.dead_box import DeadBox
from edge_agent.events import EventEmitter
from edge_agent.publisher import Publisher, kafka_problem
from edge_agent.spool import Spool
from edge_agent.spool.drained import DrainMark, leave_mark
from evidence.seal import seal
from runtime import keys
from runtime.clock import now_us
from runtime.errors import UserError
from schemas.identity import EdgeId

POLL_S = 0.2
PUT_LIMIT_S = 10.0
# The quota and the hold are the dead box's own affair: nothing on its disk is evicted.
UNBOUNDED_BYTES, FOR_EVER_S = 2**62, 1e9


@dataclass(frozen=True)
class Progress:
    """How far it is. `unsigned` reports wait to be cut; `waiting` batches have no receipt yet."""

    sent: int  # batches, each time that one was sent
    receipted: int
    waiting: int
    unsigned: int
    refused: int
    is_reached: bool  # whether a broker ever answered
    trouble: str  # what the client says of its connection while nobody answers
    refusal: str  # why the hospital refuses

    @property
    def left(self) -> tuple[int, int, int]:
        """What changes as it gets on; sending the same again and again is no progress."""
        return self.unsigned, self.waiting, self.receipted


class Drain:
    """Opens a dead box's spool and leaves the mark in its folder. `key` None: only what is sealed is sent.

    `reach` says where the broker is, and which key's receipts are believed. Raises UserError and VitalwireError.
    """

    def __init__(
        self, box: DeadBox, key: keys.SigningKey | None, reach: EdgeConfig, *, by: str,
        on_event: Callable[[str, str], object], now_us: Callable[[], int] = now_us,
    ) -> None:  # fmt: skip
        if wrong := kafka_problem(reach):
            raise UserError(wrong)
        platform_key = keys.read_public(reach.platform_key_file)
        self._by, self._now_us = by, now_us
        earlier = box.spool.mark
        self._owner_at_work_us = box.spool.committed_at_us if earlier is None else earlier.owner_at_work_us
        self._folder, self._is_reached, self._cut = box.config.spool, False, 0
        self.spool = Spool(
            self._folder, bytes_max=UNBOUNDED_BYTES, receipt_hold_s=FOR_EVER_S, hold_version=True,
            cut_after_s=box.config.cut_after_s, on_event=on_event, now_us=now_us,
        )  # fmt: skip
        edge = EdgeId(box.edge_id.bytes)
        self._seal = None if key is None else partial(
            seal, edge=edge, config_hash=box.config_hash, key_id=key.key_id, sign=key.sign
        )  # fmt: skip
        try:
            self._publisher = Publisher(
                self.spool, None if key is None else self._counted_seal, platform_key, edge=edge,
                kafka=reach.kafka, ca=reach.kafka_ca, cert=reach.kafka_cert, key=reach.kafka_key,
                insecure=reach.insecure, on_event=on_event,
            )  # fmt: skip
            self._leave_mark()
        except BaseException:
            self.spool.close()
            raise
        self._emitter = EventEmitter(f"edge:{box.edge_id}", now_us)
        self._batches = box.spool.batches

    def run(self, show: Callable[[Progress], object], stop: Event, patience_s: float) -> Progress:
        """Send until every batch has its receipt, all that are left are refused, or nothing changed for so long."""
        if self._seal is not None:
            self._put_event()
        self._publisher.start()
        try:
            return self._await_receipts(show, stop, patience_s)
        finally:
            self._publisher.stop()
            self._leave_mark()  # the id may be a new one: a copy of this spool was at work
            self.spool.close()

    def _await_receipts(self, show: Callable[[Progress], object], stop: Event, patience_s: float) -> Progress:
        progress, changed_at = self._progress(), time.monotonic()
        while not stop.wait(POLL_S):
            before, progress = progress, self._progress()
            show(progress)
            if progress.left != before.left:
                changed_at = time.monotonic()
            is_sealed = self._seal is None or progress.unsigned == 0
            if progress.waiting == 0 and is_sealed:
                break
            if progress.refused and progress.refused >= progress.waiting:
                break
            if time.monotonic() - changed_at > patience_s or not self._publisher.alive:
                break
        return self._progress()

    def _progress(self) -> Progress:
        waiting, publisher = sum(self.spool.unreceipted_by_lane().values()), self._publisher
        self._is_reached |= publisher.broker is not None
        # Where the store was restored meanwhile, what had its receipt before waits again.
        self._batches = max(self._batches, waiting)
        return Progress(
            sent=publisher.counts["sent"],
            receipted=max(self._batches + self._cut - waiting, 0),
            waiting=waiting,
            unsigned=self.spool.figures.reports,
            refused=publisher.refused_batches,
            is_reached=self._is_reached,
            trouble=publisher.trouble,
            refusal=publisher.refusal,
        )

    def _counted_seal(self, *args: object, **named: object) -> bytes:
        assert self._seal is not None
        sealed: bytes = self._seal(*args, **named)  # type: ignore[arg-type]
        self._cut += 1
        return sealed

    def _put_event(self) -> None:
        """The record says that another box sent what follows; what is left of counted gaps goes with it."""
        is_kept = Event()
        text = f"sent from the box's disk by {self._by} on {socket.gethostname()}: the box itself is not at work"
        self.spool.put([self._emitter.emit("spool-sent-from-disk", text)], None, lambda _: is_kept.set())
        is_kept.wait(PUT_LIMIT_S)

    def _leave_mark(self) -> None:
        at = datetime.fromtimestamp(self._now_us() / 1e6, UTC).isoformat(timespec="seconds")
        mark = DrainMark(
            spool=self.spool.spool_id.hex(), at=at, by=self._by, host=socket.gethostname(),
            owner_at_work_us=self._owner_at_work_us,
        )  # fmt: skip
        leave_mark(self._folder, mark)
