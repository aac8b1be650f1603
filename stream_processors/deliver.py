"""Delivery of chart entries to the hospital's other systems, as a background task (docs/deliver.md, docs/adr/0018).

A destination is served by one process. What is under way lies in memory, what became of it in the database: after a
crash at any line the same bytes are sent again under the same control id.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from adapters.emr.answer import Outcome
from emr_store import chart_sequence, deliver, deliver_status
from emr_store.connect import StoreError, open_store
from emr_store.deliver import Accepted, Delivered, Made, Message, Parked, Result, Retry
from emr_store.instants import moment
from runtime.clock import now_us
from stream_processors.config import DestinationConfig
from stream_processors.deliver_receiver import AwayError, Outgoing, Receiver, Reply
from stream_processors.deliver_writing import Writer, charted_of, why_nobody
from stream_processors.stage import first_line, waits

LOOK_EVERY_S = 0.2
COUNT_EVERY_S = 5.0
RETRY_AFTER_S = 1.0  # the database
BACK_OFF_MAX_S = 60.0
UNDER_WAY = 25  # messages ready or under way, for each connection
_log = structlog.get_logger("deliver")
_deliveries = Counter(
    "vitalwire_deliveries", "Messages to a destination, by what became of them", ["destination", "outcome"]
)
_waiting = Gauge("vitalwire_deliveries_waiting", "Messages that wait", ["destination"])
_parked = Gauge("vitalwire_deliveries_parked", "Messages that people must look at", ["destination"])
_oldest = Gauge("vitalwire_delivery_oldest_waiting_seconds", "Age of the oldest message that waits", ["destination"])


class Sequencing:
    """Gives versions of charts their place in the order of COMMIT; its connection is opened anew after a failure."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._conn: Any = None

    def work(self) -> int:
        """All that waits for its place; how many versions."""
        if self._conn is None:
            self._conn = open_store(self._conninfo)
        try:
            given = 0
            while chunk := chart_sequence.sequence(self._conn):
                given += chunk
            return given
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End its connection."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None


# --- the database's side, in a thread --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """What the pipeline hands over, and asks for."""

    results: Sequence[Result]
    under_way: frozenset[int]
    limit: int
    away_reason: str  # "": it answers


