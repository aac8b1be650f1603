"""F44: a copied spool started on a second box. F9's other half: one disk, two agents that cannot see each other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emr_store import proof
from emr_store.connect import open_store
from tests.commands import vitalwire
from tests.faults.conftest import by_length
from tests.faults.oracles import SETTLE_S, Outcome, count, events, flowing, stored_rows, until
from tests.faults.senders import MllpSender, Sender
from tests.faults.system import System
from vitalwire.embedded.services import free_port

START_S, APART_S = 40, 30
TOGETHER_S = by_length(20, quick=3)  # both boxes at work as one, and then as two
LIMITS = '[[limits]]\nmetric = "MDC_PULS_OXIM_SAT_O2"\nlow = 60\n'
EDGE = """
[[source]]
name = "icu"
driver = "hl7_oru"
time_zone = "UTC"
settings.device = "PV1-3"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
"""
DOUBLED = """
SELECT count(*) FROM (SELECT 1 FROM batch GROUP BY spool, lane, edge, batch_no HAVING count(*) > 1) AS doubled
"""

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@contextmanager
def second_box(system: System, mllp: int) -> Iterator[Path]:
    """A copy of the box's disk, started: its own port, the same id, key and spool."""
    folder = system.folder.with_name("second")
    shutil.copytree(system.folder, folder, ignore=shutil.ignore_patterns("*.sock", "*.log"))
    text = (folder / "edge.toml").read_text()
    text = text.replace(f":{system.mllp}", f":{mllp}").replace(f"= {system.metrics}\n", "= 0\n")
    (folder / "edge.toml").write_text(text)
    with (folder / "edge.log").open("ab") as log:
        agent = subprocess.Popen(
            [sys.executable, "-m", "vitalwire", "edge", "run", "--config", str(folder / "edge.toml")],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield folder
        finally:
            agent.terminate()
            agent.wait(30)


def spool_ids(system: System, senders: Sequence[Sender]) -> set[uuid.UUID]:
    """Under which the newest reports of these came."""
    sql = "SELECT DISTINCT ON (r.device) b.spool FROM report r JOIN device d USING (device) JOIN batch b USING (batch)"
    sql += " WHERE d.uuid = ANY(%s) ORDER BY r.device, r.observed_at DESC"
    with open_store(system.database) as conn:
        return {row[0] for row in conn.execute(sql.encode(), [[sender.device for sender in senders]])}


def test_f44_spool_copied(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """Each goes on under a spool id of its own, what both sealed under one number is kept, and an alarm says so."""
    (tmp_path / "first").mkdir()
    other_mllp = free_port()
    with System(tmp_path / "first", kafka, database, EDGE, LIMITS) as system:
        before = MllpSender(("127.0.0.1", system.mllp), "icu", "00")
        senders: list[Sender] = [before]
        before.start()
        flowing(system, senders, START_S)
        before.stop()
        until(system.released, SETTLE_S, "a receipt for every batch, so that no report is on both disks")
        copied = spool_ids(system, senders)
        system.stop("edge")
        with second_box(system, other_mllp) as second:
            system.start("edge")
            both = [MllpSender(("127.0.0.1", port), "icu", bed) for port, bed in
                    ((system.mllp, "01"), (other_mllp, "02"))]  # fmt: skip
            senders += both
            for sender in both:
                sender.start()
            until(lambda: events(system, "spool-copied") == 2, APART_S + START_S, "both boxes say that there are two")
            outcome.recovered_s = flowing(system, both)
            until(lambda: len(spool_ids(system, both) - copied) == 2, APART_S, "each under an id of its own")
            time.sleep(TOGETHER_S)
            for sender in both:
                sender.stop()
            check_record(system, senders, outcome)
        system.stop("edge")
        assert events(system, "spool-copied") == 2  # nobody renews twice
        assert count(system, DOUBLED) >= 1
        assert b"two batches with one number, both kept" in (system.folder / "processors.log").read_bytes()
        check_drained(system, second)
        with open_store(system.database) as conn:
            assert not proof.verify(conn, datetime(2000, 1, 1, tzinfo=UTC)).findings


def check_record(system: System, senders: Sequence[Sender], outcome: Outcome) -> None:
    """O1 and O2: what was acknowledged by either box is there, once."""
    acked = {record: value for sender in senders for record, value in sender.acked.items()}
    outcome.acked = len(acked)

    def all_there() -> bool:
        rows = stored_rows(system, senders)
        outcome.stored, outcome.duplicated = len(rows), len(rows) - len(set(rows))
        outcome.lost = len(acked.items() - set(rows))
        return outcome.lost == 0

    until(all_there, SETTLE_S, "all that was acknowledged is stored", 0.5)
    assert acked
    assert outcome.duplicated == 0


def check_drained(system: System, second: Path) -> None:
    """What the second box still holds is sent from its disk, and then nothing waits there."""
    way = ("--from", str(second), "--owner-is-dead", "--by", "F44")
    code, text = vitalwire("edge drain", *way)
    assert code == 0, text
    code, text = vitalwire("edge drain", *way)
    assert (code, "nothing waits" in text) == (0, True)
    assert count(system, "SELECT count(*) FROM batch") == count(system, "SELECT count(DISTINCT batch_id) FROM batch")
