"""F14: the broker killed, stopped, and its data wiped: a new cluster, no topics, no offsets."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import ward
from tests.faults.conftest import Services, by_length
from tests.faults.oracles import Outcome, events, settle
from tests.faults.senders import Sender

KILLS = by_length(20, quick=2)
STOPPED_S = by_length(20, quick=3, long=60)
WIPED_PAUSE_S = by_length(5, quick=2)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def killed(services: Services) -> int:
    """20 times (twice in the quick run)."""
    for _ in range(KILLS):
        services("kill", "kafka")
        time.sleep(random.uniform(0, 0.5))
        services("start", "kafka")
        time.sleep(random.uniform(0, 1))
    return 1  # the agent asks once a second: it need not see each


def stopped(services: Services) -> int:
    """For 20 s (3 s in the quick run, a minute in the long one)."""
    services("stop", "kafka")
    time.sleep(STOPPED_S)
    services("start", "kafka")
    return 1


def wiped(services: Services) -> int:
    """Twice: the second comes while what the first lost is being sent again."""
    for pause_s in (WIPED_PAUSE_S, 0):
        services("wipe", "kafka")
        services("start", "kafka")
        time.sleep(pause_s)
    return 2


@pytest.mark.parametrize("fault", [killed, stopped, wiped])
def test_f14_broker(
    fault: Callable[[Services], int], services: Services, tmp_path: Path, kafka: str, database: str, outcome: Outcome
) -> None:
    with ward.running(tmp_path, kafka, database) as (system, senders):
        acked = _acked(senders)
        seen = fault(services)
        assert _acked(senders) > acked + 100  # the bedside notices nothing
        settle(system, senders, outcome)
        assert events(system, "broker-lost") >= seen
        assert events(system, "broker-reached") > seen


def _acked(senders: list[Sender]) -> int:
    return sum(len(s.acked) for s in senders)