class Desk:
    """Takes entries into messages, hands out those that go next, and writes down what became of them."""

    def __init__(self, conninfo: str, config: DestinationConfig, writer: Writer, clock_us: Callable[[], int]) -> None:
        self._conninfo, self._config, self._writer, self._clock_us = conninfo, config, writer, clock_us
        self._conn: Any = None
        self._lock = contextlib.ExitStack()
        self._destination = 0
        self._noted_away: str | None = None
        self._count_at_s = 0.0

    def open(self) -> bool:
        """Whether we are the one that serves the destination; a new one begins."""
        if self._conn is None:
            self._conn = open_store(self._conninfo)
            self._destination = deliver.open_destination(self._conn, self._config.name, self._config.begins_at())
        held = self._lock.enter_context(deliver.served_alone(self._conn, self._destination))
        if not held:
            self._lock.close()
        self._noted_away = None
        return held

    def close(self) -> None:
        """End its connection, and with it the lock."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()
        with contextlib.suppress(StoreError):
            self._lock.close()

    def turn(self, turn: Turn) -> list[Outgoing]:
        """Write what became of messages; up to `limit` others that go next, their bytes made and kept."""
        conn, destination = self._conn, self._destination
        if turn.results:
            deliver.settle(conn, destination, turn.results)
        if turn.away_reason != self._noted_away:
            deliver.note_away(conn, destination, turn.away_reason)
            self._noted_away = turn.away_reason
        deliver.take(conn, destination, preliminary=self._config.preliminary)
        self._count()
        if turn.limit <= 0 or deliver.destination_now(conn, destination).paused_at is not None:
            return []
        messages = deliver.next_messages(conn, destination, turn.under_way, turn.limit)
        return self._outgoing([m for m in messages if m.body is None], [m for m in messages if m.body is not None])

    def _outgoing(self, new: Sequence[Message], resent: Sequence[Message]) -> list[Outgoing]:
        outgoing = [self._resend(each) for each in self._still_sent(resent)]
        if new:
            now = self._clock_us()
            written = self._writer.write(self._conn, self._destination, new, now)
            made = [each for each in written if isinstance(each, Made)]
            with self._conn.transaction():
                deliver.keep_bodies(self._conn, made)
                deliver.settle(self._conn, self._destination, [e for e in written if not isinstance(e, Made)])
            by_id = {message.delivery: message for message in new}
            outgoing += [self._first(by_id[each.delivery], each) for each in made]
        return outgoing

    def _still_sent(self, resent: Sequence[Message]) -> list[Message]:
        """Without those whose patient has been erased since their bytes were made."""
        if not resent:
            return []
        charted = charted_of(self._conn, resent)
        refused = {each.delivery: why_nobody(charted[each.delivery]) for each in resent}
        deliver.settle(self._conn, self._destination, [
            Parked(delivery, 0, "", why, b"", forget=True) for delivery, why in refused.items() if why
        ])  # fmt: skip
        return [each for each in resent if not refused[each.delivery]]

    def _resend(self, message: Message) -> Outgoing:
        assert message.body is not None
        return Outgoing(
            message.delivery, message.patient, message.control_id, bytes(message.body), message.attempts,
            tuple(message.said), tuple(message.said_versions), resend=True,
        )  # fmt: skip

    def _first(self, message: Message, made: Made) -> Outgoing:
        return Outgoing(
            message.delivery, message.patient, made.control_id, made.body, message.attempts, tuple(made.said),
            tuple(made.said_versions), resend=False,
        )  # fmt: skip

    def _count(self) -> None:
        if time.monotonic() < self._count_at_s:
            return
        self._count_at_s = time.monotonic() + COUNT_EVERY_S
        name = self._config.name
        (row,) = [each for each in deliver_status.destinations(self._conn) if each.name == name]
        _waiting.labels(name).set(row.waiting)
        _parked.labels(name).set(row.parked + row.parked_behind)
        oldest_s = 0.0 if row.oldest_waiting is None else self._clock_us() / 1e6 - row.oldest_waiting.timestamp()
        _oldest.labels(name).set(max(0.0, oldest_s))


# --- the receiver's side, in the loop --------------------------------------------------------------------------------


class Delivering:
    """Serves one destination over its connections."""

    def __init__(
        self, conninfo: str, config: DestinationConfig, writer: Writer, receiver: Callable[[], Receiver], *,
        clock_us: Callable[[], int] = now_us, clock_s: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        """`receiver` makes a connection that is not open yet; `jitter` gives numbers of [0, 1)."""
        self._config, self._receiver = config, receiver
        self._clock_us, self._clock_s, self._jitter = clock_us, clock_s, jitter
        self._desk = Desk(conninfo, config, writer, clock_us)
        self._waits = f"delivery to {config.name}"
        self._ready: deque[Outgoing] = deque()
        self._under_way: set[int] = set()  # those that are ready among them
        self._results: list[Result] = []
        self._changed, self._some_ready = asyncio.Event(), asyncio.Event()
        self._answered = 0  # how often the receiver answered
        self._failures = 0  # since it answered last
        self._away_reason = ""
        self._away_until_s = 0.0

    async def keep_delivering(self) -> None:
        """Until the program ends."""
        while True:
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001  a background task that ends is a feed that stops
                # What an error of ours says may be a patient's number.
                detail = first_line(error) if isinstance(error, StoreError) else ""
                waits[self._waits] = f"{self._waits} waits: {type(error).__name__}"
                _log.warning("delivery waits", destination=self._config.name, error=type(error).__name__, detail=detail)
            await asyncio.sleep(RETRY_AFTER_S)

    async def _serve(self) -> None:
        """Until the database fails; while another process serves the destination nothing is done."""
        self._ready.clear()
        self._under_way.clear()
        workers: list[asyncio.Task[None]] = []
        try:
            if not await asyncio.to_thread(self._desk.open):
                return
            waits.pop(self._waits, None)
            workers += [asyncio.ensure_future(self._work()) for _ in range(self._config.connections_max)]
            while True:
                await self._turn()
                if any(worker.done() for worker in workers):
                    await asyncio.gather(*workers)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), LOOK_EVERY_S)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await asyncio.to_thread(self._desk.close)

    async def _turn(self) -> None:
        self._changed.clear()
        results, self._results = self._results, []
        self._under_way -= {result.delivery for result in results}
        turn = Turn(results, frozenset(self._under_way), self._limit(), self._away_reason)
        try:
            outgoing = await asyncio.to_thread(self._desk.turn, turn)
        except BaseException:
            self._results = [*results, *self._results]  # written when the database is back
            raise
        if self._away_reason and not turn.away_reason:
            return  # it went away meanwhile: what was handed out waits
        self._under_way |= {each.delivery for each in outgoing}
        self._ready.extend(outgoing)
        if outgoing:
            self._some_ready.set()

    def _limit(self) -> int:
        """How many more messages to have under way: of a receiver that is away one now and then."""
        if self._away_reason:
            return 1 if not self._under_way and self._clock_s() >= self._away_until_s else 0
        if len(self._ready) >= self._config.connections_max:
            return 0
        return self._config.connections_max * UNDER_WAY - len(self._under_way)

    async def _work(self) -> None:
        """One connection: what is ready goes out, one message after the other."""
        receiver = self._receiver()
        try:
            while True:
                if not self._ready:
                    self._some_ready.clear()
                    await self._some_ready.wait()
                    continue
                await self._send(receiver, self._ready.popleft())
                if len(self._ready) < self._config.connections_max:
                    self._changed.set()
        finally:
            await receiver.close()

    async def _send(self, receiver: Receiver, outgoing: Outgoing) -> None:
        answered_before = self._answered
        try:
            reply = await receiver.send(outgoing)
        except AwayError as away:
            if away.timed_out and self._answered > answered_before:
                # It answers others: it is this message that it cannot deal with.
                self._retry(outgoing, "", f"{away.reason}, while it answered others")
            else:
                self._note_away(outgoing, away)
            return
        self._answered += 1
        self._note_back()
        self._settle(outgoing, reply)

    def _settle(self, outgoing: Outgoing, reply: Reply) -> None:
        answer = reply.answer
        if answer.outcome is Outcome.ACCEPTED:
            had = [
                Delivered(each, version, reply.receiver_versions.get(each, ""))
                for each, version in zip(outgoing.said, outgoing.said_versions, strict=True)
            ]
            self._result(Accepted(outgoing.delivery, answer.code, had), "accepted")
        elif answer.outcome is Outcome.PARK:
            self._result(Parked(outgoing.delivery, 1, answer.code, answer.reason, reply.raw), "parked")
        else:
            self._retry(outgoing, answer.code, answer.reason, reply.raw)

    def _retry(self, outgoing: Outgoing, code: str, reason: str, raw: bytes = b"") -> None:
        attempts = outgoing.attempts + 1
        if attempts >= self._config.attempts_max:
            self._result(Parked(outgoing.delivery, 1, code, f"{reason} (attempt {attempts})", raw), "parked")
            return
        self._result(Retry(outgoing.delivery, 1, code, reason, self._later(self._back_off_s(attempts))), "retried")

    def _note_away(self, outgoing: Outgoing, away: AwayError) -> None:
        """What is under way waits; one message is tried now and then until it answers."""
        if self._clock_s() >= self._away_until_s:  # of several connections that fail at once the first counts
            self._failures += 1
            self._away_until_s = self._clock_s() + self._back_off_s(self._failures)
        if not self._away_reason:
            _log.warning("a destination does not answer", destination=self._config.name, reason=away.reason)
        self._away_reason = away.reason
        waits[self._waits] = f"{self._waits} waits: {away.reason}"
        self._under_way -= {each.delivery for each in self._ready}
        self._ready.clear()
        if away.timed_out:
            # Another patient's message is tried next: it may be this one that it cannot deal with.
            self._result(Retry(outgoing.delivery, 0, "", away.reason, self._later(BACK_OFF_MAX_S)), "unanswered")
        else:
            self._under_way.discard(outgoing.delivery)
        self._changed.set()

    def _note_back(self) -> None:
        if self._away_reason:
            _log.info("a destination answers again", destination=self._config.name)
            waits.pop(self._waits, None)
        self._away_reason, self._failures, self._away_until_s = "", 0, 0.0

    def _result(self, result: Result, outcome: str) -> None:
        self._results.append(result)
        _deliveries.labels(self._config.name, outcome).inc()

    def _back_off_s(self, failures: int) -> float:
        """From 1 s to 60 s, doubled each time; up to half of it is left to chance."""
        longest_s = min(BACK_OFF_MAX_S, 2.0 ** min(failures, 10))
        return longest_s * (0.5 + 0.5 * self._jitter())

    def _later(self, delay_s: float) -> Any:
        return moment(self._clock_us() + int(delay_s * 1e6))
