"""F9: two agents on one spool, and a spool that was wiped."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import vitalwire
from tests.faults.conftest import by_length
from tests.faults.oracles import SETTLE_S, Outcome, count, events, flowing, until
from tests.faults.senders import MllpSender, Sender
from tests.faults.system import System
from tests.faults.test_f44_copied import EDGE, LIMITS, START_S, check_record, spool_ids
from vitalwire.embedded.services import free_port

AGENTS = by_length(5, quick=1)  # that are started beside the one that has the spool
ENDS_S = 30

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def test_f09_two_agents(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """The second says whose the spool is, and ends; the first notices nothing."""
    with System(tmp_path, kafka, database, EDGE, LIMITS) as system:
        sender = MllpSender(("127.0.0.1", system.mllp), "icu", "01")
        senders: list[Sender] = [sender]
        sender.start()
        flowing(system, senders, START_S)
        for _ in range(AGENTS):
            code, text = second_agent(system)
            assert code != 0
            assert f"the spool {tmp_path / 'spool'} is in use by another agent: end that one first" in text
            assert "Traceback" not in text
        outcome.recovered_s = flowing(system, senders)
        sender.stop()
        check_record(system, senders, outcome)
        assert len(spool_ids(system, senders)) == 1
        assert events(system, "started") == 1


def test_f09_spool_wiped(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """Somebody deletes it: the agent goes on under a new id, the box and the hospital each say so, and nothing that had
    its receipt is lost or comes twice.
    """
    with System(tmp_path, kafka, database, EDGE, LIMITS) as system:
        before, after = (MllpSender(("127.0.0.1", system.mllp), "icu", bed) for bed in ("01", "02"))
        senders: list[Sender] = [before, after]
        before.start()
        flowing(system, [before], START_S)
        before.stop()
        until(system.released, SETTLE_S, "a receipt for every batch")
        (wiped,) = spool_ids(system, [before])
        system.stop("edge", signal.SIGKILL)
        shutil.rmtree(tmp_path / "spool")
        system.start("edge")
        after.start()
        outcome.recovered_s = flowing(system, [after], START_S)
        assert spool_ids(system, [after]).isdisjoint({wiped})
        until(lambda: events(system, "spool-new") == 2, SETTLE_S, "the box says that its spool is a new one")
        assert "spool-new" in vitalwire("status", "--database", database)[1]
        log = (tmp_path / "processors.log").read_text()
        assert log.count("an edge sends from another spool") == 1
        assert str(system.edge_id) in log
        after.stop()
        check_record(system, senders, outcome)
        assert count(system, "SELECT count(DISTINCT spool) FROM ledger") == 2


def second_agent(system: System) -> tuple[int, str]:
    """One with ports of its own, on the same spool: its exit code, and what it says."""
    config = system.folder / "second.toml"
    text = (system.folder / "edge.toml").read_text()
    config.write_text(text.replace(f":{system.mllp}", f":{free_port()}").replace(f"= {system.metrics}\n", "= 0\n"))
    command = [sys.executable, "-m", "vitalwire", "edge", "run", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ENDS_S)
    return done.returncode, done.stdout + done.stderr
