"""F46: the database's machine is lost, and a standby that lacks the last seconds takes its place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults import ward
from tests.faults.clusters import Server, both, caught_up
from tests.faults.conftest import by_length
from tests.faults.oracles import RECOVERY_S, Outcome, check_witness, events, settle, stored_batches, until

BEHIND = by_length(10, quick=4)  # batches that the old primary has and the standby has not
ACKNOWLEDGED_S = 3.0  # a receipt for each of them has gone out by then

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


def test_f46_failover(tmp_path: Path, kafka: str, outcome: Outcome) -> None:
    """What only the old primary had acknowledged is sent again to the new one, without anybody's doing."""
    servers = tmp_path / "servers"
    servers.mkdir()
    primary, standby = Server(servers, "primary"), Server(servers, "standby")
    try:
        primary.make()
        with ward.running(tmp_path, kafka, both(primary, standby)) as (system, senders):
            primary.copy_to("standby")
            standby.follow(primary)
            caught_up(primary, standby)
            standby.leave()
            has = stored_batches(standby.address)
            until(lambda: len(stored_batches(primary.address) - has) >= BEHIND, RECOVERY_S, "the standby is behind")
            lacking = stored_batches(primary.address) - has
            time.sleep(ACKNOWLEDGED_S)
            assert stored_batches(standby.address) == has
            primary.kill()
            began = time.monotonic()
            assert standby.ask("SELECT pg_promote()") is True
            until(lambda: lacking <= stored_batches(standby.address), RECOVERY_S, "all that it lacked is sent again")
            outcome.resent_s = time.monotonic() - began
            settle(system, senders, outcome)
            assert events(system, "store-changed") == 1
            check_witness(system)
    finally:
        primary.stop()
        standby.stop()
