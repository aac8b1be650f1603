"""One connection's session at work: bytes to the session, its frames to the agent, its answers to the line."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from adapters.driver import Source
from adapters.session import Moment, Outcome, Piece, Session, Step
from edge_agent.delivery import Answer, Delivery, connections
from edge_agent.recording import Tap

UNANSWERED_MAX = 64  # frames of one connection that wait for the spool: beyond it, nothing is read from it
FRAMES_A_TURN = 16  # of one connection, before others have their turn: some 2 ms


class Line(Protocol):
    """A link's side of a connection."""

    def write(self, data: bytes) -> None:
        """Send these bytes, now or when the other side takes them."""
        ...

    def close(self) -> None:
        """End the connection once all that was written is out."""
        ...

    def pause_reading(self) -> None:
        """Give nothing more to the conversation until `resume_reading`."""
        ...

    def resume_reading(self) -> None:
        """Go on reading."""
        ...


class Keeper(Protocol):
    """What keeps frames: the agent's chain, or in `edge watch` one that only looks.

    `keeps`: False where it only looks; then nothing is ever answered, and nothing waits.
    """

    keeps: bool

    def carry(self, delivery: Delivery, answer: Answer) -> None:
        """A frame came; `answer` is called when it is kept or refused."""
        ...

    def prove(self, connection: int, tokens: range) -> None:
        """The answers to these tokens have arrived."""
        ...

    def session_failed(self, error: Exception, /) -> object:
        """The session raised, which is a bug: its connection ends."""
        ...


def moment() -> Moment:
    """Now. The steady clock is the event loop's, by which it wakes."""
    return Moment(time.monotonic(), time.time_ns() // 1000)


class Conversation:
    """A session, its line and its keeper. All calls are on the event loop.

    `unanswered` counts the frames that wait for the spool. `heard_at_s` is when bytes came last, by the steady clock.
    """

    def __init__(
        self, session: Session, line: Line, source: Source[Any], keeper: Keeper, tap: Tap,
        clock: Callable[[], Moment] = moment,
    ) -> None:  # fmt: skip
        self.connection = next(connections)
        self._session, self._line, self._source, self._keeper = session, line, source, keeper
        self._tap, self._clock = tap, clock
        self._sender = f"{source.name}@{source.peer}"
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at_s: float | None = None
        self._held: deque[tuple[Piece, int]] = deque()  # cut, and not yet handed on; with the time they came
        self._is_handing_on_soon = self._is_paused = self._is_over = False
        self._when_settled: Callable[[], object] | None = None
        self.unanswered, self.phase, self.heard_at_s = 0, "", clock().steady_s

    def opened(self) -> None:
        """The link stands."""
        self._tap.opened(self.connection, self._source.peer)
        now = self._clock()
        self._step(self._session.opened, now)

    def received(self, data: bytes) -> None:
        """Bytes came."""
        now = self._clock()
        self.heard_at_s = now.steady_s
        if self._tap.is_used:
            self._tap.incoming(self.connection, data)
        try:
            step = self._session.feed(data, now)
        except Exception as error:  # noqa: BLE001 - a session's bug ends its connection, and costs no byte and no neighbour
            self._held.append((Piece(data, "session-error"), now.utc_us))
            self._fail(error)
        else:
            self._take(step, now)

    def closed(self, *, orderly: bool) -> None:
        """The link is gone, or its other side has ended its direction."""
        if self._is_over:
            return
        now = self._clock()
        self._step(self._session.closed, orderly, now)
        self._is_over = True
        self._wake(None)
        self._tap.closed(self.connection)

    def when_settled(self, then: Callable[[], object]) -> None:
        """Call this when no frame waits for the spool any more; at once where none does."""
        self._when_settled = then
        self._settle()

    def _step(self, call: Callable[..., Step], *arguments: Any) -> None:
        """Tell the session something; the last argument is the moment."""
        try:
            step = call(*arguments)
        except Exception as error:  # noqa: BLE001 - as in `received`
            self._fail(error)
        else:
            self._take(step, arguments[-1])

    def _fail(self, error: Exception) -> None:
        self._keeper.session_failed(error)
        if not self._is_handing_on_soon:
            self._hand_on()
        self._wake(None)
        self._line.close()

    def _take(self, step: Step, now: Moment) -> None:
        """What the session wants, the bytes first: what a frame is answered comes after them."""
        if step.phase:
            self.phase = step.phase
        if step.counts:
            self._source.counts.update(step.counts)
        if step.send:
            self._send(step.send)
        if step.wake_at_s != self._wake_at_s:
            self._wake(step.wake_at_s)
        if step.pieces:
            self._held.extend([(piece, now.utc_us) for piece in step.pieces])
            if not self._is_handing_on_soon:
                self._hand_on()
        if step.proven:
            self._keeper.prove(self.connection, step.proven)
        if step.close:
            self._line.close()

    def _send(self, data: bytes) -> None:
        if self._tap.is_used:
            self._tap.outgoing(self.connection, data)
        self._line.write(data)

    # --- frames -------------------------------------------------------------------------------------------------------

    def _hand_on(self) -> None:
        """Give the keeper some of what may wait for the spool; nothing more is read while there is something left."""
        self._is_handing_on_soon = False
        for _ in range(FRAMES_A_TURN):
            if not self._held or self.unanswered >= UNANSWERED_MAX:
                break
            self._carry(*self._held.popleft())
        if self._held and self.unanswered < UNANSWERED_MAX:
            self._hand_on_soon()
        is_full = bool(self._held) or self.unanswered >= UNANSWERED_MAX
        if is_full is not self._is_paused and not self._is_over:
            self._is_paused = is_full
            if is_full:
                self._line.pause_reading()
            else:
                self._line.resume_reading()
        self._settle()

    def _hand_on_soon(self) -> None:
        """At the next turn of the event loop: once, however many answers come in this one."""
        if not self._is_handing_on_soon:
            self._is_handing_on_soon = True
            self._loop.call_soon(self._hand_on)

    def _carry(self, piece: Piece, at_us: int) -> None:
        if self._keeper.keeps:
            self.unanswered += 1
        sender = "" if piece.token is None else self._sender
        delivery = Delivery(
            piece.data, self._source, at_us, piece.reason, False, sender,
            self.connection, piece.token, piece.answered,
        )  # fmt: skip
        self._keeper.carry(delivery, partial(self._kept, piece.token))

    def _kept(self, token: int | None, outcome: Outcome, reason: str) -> None:
        """A frame is on the disk, or refused: the session answers."""
        self.unanswered -= 1
        if token is not None:
            self._step(self._session.kept, token, outcome, reason, self._clock())
        if self._held or self._is_paused:
            self._hand_on_soon()
        else:
            self._settle()

    def _settle(self) -> None:
        if self._when_settled is not None and not self._held and self.unanswered == 0:
            then, self._when_settled = self._when_settled, None
            then()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _wake(self, at_s: float | None) -> None:
        """Be woken at this moment. A timer that stands earlier stays, and looks again: most are moved many times."""
        self._wake_at_s = at_s
        if self._timer is not None:
            if not self._is_over and (at_s is None or at_s >= self._timer.when()):
                return
            self._timer.cancel()
            self._timer = None
        if at_s is not None:
            self._timer = self._loop.call_at(at_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now, at_s = self._clock(), self._wake_at_s
        if at_s is None:
            return
        if now.steady_s < at_s:
            self._timer = self._loop.call_at(at_s, self._tick)
            return
        self._wake_at_s = None
        self._step(self._session.tick, now)
