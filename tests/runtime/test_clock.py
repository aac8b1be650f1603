import pytest

from runtime.clock import ClockWatch


class Clocks:
    """Two clocks; `late_s` passes between two looks at the monotonic one."""

    wall_s = 1_000_000.0
    monotonic_s = 50.0
    late_s = 0.0

    def wall(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        self.monotonic_s += self.late_s
        return self.monotonic_s

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds


@pytest.mark.parametrize(("step_s", "stepped"), [(0.499, 0), (-0.499, 0), (0.6, 600), (-3600.0, -3_600_000)])
def test_a_step_of_more_than_half_a_second_is_said_once(step_s: float, stepped: int) -> None:
    clocks = Clocks()
    watch = ClockWatch(clocks.wall, clocks.monotonic)
    clocks.pass_s(1)
    assert watch.step_ms() == 0
    clocks.pass_s(1)
    clocks.wall_s += step_s
    assert watch.step_ms() == stepped
    clocks.pass_s(1)
    assert watch.step_ms() == 0


def test_slewing_is_no_step() -> None:
    clocks = Clocks()
    watch = ClockWatch(clocks.wall, clocks.monotonic)
    for _ in range(10_000):
        clocks.pass_s(1)
        clocks.wall_s += 0.0005  # 500 ppm, the most that adjtime does
        assert watch.step_ms() == 0


def test_a_look_that_was_interrupted_says_nothing_and_loses_nothing() -> None:
    clocks = Clocks()
    watch = ClockWatch(clocks.wall, clocks.monotonic)
    clocks.wall_s += 2
    clocks.late_s = 0.7
    assert watch.step_ms() == 0
    clocks.wall_s += 3 * 0.7
    clocks.late_s = 0
    assert watch.step_ms() == pytest.approx(2000, abs=701)
