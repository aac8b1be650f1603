from __future__ import annotations

import pytest

from adapters.formats.dri_record import FRAME_BYTES_MAX, PHDB, WAVE, framed, record_of, unescaped
from adapters.session import Moment
from adapters.sessions.datex_dri import (
    REQUESTS,
    SILENCE_S,
    WAVES_SILENCE_MAX_S,
    WAVES_SILENCE_S,
    DatexDriSession,
    alarms_request,
    displayed_request,
    waves_request,
)

VALUES = framed(record_of(PHDB, b"12"))
WAVES = framed(record_of(WAVE, b"12"))
ALL = displayed_request(5) + alarms_request() + waves_request(b"\x01\x08\x04")


def at(steady_s: float) -> Moment:
    return Moment(steady_s, 1_790_000_000_000_000)


def session() -> DatexDriSession:
    return DatexDriSession(5, b"\x01\x08\x04")


def test_requests_are_as_worked_out() -> None:
    """The sums are worked out by hand from M1017617 pages 6-11."""
    assert displayed_request(63, 0x0E)[-3:] == b"\x7d\x5e\x7e"
    assert alarms_request()[-2:] == b"\x39\x7e"
    assert waves_request(b"\x08\x09")[-2:] == b"\x58\x7e"
    assert len(waves_request(bytes(range(1, 9)))) == 72 + 3


def test_it_sends_what_its_table_has_and_nothing_else() -> None:
    sent = b"".join(step.send for step in (session().opened(at(0)), session().opened(at(0))))
    frames = [part for part in sent.split(b"\x7e") if part]
    codes = {request.code for request in REQUESTS}
    for frame in frames:
        assert sum(unescaped(frame)[14:].startswith(code) for code in codes) == 1
    assert len(frames) == 6


def test_a_silent_monitor_is_asked_again() -> None:
    line = session()
    step = line.opened(at(0))
    assert (step.send, step.phase, step.wake_at_s) == (ALL, "waiting", WAVES_SILENCE_S)
    assert line.tick(at(WAVES_SILENCE_S)).send == waves_request(b"\x01\x08\x04")
    step = line.tick(at(SILENCE_S))
    assert (step.send, step.phase, step.counts) == (ALL, "silent", ("asked-again",))
    step = line.feed(VALUES + WAVES, at(16))
    assert (step.send, step.phase, step.wake_at_s) == (b"", "receiving", 16 + WAVES_SILENCE_S)


def test_waves_that_do_not_come_are_asked_for_less_and_less_often() -> None:
    line = session()
    step = line.opened(at(0))
    now_s, asked_at_s = 0.0, list[float]()
    while now_s < 300:
        assert step.wake_at_s is not None
        now_s = min(step.wake_at_s, now_s + 5)
        step = line.tick(at(now_s))
        if step.send:
            asked_at_s.append(now_s)
        step = line.feed(VALUES, at(now_s))
    assert asked_at_s[:4] == [10, 30, 70, 130]
    assert asked_at_s[4] - asked_at_s[3] == WAVES_SILENCE_MAX_S


def test_a_long_interval_is_no_silence() -> None:
    line = DatexDriSession(60)
    assert line.opened(at(0)).wake_at_s == 150
    assert line.feed(VALUES, at(60)).wake_at_s == 210


def test_a_damaged_record_counts_as_none() -> None:
    line = session()
    line.opened(at(0))
    damaged = VALUES[:-3] + bytes([VALUES[-3] ^ 1]) + VALUES[-2:]
    step = line.feed(damaged, at(5))
    assert [piece.reason for piece in step.pieces] == [""]  # the driver says what is wrong
    assert (step.phase, step.wake_at_s) == ("waiting", WAVES_SILENCE_S)


def test_frames_may_stand_side_by_side_or_behind_noise() -> None:
    line = session()
    pieces = line.feed(b"noise" + VALUES + VALUES + b"\x7e\x7e" + WAVES, at(0)).pieces
    assert [(piece.data, piece.reason) for piece in pieces] == [
        (b"noise", "framing"),
        (VALUES[1:-1], ""),
        (VALUES[1:-1], ""),
        (WAVES[1:-1], ""),
    ]


def test_what_is_longer_than_any_frame_is_kept_in_pieces() -> None:
    line = session()
    pieces = line.feed(b"\x7e" + b"x" * (FRAME_BYTES_MAX + 10) + VALUES, at(0)).pieces
    assert [(len(piece.data), piece.reason) for piece in pieces] == [
        (FRAME_BYTES_MAX, "too-long"),
        (10, "too-long"),
        (len(VALUES) - 2, ""),
    ]


@pytest.mark.parametrize("orderly", [True, False])
def test_after_a_disconnect_everything_begins_anew(orderly: bool) -> None:
    line = session()
    line.opened(at(0))
    line.feed(VALUES + b"\x7ehalf", at(1))
    step = line.closed(orderly, at(2))
    assert [(piece.data, piece.reason) for piece in step.pieces] == [(b"half", "cut-off")]
    assert step.wake_at_s is None
    assert line.tick(at(100)).send == b""
    step = line.opened(at(200))
    assert (step.send, step.phase) == (ALL, "waiting")
    assert [piece.reason for piece in line.feed(b"rest" + VALUES, at(201)).pieces] == ["framing", ""]
