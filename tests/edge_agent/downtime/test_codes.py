"""The code of the downtime view, and who guesses it."""

from __future__ import annotations

import pytest

from edge_agent.downtime.codes import (
    ADDRESSES_MAX,
    ALL_TRIES,
    ALL_WINDOW_S,
    FREE_TRIES,
    SESSION_S,
    SESSIONS_MAX,
    WAIT_FIRST_S,
    WAIT_MAX_S,
    Attempt,
    CodeGate,
)

CODE = "4711471147"


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> CodeGate:
    return CodeGate(CODE, clock)


def test_the_code_opens_a_session_for_a_shift(gate: CodeGate, clock: Clock) -> None:
    attempt, session = gate.attempt("a", CODE)
    assert attempt is Attempt.OPENED
    assert gate.is_open(str(session))
    clock.now_s += SESSION_S
    assert not gate.is_open(str(session))


@pytest.mark.parametrize("session", ["", "x", CODE])
def test_nothing_else_is_a_session(gate: CodeGate, session: str) -> None:
    assert not gate.is_open(session)


@pytest.mark.parametrize("code", ["", "4711", CODE + "0", "４７１１", "\ud800"])
def test_a_wrong_code_opens_nothing(gate: CodeGate, code: str) -> None:
    assert gate.attempt("a", code) == (Attempt.WRONG, "")


def test_who_guesses_waits_ever_longer_and_the_right_code_too(gate: CodeGate, clock: Clock) -> None:
    for _ in range(FREE_TRIES):
        assert gate.attempt("a", "wrong code")[0] is Attempt.WRONG
    assert gate.attempt("a", CODE) == (Attempt.WAIT, int(WAIT_FIRST_S) + 1)
    waits = []
    for _ in range(8):
        waits.append(gate.attempt("a", CODE)[1])
        clock.now_s += float(waits[-1])
        assert gate.attempt("a", "wrong code")[0] is Attempt.WRONG
    assert waits == sorted(waits)
    assert waits[-1] == int(WAIT_MAX_S) + 1


def test_one_who_guesses_keeps_nobody_else_out(gate: CodeGate) -> None:
    for _ in range(2 * FREE_TRIES):
        gate.attempt("a", "wrong code")
    assert gate.attempt("b", CODE)[0] is Attempt.OPENED


def test_the_right_code_forgets_the_wrong_ones_before(gate: CodeGate) -> None:
    for _ in range(3):
        for _ in range(FREE_TRIES - 1):
            gate.attempt("a", "wrong code")
        assert gate.attempt("a", CODE)[0] is Attempt.OPENED


def test_many_addresses_are_throttled_altogether_for_an_hour(gate: CodeGate, clock: Clock) -> None:
    for number in range(ALL_TRIES):
        gate.attempt(f"n:{number}", "wrong code")
    assert gate.attempt("b", CODE)[0] is Attempt.WAIT
    clock.now_s += ALL_WINDOW_S
    assert gate.attempt("b", CODE)[0] is Attempt.OPENED


def test_addresses_and_sessions_are_bounded(gate: CodeGate, clock: Clock) -> None:
    for number in range(3 * ADDRESSES_MAX):
        clock.now_s += ALL_WINDOW_S / ALL_TRIES * 2
        gate.attempt(f"n:{number}", "wrong code")
    assert len(gate._tries) == ADDRESSES_MAX
    sessions = [gate.attempt("b", CODE)[1] for _ in range(SESSIONS_MAX + 1)]
    assert not gate.is_open(str(sessions[0]))
    assert gate.is_open(str(sessions[-1]))
