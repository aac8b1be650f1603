"""The dialogue with an IntelliVue monitor, message by message, on a clock of the test's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.intellivue_association import Association
from adapters.session import Moment, Outcome, Step
from adapters.sessions.intellivue import REQUESTS, IntellivueSession
from tests.adapters.intellivue_bytes import (
    ABORT,
    REFUSE,
    RELEASE_REQUEST,
    RELEASE_RESPONSE,
    SPO2_97,
    accept,
    mds_create,
    operation,
    poll_result,
)

ALL = 0x8C000000
CONNECT_INDICATION = bytes.fromhex("000001000001000C")


class Line:
    """A session at work: what it sends by the moment, and what comes."""

    def __init__(self, *, waves: bool = True) -> None:
        self.session = IntellivueSession(waves=waves, may_double=True)
        self.at_s, self.wake_at_s = 0.0, 0.0
        self.sent: list[bytes] = []
        self.pieces: list[bytes] = []
        self.counts: list[str] = []
        self.phase = ""
        self._take(self.session.opened(self.now))

    @property
    def now(self) -> Moment:
        return Moment(self.at_s, int(self.at_s * 1e6))

    def _take(self, step: Step) -> None:
        assert step.wake_at_s is not None
        self.wake_at_s, self.phase = step.wake_at_s, step.phase
        self.counts += step.counts
        self.pieces += [piece.data for piece in step.pieces]
        self.sent += [step.send] if step.send else []

    def comes(self, *messages: bytes) -> list[bytes]:
        """What is sent upon these, in a second."""
        sent_before = len(self.sent)
        for message in messages:
            self._take(self.session.feed(message, self.now))
        self.waits(0.9)
        return self.sent[sent_before:]

    def waits(self, seconds: float, then: Callable[[], bytes] | None = None) -> list[bytes]:
        """What is sent meanwhile; `then` gives what comes each second."""
        sent_before, end_s = len(self.sent), self.at_s + seconds
        while self.at_s < end_s:
            self._tick_until(min(self.at_s + 1, end_s))
            self.at_s = min(self.at_s + 1, end_s)
            if then is not None:
                self._take(self.session.feed(then(), self.now))
        return self.sent[sent_before:]

    def _tick_until(self, end_s: float) -> None:
        for _ in range(1000):
            if self.wake_at_s > end_s:
                return
            self.at_s = max(self.at_s, self.wake_at_s)
            self._take(self.session.tick(self.now))
        raise AssertionError("it is woken again and again")


def kinds(sent: list[bytes]) -> list[str]:
    return [kind(each) for each in sent]


def kind(message: bytes) -> str:
    """What a message of ours is, by its bytes: "poll 0006 0803", "extended 0009 0000"."""
    if message[0] != 0xE1:
        return Association(message[0]).name.lower()
    if message[4:6] == b"\x00\x02":
        return "confirm"
    name = {0x0C16: "poll", 0xF13B: "extended"}[int.from_bytes(message[24:26], "big")]
    return f"{name} {message[32:34].hex()} {message[34:36].hex()}"


def associated(options: int = ALL, *, waves: bool = True) -> Line:
    line = Line(waves=waves)
    line.comes(accept(options), mds_create({}))
    assert line.phase == "polling"
    return line


def talks() -> bytes:
    return poll_result(6, {}, number=99)


def test_it_asks_until_it_is_answered() -> None:
    line = Line()
    assert kinds(line.sent) == ["request"]
    assert kinds(line.waits(5)) == ["request"] * 2
    assert line.phase == "associating"


def test_a_monitor_that_accepts_is_confirmed_and_polled() -> None:
    line = Line()
    assert line.comes(accept(ALL)) == []
    sent = line.comes(mds_create({}, invoke=9))
    assert kinds(sent) == [
        "confirm", "poll 0009 0000", "poll 002a 0807", "poll 0021 0000", "extended 0006 0803", "extended 0005 0803",
        "extended 0009 0000", "extended 0036 0801", "poll 0036 0811",
    ]  # fmt: skip
    assert sent[0] == operation(2, 9, 1, bytes.fromhex("0021000000010 00F4240 0D060000".replace(" ", "")))
    assert len(line.pieces) == 2


def test_what_is_not_granted_is_not_asked_for() -> None:
    line = Line()
    assert "extended 0009 0000" not in kinds(line.comes(accept(0x80000000), mds_create({})))
    line = Line(waves=False)
    assert not [each for each in kinds(line.comes(accept(ALL), mds_create({}))) if " 0009 " in each]


def test_without_the_extended_poll_it_polls_every_second() -> None:
    line = associated(0)
    sent = kinds(line.waits(10, talks))
    assert 9 <= sent.count("poll 0006 0803") <= 11
    assert not [each for each in sent if each.startswith("extended")]


def test_the_monitor_never_waits_for_us_longer_than_it_bears() -> None:
    line = associated()
    for _ in range(60):
        assert line.waits(5, talks)


def test_an_extended_poll_is_renewed_before_it_ends() -> None:
    line = associated()

    def results() -> bytes:
        return poll_result(6, {}, sequence=int(line.at_s), number=1)

    asked_s = [0.0]
    for _ in range(200):
        if "extended 0006 0803" in kinds(line.waits(1, results)):
            asked_s.append(line.at_s)
    gaps = [after - before for before, after in itertools.pairwise(asked_s)]
    assert gaps
    assert all(40 <= gap < 60 for gap in gaps)


def test_one_that_brings_nothing_is_asked_for_anew() -> None:
    line = associated()
    assert kinds(line.waits(35, talks)).count("extended 0006 0803") == 3


def test_a_poll_that_the_monitor_refuses_is_asked_for_less_often() -> None:
    line = associated()
    waves = next(each for each in line.sent if kind(each) == "extended 0009 0000")
    line.comes(operation(3, int.from_bytes(waves[8:10], "big"), 5, b""))
    sent = kinds(line.waits(27, talks))
    assert "extended 0009 0000" not in sent
    assert sent.count("extended 0006 0803") == 2
    assert "extended 0009 0000" in kinds(line.waits(3, talks))


def test_the_confirmation_that_was_lost_is_given_once_more() -> None:
    line = associated()
    assert kinds(line.comes(mds_create({}), mds_create({}))) == ["confirm", "confirm"]


def test_the_create_event_may_come_before_the_accept() -> None:
    line = Line()
    assert kinds(line.comes(mds_create({})))[0] == "confirm"
    assert "extended 0006 0803" in kinds(line.comes(accept(ALL)))


def test_where_the_accept_was_lost_what_was_asked_for_is_granted_until_a_poll_is_refused() -> None:
    line = Line()
    line.comes(REFUSE)  # of the second request, for the monitor thinks us associated
    sent = line.comes(mds_create({}))
    assert "extended 0009 0000" in kinds(sent)
    numerics = next(each for each in sent if kind(each) == "extended 0006 0803")
    line.comes(operation(3, int.from_bytes(numerics[8:10], "big"), 9, b""))
    assert kinds(line.waits(3))[-1] == "request"
    assert "extended 0006 0803" not in kinds(line.comes(accept(0), mds_create({})))


def test_an_accept_without_a_create_event_is_given_up() -> None:
    line = Line()
    line.comes(accept(ALL))
    assert kinds(line.waits(15)) == ["abort", "request"]
    assert line.counts == ["association-lost"]


def test_a_silent_monitor_is_associated_anew() -> None:
    line = associated()
    sent = kinds(line.waits(13))
    assert sent[-2:] == ["abort", "request"]
    assert line.phase == "associating"


def test_a_long_poll_period_bears_a_long_silence() -> None:
    line = Line()
    line.comes(accept(ALL, min_poll_ticks=10 * 8000), mds_create({}))
    assert "abort" not in kinds(line.waits(29))
    assert "abort" in kinds(line.waits(2))


def test_a_refusal_is_asked_again_after_a_while() -> None:
    line = Line()
    assert line.comes(REFUSE) == []
    assert line.waits(4) == []
    assert kinds(line.waits(2)) == ["request"]


def test_an_abort_begins_anew_and_forgets_what_was_to_be_sent() -> None:
    line = associated()
    assert line.comes(ABORT) == []
    assert kinds(line.waits(3)) == ["request"]
    assert "extended 0006 0803" in kinds(line.comes(accept(ALL), mds_create({})))


def test_a_release_is_answered() -> None:
    line = associated()
    assert line.comes(RELEASE_REQUEST) == [RELEASE_RESPONSE]
    assert kinds(line.waits(3)) == ["request"]


def test_a_monitor_that_announces_itself_is_asked_at_once() -> None:
    line = Line()
    line.comes(REFUSE)
    assert kinds(line.comes(CONNECT_INDICATION)) == ["request"]
    line = associated()
    assert line.comes(CONNECT_INDICATION) == []


def test_at_the_end_the_monitor_is_free_for_its_next_client() -> None:
    now = Moment(0, 0)
    assert associated().session.closed(False, now).send == RELEASE_REQUEST
    line = Line()
    assert line.session.closed(False, now).send == ABORT
    line = Line()
    line.comes(REFUSE)
    assert line.session.closed(False, now).send == b""


def test_a_frame_that_is_kept_changes_nothing() -> None:
    line = associated()
    wake_at_s = line.wake_at_s
    assert line.session.kept(1, Outcome.KEPT, "", line.now).wake_at_s == wake_at_s


def test_every_message_is_a_piece_and_what_is_none_is_counted() -> None:
    line = associated()
    line.comes(b"\x00junk", SPO2_97, SPO2_97[:-1])
    assert line.pieces[-3:] == [b"\x00junk", SPO2_97, SPO2_97[:-1]]
    assert line.counts == ["unread:not-data-export", "unread:cut-off"]


def test_a_result_that_comes_twice_is_one_piece() -> None:
    line = associated()
    before = len(line.pieces)
    line.comes(SPO2_97, SPO2_97, mds_create({}), mds_create({}))
    assert line.pieces[before:] == [SPO2_97, mds_create({}), mds_create({})]
    assert line.counts == ["results-doubled"]


def test_it_sends_nothing_that_is_not_in_its_table() -> None:
    line = associated()
    line.waits(200, talks)
    line.comes(RELEASE_REQUEST)
    codes = {request.code for request in REQUESTS}
    for message in line.sent:
        if message[0] == 0xE1 and message[4:6] == b"\x00\x01":
            assert message[10:12] == b"\x00\x07"  # a confirmed action, never a set
            assert message[24:26] in codes
        elif message[0] != 0xE1:
            assert bytes(message[:1]) in codes | {b"\x0a"}


@given(st.lists(st.one_of(
    st.binary(max_size=80), st.sampled_from([
        accept(ALL), accept(0), mds_create({}), REFUSE, ABORT, RELEASE_REQUEST, RELEASE_RESPONSE, SPO2_97,
        CONNECT_INDICATION, poll_result(6, {}, sequence=1), operation(3, 1, 5, b""),
    ]), st.floats(0.1, 100)), max_size=30))  # fmt: skip
def test_whatever_comes_it_goes_on(events: list[bytes | float]) -> None:
    line = Line()
    for event in events:
        if isinstance(event, float):
            line.waits(event)
        else:
            line.comes(event)
    assert line.waits(20)
    came = [event for event in events if isinstance(event, bytes) and event]
    doubled = line.counts.count("results-doubled")
    assert len(line.pieces) + doubled == len(came)
    assert set(line.pieces) == set(came)
