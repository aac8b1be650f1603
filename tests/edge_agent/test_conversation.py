"""A session, a line and a keeper: what is sent in which order, and what is read when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from adapters.driver import NoSettings, Source
from adapters.session import Moment, Outcome, Piece, Step
from edge_agent import conversation
from edge_agent.conversation import Conversation
from edge_agent.delivery import Answer, Delivery
from edge_agent.recording import Tap


class Line:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.calls.append("close")

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class Keeper:
    """Keeps answers until they are wanted, or gives them at once."""

    keeps = True

    def __init__(self, at_once: bool = False) -> None:
        self.came: list[Delivery] = []
        self.answers: list[Answer] = []
        self.proven: list[tuple[int, range]] = []
        self.bugs: list[Exception] = []
        self._at_once = at_once

    def carry(self, delivery: Delivery, answer: Answer) -> None:
        self.came.append(delivery)
        if self._at_once:
            answer(Outcome.KEPT, "")
        else:
            self.answers.append(answer)

    def prove(self, connection: int, tokens: range) -> None:
        self.proven.append((connection, tokens))

    def session_failed(self, error: Exception, /) -> object:
        self.bugs.append(error)
        return None


class Letters:
    """Each letter is a frame; it is answered with its capital, and what was read with a full stop before."""

    def __init__(self) -> None:
        self._tokens = 0

    def opened(self, now: Moment) -> Step:
        return Step(send=b"!", phase="waiting", counts=("openings",))

    def feed(self, data: bytes, now: Moment) -> Step:
        pieces = tuple(Piece(bytes((b,)), token=self._tokens + n) for n, b in enumerate(data))
        self._tokens += len(data)
        return Step(pieces, send=b".", proven=range(1), close=b"z" in data)

    def tick(self, now: Moment) -> Step:
        return Step()

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        return Step(send=b"%d" % token)

    def closed(self, orderly: bool, now: Moment) -> Step:
        return Step((Piece(b"rest", "cut-off", token=99),), proven=range(9) if orderly else range(0))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def talk(keeper: Keeper, then: Callable[[Conversation, Line], Awaitable[None] | None]) -> Line:
    line = Line()

    async def run() -> None:
        source = Source("bed", NoSettings(), peer="10.0.0.7")
        made = Conversation(Letters(), line, source, keeper, Tap())
        made.opened()
        doing = then(made, line)
        if doing is not None:
            await doing
        assert source.counts == {"openings": 1}

    asyncio.run(run())
    return line


def test_what_a_session_sends_goes_out_before_the_answer_to_its_frames() -> None:
    line = talk(Keeper(at_once=True), lambda made, _: made.received(b"ab"))
    assert line.sent == b"!.01"
    assert line.calls == []


def test_each_frame_is_answered_when_it_is_kept_in_any_order() -> None:
    keeper = Keeper()

    def then(made: Conversation, line: Line) -> None:
        made.received(b"abc")
        assert line.sent == b"!."
        for n in (2, 0, 1):
            keeper.answers[n](Outcome.KEPT, "")
        assert line.sent == b"!.201"
        assert made.unanswered == 0

    talk(keeper, then)
    assert [(d.frame, d.token, d.sender) for d in keeper.came] == [(b"a", 0, "bed@10.0.0.7"), (b"b", 1, "bed@10.0.0.7"),
                                                                  (b"c", 2, "bed@10.0.0.7")]  # fmt: skip
    assert keeper.proven == [(keeper.came[0].connection, range(1))]


def test_frames_over_the_limit_wait_and_nothing_is_read_meanwhile() -> None:
    keeper, limit = Keeper(), conversation.UNANSWERED_MAX

    async def then(made: Conversation, line: Line) -> None:
        made.received(b"x" * (limit + 3))
        assert line.calls == ["pause"]
        assert len(keeper.came) == conversation.FRAMES_A_TURN  # others have their turn now
        await turns(limit)
        assert len(keeper.came) == limit
        for answer in keeper.answers[:3]:
            answer(Outcome.KEPT, "")
        assert len(keeper.came) == limit
        await turns(2)
        assert len(keeper.came) == limit + 3
        assert line.calls == ["pause"]
        keeper.answers[3](Outcome.KEPT, "")
        await turns(2)
        assert line.calls == ["pause", "resume"]

    talk(keeper, then)


def test_however_many_are_answered_at_once_others_have_their_turn() -> None:
    keeper, limit = Keeper(), conversation.UNANSWERED_MAX

    async def then(made: Conversation, line: Line) -> None:
        made.received(b"x" * 10_000)
        await turns(limit)
        for answer in keeper.answers[:limit]:  # one commit
            answer(Outcome.KEPT, "")
        before = len(keeper.came)
        await turns(1)
        assert len(keeper.came) == before + conversation.FRAMES_A_TURN

    talk(keeper, then)


def test_ten_thousand_heartbeats_at_once_are_no_recursion() -> None:
    keeper = Keeper(at_once=True)

    async def then(made: Conversation, line: Line) -> None:
        made.received(b"x" * 10_000)
        await turns(10_000)

    line = talk(keeper, then)
    assert len(keeper.came) == 10_000
    assert line.calls == ["pause", "resume"]


def test_after_its_end_what_came_is_kept_and_answered_and_then_it_is_settled() -> None:
    keeper, settled = Keeper(), list[bool]()

    def then(made: Conversation, line: Line) -> None:
        made.received(b"ab")
        made.closed(orderly=True)
        made.closed(orderly=False)  # once
        made.when_settled(lambda: settled.append(True))
        for answer in keeper.answers:
            assert not settled
            answer(Outcome.KEPT, "")
        assert settled == [True]

    line = talk(keeper, then)
    assert [d.reason for d in keeper.came] == ["", "", "cut-off"]
    assert line.sent == b"!.0199"
    assert keeper.proven[-1][1] == range(9)


def test_who_only_looks_answers_nothing_and_waits_for_nothing() -> None:
    class Looking(Keeper):
        keeps = False

    keeper, settled = Looking(), list[bool]()

    async def then(made: Conversation, line: Line) -> None:
        made.received(b"x" * 1000)
        await turns(1000)
        made.closed(orderly=False)
        made.when_settled(lambda: settled.append(True))
        await turns(2)

    line = talk(keeper, then)
    assert len(keeper.came) == 1001
    assert settled == [True]
    assert line.sent == b"!."


def test_a_session_that_wants_the_end_has_it_after_what_it_sends() -> None:
    line = talk(Keeper(), lambda made, _: made.received(b"z"))
    assert line.calls == ["close"]
    assert line.sent == b"!."
