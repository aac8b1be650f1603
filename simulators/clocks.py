"""Clocks of bedside devices: off, drifting, set by hand, behind a link that delays, stalls and then sends its queue.

Seeded. Moments are microseconds since 1970 UTC; `true` is when the device spoke.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

BEGAN_US = 1_790_000_000_000_000
SECOND_US = 1_000_000
HOUR_S = 3600
SET_BY_US = (3600 * SECOND_US, -3600 * SECOND_US, 90 * SECOND_US, -7 * SECOND_US)
STALL_S = 200


class Spoken(NamedTuple):
    """One frame: when it was, what the device's clock said, and when it came."""

    true_us: int
    device_at_us: int
    received_at_us: int


@dataclass
class DeviceWithClock:
    """A monitor that speaks each second; its link delays each frame by up to `max_delay_us`, most by far less.

    `open_us` is what its times leave open: 1,000,000 where they end in whole seconds, 0 where they are exact.
    """

    offset_us: int = 0
    drift_ppm: float = 0.0
    open_us: int = SECOND_US
    max_delay_us: int = SECOND_US
    seed: int = 1
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    @classmethod
    def of_seed(cls, seed: int) -> DeviceWithClock:
        """Any device of a hospital: up to ten minutes off, up to 80 ppm of drift."""
        chance = random.Random(seed)
        offset_us, drift_ppm = chance.randrange(-600, 600) * SECOND_US, chance.uniform(-80, 80)
        return cls(offset_us, drift_ppm, chance.choice([0, 1000, SECOND_US]), seed=seed)

    def device_time(self, true_us: int) -> int:
        """What its clock says."""
        at_us = true_us + self.offset_us + int((true_us - BEGAN_US) * self.drift_ppm / 1e6)
        return at_us - at_us % self.open_us if self.open_us else at_us

    def frames(self, begin_s: int, end_s: int) -> Iterator[Spoken]:
        """Of each second from `begin_s` on."""
        for number in range(begin_s, end_s):
            true_us = BEGAN_US + number * SECOND_US + 137_000
            delay_us = int(min(self.random.expovariate(8), 1) * self.max_delay_us)
            yield Spoken(true_us, self.device_time(true_us), true_us + delay_us)

    def troubled_hour(self, hour: int) -> Iterator[Spoken]:
        """An hour in which the link stalls for some minutes, and, in three of a hundred, somebody sets the clock."""
        begin_s = hour * HOUR_S
        set_at_us = BEGAN_US + (begin_s + self.random.randrange(HOUR_S)) * SECOND_US
        is_set = self.random.random() < 0.03
        stalls_us = BEGAN_US + (begin_s + self.random.randrange(HOUR_S - 600)) * SECOND_US
        resumes_us = stalls_us + STALL_S * SECOND_US
        for spoken in self.frames(begin_s, begin_s + HOUR_S):
            if is_set and spoken.true_us > set_at_us:
                self.offset_us += self.random.choice(SET_BY_US)
                is_set = False
                spoken = spoken._replace(device_at_us=self.device_time(spoken.true_us))
            if stalls_us < spoken.true_us < resumes_us:
                spoken = spoken._replace(received_at_us=resumes_us)
            yield spoken
