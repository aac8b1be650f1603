"""Every session, before anyone writes a test for it: any bytes, any chunking, any order of calls."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.devices.registry import DRIVERS
from adapters.driver import DeviceDriver
from adapters.session import Moment, Outcome, Piece, Session, Step
from adapters.sessions.mindray_pds import MindrayPdsSession
from adapters.sessions.mllp import MllpSession, wrap
from schemas.layout import FRAME_BYTES_MAX

SESSIONS: dict[str, Callable[[], Session]] = {
    "mllp, both answers": lambda: MllpSession("both"),
    "mllp, short frames": lambda: MllpSession(max_frame_bytes=8),
    "mindray_pds, asking": MindrayPdsSession,
}


def _of(driver: DeviceDriver[Any]) -> Callable[[], Session]:
    def make() -> Session:
        assert driver.session is not None
        return driver.session(driver.settings())

    return make


SESSIONS |= {driver.name: _of(driver) for driver in DRIVERS if driver.session is not None}
DATAGRAMS = {driver.name for driver in DRIVERS if driver.datagrams}  # no stream: each is fed by itself
each_stream = pytest.mark.parametrize(
    "make", [pytest.param(make, id=name) for name, make in SESSIONS.items() if name not in DATAGRAMS]
)
each_session = pytest.mark.parametrize("make", SESSIONS.values(), ids=SESSIONS.keys())

# Bytes of all protocols: what one of them begins, another ends.
_WORDS = (
    b"\x0b", b"\x1c", b"\x1c\r", b"\r", b"\n", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15", b"\x17",
    wrap(b"MSH|^~\\&|A||||1||ORU^R01|7|P|2.6\r"), wrap(b"MSH|^~\\&|A||||1||ACK|7|P|2.6\r"), b"SPO2=097 HR=072\r\n",
    b"\x01\x81\x80\x01\x03", b"\x01\x80\x80\x01\x02" * 24, b"1H|\\^&\r\x03", b"x" * 300,
    b"\x1bQ6C\r", b"\x01Q52\r", b"\x01R53\r", b"\x01S00    8000-  20  1003C042\r", b"\x01T55\r", b"\xd1\x98\x84" * 70,
)  # fmt: skip
streams = st.lists(st.sampled_from(_WORDS) | st.binary(max_size=9), max_size=20).map(b"".join)
moments = st.floats(0, 1e6, allow_nan=False)


def at(steady_s: float) -> Moment:
    return Moment(steady_s, 1_790_000_000_000_000 + int(steady_s * 1e6))


def fed(session: Session, stream: bytes, cuts: list[int]) -> tuple[list[Piece], bytes, Counter[str]]:
    """Pieces, what was sent and what was counted, where the stream is fed in chunks at one moment and then ends."""
    pieces, sent, counts = list[Piece](), b"", Counter[str]()
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    steps = [session.opened(at(0))]
    steps += [session.feed(stream[a:b], at(0)) for a, b in itertools.pairwise(places)]
    steps.append(session.closed(True, at(0)))
    for step in steps:
        pieces += step.pieces
        sent += step.send
        counts.update(step.counts)
    return pieces, sent, counts


@each_stream
@settings(deadline=None)
@given(stream=streams, cuts=st.lists(st.integers(0, 2000), max_size=20))
def test_any_chunking_gives_the_same_pieces(make: Callable[[], Session], stream: bytes, cuts: list[int]) -> None:
    assert fed(make(), stream, cuts) == fed(make(), stream, [])
    assert fed(make(), stream, list(range(len(stream)))) == fed(make(), stream, [])


@each_session
@settings(deadline=None)
@given(data=st.data())
def test_it_never_raises_whatever_comes_in_any_order(make: Callable[[], Session], data: st.DataObject) -> None:
    session, now_s, tokens, last = make(), 0.0, [0], -1
    for _ in range(data.draw(st.integers(1, 12))):
        now_s += data.draw(st.floats(0, 100))
        call = data.draw(st.sampled_from(["opened", "feed", "feed", "feed", "tick", "kept", "kept", "closed"]))
        step: Step
        if call == "opened":
            step = session.opened(at(now_s))
        elif call == "feed":
            step = session.feed(data.draw(streams), at(now_s))
        elif call == "tick":
            step = session.tick(at(now_s))
        elif call == "closed":
            step = session.closed(data.draw(st.booleans()), at(now_s))
        else:
            outcome = data.draw(st.sampled_from(Outcome))
            step = session.kept(data.draw(st.sampled_from(tokens)), outcome, data.draw(st.text(max_size=5)), at(now_s))
        new = [piece.token for piece in step.pieces if piece.token is not None]
        assert new == sorted(set(new))
        assert not new or new[0] > last
        last = max([last, *new])
        tokens += new
        for piece in step.pieces:
            assert piece.token is None or piece.answered.stop <= piece.token  # nothing proves itself
        assert " " not in step.phase


@each_session
@settings(deadline=None)
@given(stream=streams)
def test_it_asks_to_be_woken_no_more_often_than_it_waits(make: Callable[[], Session], stream: bytes) -> None:
    """Woken whenever it asks, it comes to rest or asks for a later moment each time."""
    session = make()
    step = session.feed(stream, at(0))
    now_s = 0.0
    for _ in range(50):
        if step.wake_at_s is None:
            return
        assert step.wake_at_s > now_s
        now_s = step.wake_at_s
        step = session.tick(at(now_s))
    assert now_s > 10  # a dialogue that polls, and no loop without a pause


@each_session
@settings(deadline=None)
@given(stream=streams)
def test_no_frame_is_answered_before_it_is_kept_and_each_once(make: Callable[[], Session], stream: bytes) -> None:
    session = make()
    tokens = [piece.token for piece in session.feed(stream, at(0)).pieces if piece.token is not None]
    assert len(set(tokens)) == len(tokens)
    for token in tokens:
        session.kept(token, Outcome.KEPT, "", at(0))
        assert session.kept(token, Outcome.KEPT, "", at(0)).send == b""


def held_bytes(value: object, seen: set[int]) -> int:
    """The bytes that lie in an object, in what it refers to, and so on."""
    if id(value) in seen or isinstance(value, type):
        return 0
    seen.add(id(value))
    if isinstance(value, bytes | bytearray | str):
        return len(value)
    if isinstance(value, dict):
        return sum(held_bytes(each, seen) for each in value.values())
    if isinstance(value, list | tuple | set | frozenset | deque):
        return sum(held_bytes(each, seen) for each in value)
    names = {*getattr(value, "__dict__", ()), *(n for c in type(value).__mro__ for n in getattr(c, "__slots__", ()))}
    return sum(held_bytes(getattr(value, name, None), seen) for name in names)


@each_stream
@pytest.mark.parametrize("begin", [b"\x0bMSH|^~\\&|", b"\x05\x021", b"\x01", b"\x7e", b"\xc0\x01", b"!", b"<OBS.R01>"])
def test_a_frame_that_never_ends_is_held_to_its_limit(make: Callable[[], Session], begin: bytes) -> None:
    session = make()
    session.opened(at(0))
    session.feed(begin, at(0))
    for _ in range(FRAME_BYTES_MAX // 4096 + 16):
        session.feed(b"A" * 4096, at(0))
    assert held_bytes(session, set()) < FRAME_BYTES_MAX + 8 * 4096
