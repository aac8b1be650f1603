"""What a recording says: its bytes through the session and the driver of a source, by the recording's own clock.

The same session, driver and mapping as on the wire, without a link and without a clock: the same recording gives the
same reports to the bit, whenever and however often it is read. Nothing is sent or kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters.driver import Source
from adapters.formats.recording import RETAINED, Direction, Entry, joined, peer_of
from adapters.session import Moment, Outcome, Piece, Session, Step
from edge_agent.agent import read_frame
from edge_agent.delivery import Delivery
from edge_agent.events import as_old
from edge_agent.sources import SourcePlan
from schemas.report import Report


@dataclass(frozen=True)
class RecordedFrame:
    """A frame, or bytes that are none, and what they say; `is_cut` is False where the session refused the bytes."""

    data: bytes
    peer: str
    connection: int
    received_at_us: int
    outcome: Outcome
    reason: str
    is_cut: bool
    reports: Sequence[Report]


@dataclass
class _Connection:
    number: int
    source: Source[Any]
    session: Session | None
    wake_at_s: float | None = None
    is_next_retained: bool = False


def read_recording(plan: SourcePlan, entries: Iterable[Entry], begun_us: int) -> Iterator[RecordedFrame]:
    """Its frames in their order; `begun_us` is the moment from which the entries' times count.

    A connection whose beginning is not in the recording begins with its first bytes.
    """
    # Nothing of this outlives the reading: what a source remembers while it works is not touched.
    yield from _Reading(replace(plan, lasting={}, counts=type(plan.counts)()), begun_us).frames(joined(entries))


class _Reading:
    def __init__(self, plan: SourcePlan, begun_us: int) -> None:
        self._plan, self._begun_us = plan, begun_us
        self._connections: dict[int, _Connection] = {}

    def frames(self, entries: Iterable[Entry]) -> Iterator[RecordedFrame]:
        for entry in entries:
            for connection in list(self._connections.values()):
                yield from self._wake(connection, entry.at_us)
            if entry.direction is Direction.IN:
                yield from self._incoming(entry)
            elif entry.direction is Direction.NOTE:
                yield from self._noted(entry)

    def _noted(self, entry: Entry) -> Iterator[RecordedFrame]:
        peer = peer_of(entry.note)
        if peer is not None:
            yield from self._open(entry, peer)
        elif entry.note == "closed":
            connection = self._connections.pop(entry.connection, None)
            if connection is not None and connection.session is not None:
                now = self._moment(entry.at_us)
                yield from self._taken(connection, connection.session.closed(True, now), now)
        elif entry.note == RETAINED and entry.connection in self._connections:
            self._connections[entry.connection].is_next_retained = True

    def _open(self, entry: Entry, peer: str) -> Iterator[RecordedFrame]:
        make_session = self._plan.driver.session
        session = make_session(self._plan.settings) if make_session else None
        connection = _Connection(entry.connection, self._plan.source(peer), session)
        self._connections[entry.connection] = connection
        if session is not None:
            now = self._moment(entry.at_us)
            yield from self._taken(connection, session.opened(now), now)

    def _incoming(self, entry: Entry) -> Iterator[RecordedFrame]:
        if entry.connection not in self._connections:
            yield from self._open(entry, "")
        connection, now = self._connections[entry.connection], self._moment(entry.at_us)
        if connection.session is not None:
            yield from self._taken(connection, connection.session.feed(entry.data, now), now)
            return
        is_retained, connection.is_next_retained = connection.is_next_retained, False
        yield self._read(connection, Piece(entry.data), now, is_retained=is_retained)

    def _wake(self, connection: _Connection, at_us: int) -> Iterator[RecordedFrame]:
        while connection.session is not None and connection.wake_at_s is not None:
            due_s = connection.wake_at_s
            if due_s * 1e6 > at_us:
                return
            now = Moment(due_s, self._begun_us + int(due_s * 1e6))
            connection.wake_at_s = None
            yield from self._taken(connection, connection.session.tick(now), now)
            if connection.wake_at_s is not None and connection.wake_at_s <= due_s:
                return  # it wants to be woken at once, again and again: the next entry is soon enough

    def _taken(self, connection: _Connection, step: Step, now: Moment) -> Iterator[RecordedFrame]:
        connection.wake_at_s = step.wake_at_s
        for piece in step.pieces:
            frame = self._read(connection, piece, now)
            yield frame
            if piece.token is not None and connection.session is not None:
                after = connection.session.kept(piece.token, frame.outcome, frame.reason, now)
                yield from self._taken(connection, after, now)

    def _read(
        self, connection: _Connection, piece: Piece, now: Moment, *, is_retained: bool = False
    ) -> RecordedFrame:  # fmt: skip
        delivery = Delivery(piece.data, connection.source, now.utc_us, piece.reason, is_retained)
        outcome, reason, reports = read_frame(self._plan, delivery)
        connection.source.take_emitted()
        if is_retained:
            reports = [as_old(report) for report in reports]
        return RecordedFrame(
            data=piece.data,
            peer=connection.source.peer,
            connection=connection.number,
            received_at_us=now.utc_us,
            outcome=outcome,
            reason=reason,
            is_cut=not piece.reason,
            reports=reports,
        )

    def _moment(self, at_us: int) -> Moment:
        return Moment(at_us / 1e6, self._begun_us + at_us)
