"""A repeat is dropped only when it says the same thing twice."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.driver import NoSettings, Source
from edge_agent import duplicates
from edge_agent import seen as seen_keys
from edge_agent.delivery import Delivery
from edge_agent.duplicates import RESEND_WINDOW_S, WINDOW_US, Duplicates, Sending
from schemas.report import Kind
from tests.making import report

NOW_US = 1_790_000_000_000_000
TIMED, BARE = True, False
BED = frozenset({"bed"})
S = 1_000_000


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(duplicates.SCHEMA)
    yield connection
    connection.close()


@pytest.fixture
def seen(db: sqlite3.Connection) -> Duplicates:
    return Duplicates(db)


def sent(frame: bytes, connection: int, own_time: bool = BARE, claims: frozenset[str] = BED, **more: Any) -> Sending:
    given = Delivery(frame, Source("gw", NoSettings()), NOW_US, connection=connection, **{"sender": "gw"} | more)
    stated = [msgspec.structs.replace(report(claim), own_time=own_time) for claim in sorted(claims)]
    return Sending.of(given, stated)


class Line:
    """A connection over MLLP: frames in their order, `unanswered` of them under way to their answers."""

    def __init__(self, seen: Duplicates, connection: int) -> None:
        self._seen, self._connection, self._tokens = seen, connection, count()

    def is_duplicate(self, frame: bytes, unanswered: int = 0, now_us: int = NOW_US, **more: Any) -> bool:
        token = next(self._tokens)
        fields: dict[str, Any] = {"token": token, "answered": range(token - unanswered)} | more
        return is_duplicate(self._seen, sent(frame, self._connection, **fields), now_us)

    def end_in_order(self) -> None:
        """All that was sent was answered before."""
        self._seen.prove(self._connection, range(next(self._tokens)))


def is_duplicate(seen: Duplicates, sending: Sending, now_us: int = NOW_US) -> bool:
    seen.begin([sending], now_us)
    found = seen.is_duplicate(sending, now_us)
    seen.remember(sending, now_us)
    seen.write(now_us)
    return found


def test_bytes_with_a_time_of_their_own_are_the_same_thing_for_an_hour(seen: Duplicates) -> None:
    assert not is_duplicate(seen, sent(b"x", 1, TIMED))
    assert is_duplicate(seen, sent(b"x", 1, TIMED))
    assert is_duplicate(seen, sent(b"x", 2, TIMED), NOW_US + WINDOW_US)
    assert is_duplicate(seen, sent(b"x", 2, TIMED), NOW_US + 2 * WINDOW_US)  # an hour since it came last
    assert not is_duplicate(seen, sent(b"x", 3, TIMED), NOW_US + 3 * WINDOW_US + 1)
    assert not is_duplicate(seen, sent(b"x", 3, TIMED, sender="other"))
    assert not is_duplicate(seen, sent(b"x", 3, TIMED, claims=frozenset({"another bed"})))


def test_without_a_time_identical_bytes_on_a_connection_are_two_measurements(seen: Duplicates) -> None:
    line = Line(seen, 1)
    assert [line.is_duplicate(b"x") for _ in range(3)] == [False] * 3


def test_a_resend_after_a_cut_connection_is_a_duplicate_and_then_the_new_one_stands_for_it(seen: Duplicates) -> None:
    assert not Line(seen, 1).is_duplicate(b"x")
    assert Line(seen, 2).is_duplicate(b"x")
    third = Line(seen, 3)
    assert third.is_duplicate(b"x")
    assert not third.is_duplicate(b"x")  # it went on: a measurement


def test_who_ends_in_order_after_each_message_has_its_answer(seen: Duplicates) -> None:
    """Senders that open a connection a message: an unchanged value is a measurement each time."""
    for connection in range(1, 6):
        line = Line(seen, connection)
        assert not line.is_duplicate(b"x", now_us=NOW_US + connection * S)
        line.end_in_order()
    lost = Line(seen, 6)
    assert not lost.is_duplicate(b"x", now_us=NOW_US + 6 * S)  # its answer is lost
    assert Line(seen, 7).is_duplicate(b"x", now_us=NOW_US + 8 * S)


def test_who_never_ends_in_order_is_kept_again_after_the_window(seen: Duplicates) -> None:
    """An unchanged value, a connection a message, each reset as soon as it is answered: nobody can tell."""
    window = RESEND_WINDOW_S
    kept = [t for t in range(3 * window) if not Line(seen, t + 1).is_duplicate(b"x", now_us=NOW_US + t * S)]
    assert kept == [0, window + 1, 2 * window + 2]


def test_a_connection_that_stood_before_brings_no_resend(seen: Duplicates) -> None:
    """Two connections at the same time, in turns."""
    lines = [Line(seen, 1), Line(seen, 2)]
    assert not any(line.is_duplicate(b"first %d" % n) for n, line in enumerate(lines))
    times = range(NOW_US + S, NOW_US + 11 * S, S)
    assert not any(lines[n % 2].is_duplicate(b"x", now_us=now_us) for n, now_us in enumerate(times))
    third = Line(seen, 3)  # the last answers of both may have been lost
    assert [third.is_duplicate(b"x", now_us=NOW_US + 12 * S) for _ in range(3)] == [True, True, False]


def test_a_sender_may_greet_before_it_sends_again(seen: Duplicates) -> None:
    first = Line(seen, 1)
    assert [first.is_duplicate(b"bed 7"), first.is_duplicate(b"x")] == [False, False]
    second = Line(seen, 2)
    assert [second.is_duplicate(b"bed 7", now_us=NOW_US + S), second.is_duplicate(b"x", now_us=NOW_US + S)] == [
        False,
        True,
    ]


def test_another_sender_and_another_bed_are_no_duplicate(seen: Duplicates) -> None:
    assert not Line(seen, 1).is_duplicate(b"x")
    assert not Line(seen, 2).is_duplicate(b"x", sender="other")
    assert not Line(seen, 3).is_duplicate(b"x", claims=frozenset({"another bed"}))
    assert Line(seen, 4).is_duplicate(b"x")


@pytest.mark.parametrize(
    ("stated", "own_time"),
    [
        ([(Kind.METRIC, TIMED), (Kind.METRIC, BARE)], BARE), ([(Kind.METRIC, TIMED), (Kind.WAVEFORM, TIMED)], TIMED),
        ([(Kind.CONTEXT, BARE), (Kind.DESCRIPTION, BARE), (Kind.METRIC, TIMED)], TIMED),
        ([(Kind.CONTEXT, TIMED), (Kind.METRIC, BARE)], BARE), ([(Kind.CONTEXT, TIMED)], TIMED),
        ([(Kind.CONTEXT, BARE)], BARE),
    ],
)  # fmt: skip
def test_a_frame_has_a_time_of_its_own_where_all_its_values_have(
    stated: list[tuple[Kind, bool]], own_time: bool
) -> None:
    given = Delivery(b"a cuff pressure of 14:05, and a pulse", Source("gw", NoSettings()), NOW_US)
    reports = [msgspec.structs.replace(report(kind=kind), own_time=own) for kind, own in stated]
    assert Sending.of(given, reports).own_time == own_time


def test_a_context_of_another_bed_makes_no_other_frame(seen: Duplicates) -> None:
    given = Delivery(b"two beds, one without a value", Source("gw", NoSettings()), NOW_US)
    first = Sending.of(given, [report("bed 1", kind=Kind.CONTEXT), report("bed 2", kind=Kind.CONTEXT), report("bed 2")])
    second = Sending.of(given, [report("bed 2")])
    assert first.own_time
    assert [is_duplicate(seen, sending, NOW_US) for sending in (first, second)] == [False, True]


def test_a_frame_whose_sender_went_on_was_answered(seen: Duplicates) -> None:
    line = Line(seen, 1)
    line.is_duplicate(b"x")
    line.is_duplicate(b"y")
    assert not Line(seen, 2).is_duplicate(b"x")
    third = Line(seen, 3)
    third.is_duplicate(b"z")
    third.is_duplicate(b"timed", own_time=TIMED)  # proves what came before it as well
    assert not Line(seen, 4).is_duplicate(b"z")


def test_of_frames_sent_without_waiting_all_that_were_not_answered_are_known_again(seen: Duplicates) -> None:
    line = Line(seen, 1)
    assert [
        line.is_duplicate(b"answered"),
        line.is_duplicate(b"a"),
        line.is_duplicate(b"b", 1),
        line.is_duplicate(b"c", 2),
    ] == [False] * 4
    assert not Line(seen, 2).is_duplicate(b"answered")
    third = Line(seen, 3)
    assert [third.is_duplicate(b"b"), third.is_duplicate(b"c", 1)] == [True] * 2
    assert not Line(seen, 4).is_duplicate(b"a")  # they come again in their order: its answer had arrived
    fifth = Line(seen, 5)
    assert [fifth.is_duplicate(b"b"), fifth.is_duplicate(b"c", 1), fifth.is_duplicate(b"d", 2)] == [True, True, False]


def test_after_a_restart_the_same_connection_number_is_another_connection(db: sqlite3.Connection) -> None:
    assert not Line(Duplicates(db), 1).is_duplicate(b"x")
    assert Line(Duplicates(db), 1).is_duplicate(b"x")


def test_mqtt_tells_by_packet_id_and_flag(seen: Duplicates) -> None:
    def come(frame: bytes, connection: int, token: int, redelivered: bool = False) -> bool:
        more: dict[str, Any] = {"token": token, "answered": range(token, token + 1), "redelivered": redelivered}
        return is_duplicate(seen, sent(frame, connection, **more))

    for token in (1, 2, 3):
        assert not come(b"x", 1, token)
    assert come(b"x", 1, 1, redelivered=True)  # on its own connection too
    assert not come(b"x", 2, 1)  # a new message: no flag
    assert come(b"x", 2, 2, redelivered=True)
    assert come(b"x", 2, 3, redelivered=True)
    assert not come(b"x", 2, 4, redelivered=True)  # kept no copy of this one


def test_who_cannot_send_again_has_no_duplicates(seen: Duplicates) -> None:
    """MQTT at QoS 0, also on the next connection."""
    assert not any(is_duplicate(seen, sent(b"x", connection, redelivered=False)) for connection in (1, 1, 2))


def test_keys_are_bounded(seen: Duplicates, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_keys, "KEYS_MAX", 10)
    monkeypatch.setattr(seen_keys, "KEYS_LEFT", 9)
    monkeypatch.setattr(duplicates, "UNPROVEN_MAX", 10)
    for i in range(30):
        is_duplicate(seen, sent(b"%d" % i, i, TIMED), NOW_US + i * 60_000_000)
        is_duplicate(seen, sent(b"%d" % i, i, token=0), NOW_US + i * 60_000_000)
    seen.tidy(NOW_US + 1_800_000_000)
    assert is_duplicate(seen, sent(b"29", 99, TIMED), NOW_US + 1_800_000_000)
    assert is_duplicate(seen, sent(b"29", 99, token=0), NOW_US + 1_800_000_000)
    first = sent(b"0", 99, TIMED)
    seen.begin([first], NOW_US + 1_800_000_000)
    assert not seen.is_duplicate(first, NOW_US + 1_800_000_000)
    seen.tidy(NOW_US + 3 * WINDOW_US)
    assert [db.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("seen", "unproven")] == [(0,), (0,)]


def fresh() -> Duplicates:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(duplicates.SCHEMA)
    return Duplicates(db)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(b"ab"),
            st.sampled_from(["answered", "lost", "lost twice"]),
            st.sampled_from(["stays", "ends in order"]),
        ),
        max_size=30,
    )
)
def test_a_sender_that_resends_until_it_is_answered_is_kept_once_a_measurement(
    measurements: list[tuple[int, str, str]],
) -> None:
    """Each is sent, on a new connection whenever its answer was lost, until one arrives; unchanged values too."""
    seen, connections, kept = fresh(), count(1), 0
    line = Line(seen, next(connections))
    for value, answer, then in measurements:
        for lost in range(("answered", "lost", "lost twice").index(answer) + 1):
            if lost:
                line = Line(seen, next(connections))
            kept += not line.is_duplicate(bytes([value]))
        if then == "ends in order":
            line.end_in_order()
            line = Line(seen, next(connections))
    assert kept == len(measurements)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), max_size=20))
def test_a_sender_that_does_not_wait_is_kept_exactly_once_a_measurement_too(rounds: list[tuple[int, int]]) -> None:
    """In each round, up to `window` frames are sent at once; of some of their answers all were lost, and it is cut."""
    seen, kept, numbers = fresh(), 0, count()
    unanswered: list[bytes] = []
    for connection, (window, lost) in enumerate(rounds):
        line, frames = Line(seen, connection), [*unanswered, *(b"%d" % next(numbers) for _ in range(window))]
        kept += sum(not line.is_duplicate(frame, unanswered) for unanswered, frame in enumerate(frames))
        unanswered = frames[len(frames) - min(lost, len(frames)) :]
    assert kept == next(numbers)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 20, 299, 301, 2000]), st.sampled_from(["goes on", "reset", "in order"]))))
def test_a_measurement_is_lost_for_no_longer_than_the_window(steps: list[tuple[int, str]]) -> None:
    """A sender that was always answered, whatever it does with its connections; its value does not change."""
    seen, connections = fresh(), count(1)
    line, now_us, kept_us, lost_since_opened = Line(seen, next(connections)), NOW_US, 0, 0
    for wait_s, then in steps:
        now_us += wait_s * S
        if line.is_duplicate(b"x", now_us=now_us):
            lost_since_opened += 1
            assert now_us - kept_us <= RESEND_WINDOW_S * S
        else:
            kept_us = now_us
        assert lost_since_opened <= 1
        if then != "goes on":
            if then == "in order":
                line.end_in_order()
            line, lost_since_opened = Line(seen, next(connections)), 0


@settings(deadline=None)
@given(st.lists(st.integers(1, 400), max_size=20))
def test_a_resend_is_kept_twice_only_after_the_window(waits_s: list[int]) -> None:
    """One measurement whose answers are all lost, sent again and again on new connections."""
    seen, now_us, kept_us = fresh(), NOW_US, list[int]()
    for connection, wait_s in enumerate(waits_s, 1):
        now_us += wait_s * S
        if not Line(seen, connection).is_duplicate(b"x", now_us=now_us):
            kept_us.append(now_us)
    assert all(later - earlier > RESEND_WINDOW_S * S for earlier, later in itertools.pairwise(kept_us))


@pytest.mark.parametrize("own_time", [TIMED, BARE])
def test_the_same_control_id_with_another_payload_is_no_duplicate(seen: Duplicates, own_time: bool) -> None:
    """F27: a sender that counts MSH-10 anew after a restart, or always says 1."""
    text = "MSH|^~\\&|MON||||20261124101500+0000||ORU^R01|1|P|2.6\rOBX|1|NM|8867-4^^LN||{}\r"
    first, other = (text.format(value).encode() for value in (61, 62))
    assert not is_duplicate(seen, sent(first, 1, own_time, token=0, answered=range(0)))
    assert not is_duplicate(seen, sent(other, 2, own_time, token=0, answered=range(0)))
    assert is_duplicate(seen, sent(other, 3, own_time, token=0, answered=range(0)))
