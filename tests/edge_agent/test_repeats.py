"""A repeat is dropped only when it says the same thing twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import repeats
from edge_agent.repeats import WINDOW_US, Repeats, Sending

NOW_US = 1_790_000_000_000_000
TIMED, BARE = True, False


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(repeats.SCHEMA)
    yield connection
    connection.close()


@pytest.fixture
def seen(db: sqlite3.Connection) -> Repeats:
    return Repeats(db)


def sent(frame: bytes, connection: int, own_time: bool = BARE, **more: object) -> Sending:
    return Sending(
        **{"sender": "gw", "claims": frozenset({"bed"}), **more}, connection=connection, frame=frame, own_time=own_time
    )  # type: ignore[arg-type]


def repeat(seen: Repeats, sending: Sending, now_us: int = NOW_US) -> bool:
    found = seen.is_repeat(sending, now_us)
    seen.remember(sending, now_us)
    return found


def test_bytes_with_a_time_of_their_own_are_the_same_thing_for_an_hour(seen: Repeats) -> None:
    assert not repeat(seen, sent(b"x", 1, TIMED))
    assert repeat(seen, sent(b"x", 1, TIMED))
    assert repeat(seen, sent(b"x", 2, TIMED), NOW_US + WINDOW_US)
    assert repeat(seen, sent(b"x", 2, TIMED), NOW_US + 2 * WINDOW_US)  # an hour since it came last
    assert not repeat(seen, sent(b"x", 3, TIMED), NOW_US + 3 * WINDOW_US + 1)
    assert not repeat(seen, sent(b"x", 3, TIMED, sender="other"))
    assert not repeat(seen, sent(b"x", 3, TIMED, claims=frozenset({"another bed"})))


def test_without_a_time_identical_bytes_on_a_connection_are_two_measurements(seen: Repeats) -> None:
    assert [repeat(seen, sent(b"x", 1)) for _ in range(3)] == [False] * 3


def test_a_resend_after_a_cut_connection_is_a_repeat_and_then_the_new_one_stands_for_it(seen: Repeats) -> None:
    assert not repeat(seen, sent(b"x", 1))
    assert repeat(seen, sent(b"x", 2))
    assert repeat(seen, sent(b"x", 3))
    assert not repeat(seen, sent(b"x", 3))  # it went on: a measurement


def test_a_frame_whose_sender_went_on_was_answered(seen: Repeats) -> None:
    repeat(seen, sent(b"x", 1))
    repeat(seen, sent(b"y", 1))
    assert not repeat(seen, sent(b"x", 2))
    repeat(seen, sent(b"z", 3))
    repeat(seen, sent(b"timed", 3, TIMED))  # proves what came before it as well
    assert not repeat(seen, sent(b"z", 4))


def test_after_a_restart_the_same_connection_number_is_another_connection(db: sqlite3.Connection) -> None:
    assert not repeat(Repeats(db), sent(b"x", 1))
    assert repeat(Repeats(db), sent(b"x", 1))


def test_what_is_redelivered_is_a_repeat_on_its_own_connection_too(seen: Repeats) -> None:
    repeat(seen, sent(b"x", 1))
    assert repeat(seen, sent(b"x", 1, redelivered=True))
    assert not repeat(seen, sent(b"new", 1, redelivered=True))  # the first copy never came


def test_mqtt_tells_by_packet_id_and_flag(seen: Repeats) -> None:
    for packet_id in (1, 2, 3):
        assert not repeat(seen, sent(b"x", 1, packet_id=packet_id))
    assert not repeat(seen, sent(b"x", 2, packet_id=1))  # a new message: no flag
    assert repeat(seen, sent(b"x", 2, packet_id=2, redelivered=True))
    assert repeat(seen, sent(b"x", 2, packet_id=3, redelivered=True))
    assert not repeat(seen, sent(b"x", 2, packet_id=4, redelivered=True))  # kept no copy of this one


def test_who_cannot_send_again_never_repeats(seen: Repeats) -> None:
    for own_time in (TIMED, BARE):
        assert not any(repeat(seen, sent(b"x", 1, own_time, sender="", redelivered=True)) for _ in range(3))
        assert not any(repeat(seen, sent(b"x", -1, own_time)) for _ in range(3))


def test_keys_are_bounded(seen: Repeats, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "SEEN_MAX", 10)
    monkeypatch.setattr(repeats, "UNPROVEN_MAX", 10)
    for i in range(30):
        repeat(seen, sent(b"%d" % i, i, TIMED), NOW_US + i * 60_000_000)
        repeat(seen, sent(b"%d" % i, i), NOW_US + i * 60_000_000)
    seen.tidy(NOW_US + 1_800_000_000)
    assert repeat(seen, sent(b"29", 99, TIMED), NOW_US + 1_800_000_000)
    assert repeat(seen, sent(b"29", 99), NOW_US + 1_800_000_000)
    assert not seen.is_repeat(sent(b"0", 99, TIMED), NOW_US + 1_800_000_000)
    seen.tidy(NOW_US + 3 * WINDOW_US)
    assert [db.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("seen", "unproven")] == [(0,), (0,)]


@given(st.lists(st.tuples(st.sampled_from(b"ab"), st.sampled_from(["lost", "answered"])), max_size=30))
def test_a_sender_that_repeats_until_it_is_answered_is_kept_exactly_once_a_measurement(
    measurements: list[tuple[int, str]],
) -> None:
    """Each measurement is sent, on a new connection whenever an answer was lost, until one arrives."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(repeats.SCHEMA)
    seen, connection, kept = Repeats(db), 0, 0
    for value, first_answer in measurements:
        kept += not repeat(seen, sent(bytes([value]), connection))
        if first_answer == "lost":
            connection += 1
            kept += not repeat(seen, sent(bytes([value]), connection))
    db.close()
    assert kept == len(measurements)
