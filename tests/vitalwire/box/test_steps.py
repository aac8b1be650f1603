from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from runtime.errors import UserError
from vitalwire.box.steps import Step, run_steps


class Kept:
    """What steps did, as a set of names and as a list of what was called."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.calls: list[str] = []

    def step(self, name: str, fail: Callable[[], object] | None = None, undo_fails: bool = False) -> Step:
        def do() -> None:
            self.calls.append(f"do {name}")
            self.there.add(name)
            if fail is not None:
                fail()

        def undo() -> None:
            self.calls.append(f"undo {name}")
            if undo_fails:
                raise OSError(5, "Input/output error", name)
            self.there.discard(name)

        return Step(name, do, undo, lambda: name in self.there)


def failing() -> None:
    raise OSError(28, "No space left on device", "/opt/x")


def test_steps_are_done_in_order_and_not_again() -> None:
    kept, said = Kept(), list[str]()
    steps = [kept.step(name) for name in "abc"]
    run_steps(steps, emit=said.append)
    run_steps(steps, emit=said.append)
    assert kept.calls == ["do a", "do b", "do c"]
    assert said == ["now     a", "now     b", "now     c", "is so   a", "is so   b", "is so   c"]


def test_a_dry_run_says_all_and_does_nothing() -> None:
    kept, said = Kept(), list[str]()
    kept.there.add("a")
    run_steps([kept.step(name) for name in "ab"], emit=said.append, is_dry_run=True)
    assert (kept.calls, said) == ([], ["is so   a", "would   b"])


def test_what_was_done_is_taken_back_in_the_other_order_and_what_was_there_before_stays() -> None:
    kept = Kept()
    kept.there.add("b")
    steps = [kept.step("a"), kept.step("b"), kept.step("c"), kept.step("d", failing)]
    with pytest.raises(UserError, match=r"d: /opt/x: No space left on device; all that was done is taken back"):
        run_steps(steps, emit=lambda _: None)
    assert kept.calls == ["do a", "do c", "do d", "undo d", "undo c", "undo a"]
    assert kept.there == {"b"}


def test_what_cannot_be_taken_back_is_named_and_the_rest_is() -> None:
    kept = Kept()
    steps = [kept.step("a"), kept.step("b", undo_fails=True), kept.step("c", failing)]
    with pytest.raises(UserError, match=r"all was taken back but: b \(b: Input/output error\); run this again"):
        run_steps(steps, emit=lambda _: None)
    assert kept.there == {"b"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_stops_it_finds_all_taken_back(number: signal.Signals) -> None:
    kept = Kept()
    before = signal.getsignal(number)
    steps = [kept.step("a"), kept.step("b", lambda: os.kill(os.getpid(), number)), kept.step("c")]
    with pytest.raises(UserError, match="stopped: all that was done is taken back"):
        run_steps(steps, emit=lambda _: None)
    assert kept.there == set()
    assert signal.getsignal(number) is before


def test_a_bug_takes_back_too_and_shows() -> None:
    kept = Kept()

    def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_steps([kept.step("a"), kept.step("b", bug)], emit=lambda _: None)
    assert kept.there == set()
