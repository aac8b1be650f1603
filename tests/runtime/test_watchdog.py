from threading import Event

from runtime.watchdog import AttemptsWatchdog


class Scene:
    """A watchdog of 60 s on a clock of its own."""

    def __init__(self) -> None:
        self.now_s, self.stalls, self.work = 1000.0, 0, True
        self.watchdog = AttemptsWatchdog(60, self.stalled, lambda: self.work, lambda: self.now_s)

    def stalled(self) -> None:
        self.stalls += 1

    def after(self, seconds: float) -> int:
        self.now_s += seconds
        self.watchdog.check()
        return self.stalls


def test_a_worker_that_makes_no_attempt_is_ended() -> None:
    scene = Scene()
    assert scene.after(60) == 0
    assert scene.after(0.1) == 1


def test_a_worker_that_goes_on_trying_is_left_alone() -> None:
    scene = Scene()
    for _ in range(100):  # a database that is away for more than an hour and a half
        scene.watchdog()
        assert scene.after(59) == 0


def test_a_worker_without_work_need_not_try() -> None:
    scene = Scene()
    scene.work = False
    assert scene.after(3600) == 0
    scene.work = True
    assert scene.after(60) == 0
    assert scene.after(0.1) == 1


def test_it_looks_from_a_thread_of_its_own() -> None:
    ended = Event()
    watchdog = AttemptsWatchdog(0, ended.set)
    watchdog.start()
    assert ended.wait(20)
    watchdog.stop()
