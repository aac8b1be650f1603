r"""Mindray's Patient Data Share Protocol, where the monitor is dialled: MLLP, with a query and signs of life from us.

A monitor tells its parameters to whoever asks (1 to 5 s after the connection stands), and both sides say every few
seconds that they are there; Mindray PDS Programmer's Guide, as public clients of it have it:

    MSH|^~\&|||||||QRY^R02|1203|P|2.3.1        a query
    QRD|20260921141319|R|I|Q1|||||RES          its time and number
    QRF|MON||||0&0^1^1^1^                      of this very monitor (0&0), parameters (1), each second (1), all (1)

    MSH|^~\&|||||||ORU^R01|106|P|2.3.1|        "I am here"

The query is sent once more where a connection stays silent. All else is an MLLP session's.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from msgspec.structs import replace

from adapters.formats.hl7_ack import Answers
from adapters.quality import Request
from adapters.session import Moment, Outcome, Step
from adapters.sessions.mllp import MllpSession, wrap

QUERY_AFTER_S = 2.0
QUERY_RETRY_S = 30.0  # of silence
SIGN_OF_LIFE_EVERY_S = 3.0
_NEVER_S = math.inf
_HEAD = rb"MSH|^~\&|||||||"
_SOURCE = "Mindray Patient Data Share Protocol, Programmer's Guide: QRY^R02 and 106, as public clients send them"
REQUESTS = (
    Request("query of all parameters", b"QRY^R02|1203|", _SOURCE),
    Request("sign of life", b"ORU^R01|106|", _SOURCE),
)
SIGN_OF_LIFE = wrap(_HEAD + rb"ORU^R01|106|P|2.3.1|" + b"\r")


def query(number: int, utc_us: int) -> bytes:
    """The query of all parameters of the monitor that is connected, as it goes on the wire."""
    at = datetime.fromtimestamp(utc_us // 1_000_000, UTC)
    lines = (
        _HEAD + b"QRY^R02|1203|P|2.3.1",
        f"QRD|{at:%Y%m%d%H%M%S}|R|I|Q{number}|||||RES".encode("ascii"),
        b"QRF|MON||||0&0^1^1^1^",
    )
    return wrap(b"".join(line + b"\r" for line in lines))


class MindrayPdsSession:
    """One connection to a monitor; see `MllpSession` for its messages and their answers."""

    def __init__(self, answers: Answers = "accept") -> None:
        self._mllp = MllpSession(answers)
        self._query_at_s = self._sign_at_s = _NEVER_S
        self._queries = 0

    def opened(self, now: Moment) -> Step:
        """The monitor is given a moment before it is asked."""
        self._query_at_s = now.steady_s + QUERY_AFTER_S
        self._sign_at_s = now.steady_s + SIGN_OF_LIFE_EVERY_S
        return self._with_wake(self._mllp.opened(now))

    def feed(self, data: bytes, now: Moment) -> Step:
        """What comes puts off the next query, once one was sent."""
        if self._queries and data and self._query_at_s != _NEVER_S:
            self._query_at_s = now.steady_s + QUERY_RETRY_S
        return self._with_wake(self._mllp.feed(data, now))

    def tick(self, now: Moment) -> Step:
        """What is due: a query, a sign of life."""
        step = self._mllp.tick(now)
        send = step.send
        if now.steady_s >= self._query_at_s:
            self._queries += 1
            self._query_at_s = now.steady_s + QUERY_RETRY_S
            send += query(self._queries, now.utc_us)
        if now.steady_s >= self._sign_at_s:
            self._sign_at_s = now.steady_s + SIGN_OF_LIFE_EVERY_S
            send += SIGN_OF_LIFE
        return self._with_wake(replace(step, send=send))

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        """As with MLLP."""
        return self._with_wake(self._mllp.kept(token, outcome, reason, now))

    def closed(self, orderly: bool, now: Moment) -> Step:
        """As with MLLP; nothing is due any more."""
        self._query_at_s = self._sign_at_s = _NEVER_S
        return self._with_wake(self._mllp.closed(orderly, now))

    def _with_wake(self, step: Step) -> Step:
        wake_at_s = min(self._query_at_s, self._sign_at_s)
        if step.wake_at_s is not None:
            wake_at_s = min(wake_at_s, step.wake_at_s)
        return step if wake_at_s == _NEVER_S else replace(step, wake_at_s=wake_at_s)
