"""F1 and F3: the agent killed, at any moment and at the worst one."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults import ward
from tests.faults.oracles import Outcome, events, flowing, settle

KILLS = 200
START_S = 40  # topics are made, workers join their groups

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


def test_f01_edge_killed(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """SIGKILL at random, 200 times under load."""
    system, senders = ward.make(tmp_path, kafka, database)
    with system:
        for sender in senders:
            sender.start()
        flowing(system, senders, START_S)
        acked_before = sum(len(s.acked) for s in senders)
        for _ in range(KILLS):
            time.sleep(random.uniform(0.2, 0.7))
            system.stop_edge(signal.SIGKILL)
            system.start_edge()
        assert sum(len(s.acked) for s in senders) > acked_before + KILLS
        outcome.recovered_s = flowing(system, senders)
        settle(system, senders, outcome)
        assert events(system, "started") > KILLS / 2
