"""Recorded dialogues as cases: a session is fed what came in, at its time, and says what went out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from adapters.formats.recording import Direction, Entry
from adapters.session import Moment, Outcome, Piece, Session, Step

BEGAN_US = 1_790_000_000_000_000
Traffic = list[tuple[str, bytes]]  # "<" or ">" and the bytes; what follows in one direction is one


def replay(
    session: Session, entries: Iterable[Entry], outcome: Callable[[Piece], Outcome] = lambda _: Outcome.KEPT
) -> tuple[Traffic, list[Piece]]:
    """The dialogue as the session has it with the recording's incoming lines, and what it cut.

    The entries are those of one connection. The session is woken when it wants to be; each frame is kept at once.
    """
    traffic: Traffic = []
    pieces: list[Piece] = []
    wake_at_s: float | None = None

    def take(step: Step, at_us: int) -> None:
        nonlocal wake_at_s
        wake_at_s = step.wake_at_s
        _add(traffic, ">", step.send)
        for piece in step.pieces:
            pieces.append(piece)
            if piece.token is not None:
                take(session.kept(piece.token, outcome(piece), piece.reason, _moment(at_us)), at_us)

    def wake_until(at_us: int) -> None:
        while wake_at_s is not None and wake_at_s * 1e6 <= at_us:
            due_us = int(wake_at_s * 1e6)
            take(session.tick(_moment(due_us)), due_us)

    for entry in entries:
        wake_until(entry.at_us)
        if entry.direction is Direction.IN:
            _add(traffic, "<", entry.data)
            take(session.feed(entry.data, _moment(entry.at_us)), entry.at_us)
        elif entry.note.startswith("opened"):
            take(session.opened(_moment(entry.at_us)), entry.at_us)
        elif entry.note == "closed":
            take(session.closed(True, _moment(entry.at_us)), entry.at_us)
    return traffic, pieces


def recorded(entries: Iterable[Entry]) -> Traffic:
    """The dialogue as it was recorded."""
    traffic: Traffic = []
    for entry in entries:
        if entry.direction is not Direction.NOTE:
            _add(traffic, entry.direction.value, entry.data)
    return traffic


def _moment(at_us: int) -> Moment:
    return Moment(at_us / 1e6, BEGAN_US + at_us)


def _add(traffic: Traffic, mark: str, data: bytes) -> None:
    if data and traffic and traffic[-1][0] == mark:
        traffic[-1] = (mark, traffic[-1][1] + data)
    elif data:
        traffic.append((mark, data))
