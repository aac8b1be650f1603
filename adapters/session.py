"""What a session is: a protocol's state machine, without I/O and without a clock of its own.

A link moves bytes; the session says what they are: frames, and bytes that are none; what to send; when to be woken. The
same session runs in the agent, where a frame is answered after it was kept, and in `edge watch`, where nothing is kept
and so nothing is answered.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

import msgspec


class Moment(NamedTuple):
    """Now, by two clocks: time-outs are counted in `steady_s`, which never steps; `utc_us` is the edge's clock."""

    steady_s: float
    utc_us: int


class Outcome(Enum):
    """What became of a frame; each protocol answers it in its own words."""

    KEPT = "kept"
    MALFORMED = "malformed"  # kept too, as a rejected report
    UNSUPPORTED = "unsupported"  # kept too; its type or version is not read here
    CANNOT_KEEP = "cannot keep"  # not now: it is to be sent again


class Piece(msgspec.Struct, frozen=True):
    """What a session cut from a stream: a frame, or with `reason` set bytes that are none (kept all the same).

    `token` comes back with `Session.kept`; None where the protocol knows no acknowledgement, and then the frame is
    never sent again. Tokens of one connection count up. `answered` are the tokens whose answers this frame proves to
    have arrived, for its sender has gone on.
    """

    data: bytes
    reason: str = ""
    token: int | None = None
    answered: range = range(0)


class Step(msgspec.Struct, frozen=True):
    """What a session answers with whenever it is told something.

    `wake_at_s` is when `tick` is to be called (in `Moment.steady_s`), None: not before something comes. `phase` is one
    word for people ("waiting", "receiving"). `proven` are tokens whose answers are known to have arrived though no
    frame says so. `close` ends the connection once `send` is out.
    """

    pieces: tuple[Piece, ...] = ()
    send: bytes = b""
    wake_at_s: float | None = None
    phase: str = ""
    proven: range = range(0)
    close: bool = False
    counts: tuple[str, ...] = ()


class Session(Protocol):
    """One connection's protocol. Any chunking of the same bytes gives the same pieces. Never raises, whatever comes."""

    def opened(self, now: Moment) -> Step:
        """The link stands: what is to be sent first, if anything."""
        ...

    def feed(self, data: bytes, now: Moment) -> Step:
        """Bytes came."""
        ...

    def tick(self, now: Moment) -> Step:
        """The moment asked for in `wake_at_s` has come, or later."""
        ...

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """A frame is committed to disk, or refused: its answer. Called once for each token, in any order.

        `reason` is a FrameError's slug or a few plain words, "" where there is nothing to say.
        """
        ...

    def closed(self, orderly: bool, now: Moment) -> Step:
        """The link is gone: what was left of a frame. `orderly`: the other side ended it, not a fault or we."""
        ...
