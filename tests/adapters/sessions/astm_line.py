"""One line of the ASTM dialogue for tests: frames as LIS01-A2 has them, a session, and what it has said."""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.session import Moment, Outcome, Piece, Step
from adapters.sessions.astm import ETX, STX, AstmSession

MESSAGE = b"H|\\^&|||ABG^1\rP|1||4711\rO|1|S-9\rR|1|^^^pH|7.412|pH||N||F\rL|1|N\r"
OTHER = b"H|\\^&|||ABG^1\rP|1||4712\rO|1|S-10\rR|1|^^^pH|7.31|pH||L||F\rL|1|N\r"


def frame(number: int, text: bytes, end: bytes = ETX, line_end: bytes = b"\r\n") -> bytes:
    summed = b"%d" % (number % 8) + text + end
    return STX + summed + b"%02X" % (sum(summed) % 256) + line_end


def frames(message: bytes, first: int = 1) -> list[bytes]:
    """A record a frame."""
    records = message.split(b"\r")[:-1]
    return [frame(number, record + b"\r") for number, record in enumerate(records, first)]


def at(seconds: float) -> Moment:
    return Moment(seconds, int(seconds * 1e6))


@dataclass
class Line:
    """A session and what it has said."""

    session: AstmSession = field(default_factory=AstmSession)
    now_s: float = 100.0
    pieces: list[Piece] = field(default_factory=list)
    proven: list[int] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    last: Step = field(default_factory=Step)

    def emitted(self, step: Step) -> bytes:
        self.last = step
        self.pieces += step.pieces
        self.proven += step.proven
        self.counts += step.counts
        return step.send

    def hear(self, *data: bytes) -> bytes:
        return self.emitted(self.session.feed(b"".join(data), at(self.now_s)))

    def keep(self, outcome: Outcome = Outcome.KEPT) -> bytes:
        (token,) = [piece.token for piece in self.pieces[-1:] if piece.token is not None]
        return self.emitted(self.session.kept(token, outcome, "", at(self.now_s)))

    def wait(self, seconds: float) -> bytes:
        """Time passes; the session is woken when it asked for it."""
        end_s, sent = self.now_s + seconds, b""
        while self.last.wake_at_s is not None and self.last.wake_at_s <= end_s:
            self.now_s = self.last.wake_at_s
            sent += self.emitted(self.session.tick(at(self.now_s)))
        self.now_s = end_s
        return sent

    @property
    def messages(self) -> list[bytes]:
        return [piece.data for piece in self.pieces if not piece.reason]

    @property
    def rejected(self) -> list[tuple[bytes, str]]:
        return [(piece.data, piece.reason) for piece in self.pieces if piece.reason]
