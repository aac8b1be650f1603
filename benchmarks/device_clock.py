"""Of how many hours every corrected moment is right, and how much is stated on a live link; simulated, not timed."""

from __future__ import annotations

from edge_agent.device_clock import DeviceClock
from simulators.clocks import BEGAN_US, SECOND_US, DeviceWithClock

DEVICES, DEVICES_QUICK = 100, 10
HOURS = 10  # of each
MAX_DELAY_S = 1.0
WARM_UP_US = 120 * SECOND_US


def measure(quick: bool) -> dict[str, float]:
    """An hour is right when the true moment of each of its frames lies within what is stated."""
    hours = right = 0
    for seed in range(DEVICES_QUICK if quick else DEVICES):
        device, clock = DeviceWithClock.of_seed(seed), DeviceClock(MAX_DELAY_S)
        for hour in range(HOURS):
            hours += 1
            right += _is_right(device, clock, hour)
    return {
        "device_clock_right_share": right / hours,
        "device_clock_live_uncertainty_ms": max(_live_ms(seed) for seed in range(3 if quick else 10)),
    }


def _is_right(device: DeviceWithClock, clock: DeviceClock, hour: int) -> bool:
    is_right = True
    for true_us, device_at_us, received_at_us in device.troubled_hour(hour):
        clock.hear(device_at_us, received_at_us, device.open_us)
        corrected = clock.correct(device_at_us, received_at_us, device.open_us)
        if corrected is not None and abs(corrected.observed_at_us - true_us) > corrected.uncertainty_us:
            is_right = False
    return is_right


def _live_ms(seed: int) -> float:
    """The most that is stated over six hours without trouble, but for the first two minutes."""
    device, clock, largest_us = DeviceWithClock.of_seed(seed), DeviceClock(MAX_DELAY_S), 0
    for _, device_at_us, received_at_us in device.frames(0, 6 * 3600):
        clock.hear(device_at_us, received_at_us, device.open_us)
        corrected = clock.correct(device_at_us, received_at_us, device.open_us)
        if corrected is not None and received_at_us - BEGAN_US > WARM_UP_US:
            largest_us = max(largest_us, corrected.uncertainty_us)
    return largest_us / 1000
