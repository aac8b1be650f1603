from threading import Event

import pytest

from runtime.watchdog import AttemptsWatchdog


class Scene:
    """A watchdog of 60 s on a clock of its own."""

    def __init__(self) -> None:
        self.now_s, self.stalls = 1000.0, 0
        self.watchdog = AttemptsWatchdog(60, self.stalled, lambda: self.now_s)

    def stalled(self) -> None:
        self.stalls += 1

    def after(self, seconds: float) -> int:
        self.now_s += seconds
        self.watchdog.check()
        return self.stalls


def test_work_without_an_attempt_ends_the_worker() -> None:
    scene = Scene()
    with scene.watchdog.work():
        assert scene.after(60) == 0
        assert scene.after(0.1) == 1


def test_work_that_is_tried_again_and_again_is_left_alone() -> None:
    scene = Scene()
    with scene.watchdog.work() as attempted:
        for _ in range(100):  # a database that is away for more than an hour and a half
            attempted()
            assert scene.after(59) == 0


def test_a_worker_without_work_need_not_try() -> None:
    scene = Scene()
    assert scene.after(3600) == 0
    with scene.watchdog.work():
        assert scene.after(30) == 0
    assert scene.after(3600) == 0
    with pytest.raises(ValueError, match="gone wrong"), scene.watchdog.work():
        raise ValueError("gone wrong")
    assert scene.after(3600) == 0


def test_what_goes_well_does_not_hide_what_hangs() -> None:
    scene = Scene()
    with scene.watchdog.work(), scene.watchdog.work() as other:
        assert scene.after(60) == 0
        other()
        assert scene.after(0.1) == 1


def test_it_looks_from_a_thread_of_its_own() -> None:
    ended = Event()
    watchdog = AttemptsWatchdog(0, ended.set)
    with watchdog.work():
        watchdog.start()
        assert ended.wait(20)
