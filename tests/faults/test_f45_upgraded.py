"""F45: processors upgraded one by one under load, to a version that reads the next layout of batches beside this."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emr_store import registry
from emr_store.connect import open_store
from runtime import keys
from stream_processors.config import APPS
from tests.faults import ward
from tests.faults.conftest import NOT_QUICK
from tests.faults.oracles import RECOVERY_S, Outcome, count, flowing, settle, until
from tests.faults.senders import MllpSender, Sender
from tests.faults.system import System
from tests.faults.topics import members
from tests.next_version import NEXT_LAYOUT, with_next_layout
from tests.wire import released
from vitalwire.embedded.services import free_port

GAP_GOAL_S = 5.0
REFUSED_RETRY_S = 2.0
START_S = 60
VERIFY_S = 120
FIRST, SECOND = "processors", "processors-2"
SOURCE = """
[[source]]
name = "next"
driver = "hl7_oru"
time_zone = "UTC"
settings.device = "PV1-3"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
"""
REFUSED = "SELECT count(*) FROM dead_letter WHERE reason = 'newer-layout' AND outcome = 3"
REFUSED_AND_NOT_STORED = """
SELECT count(*) FROM dead_letter d WHERE reason = 'newer-layout' AND NOT EXISTS
    (SELECT FROM batch b WHERE b.batch_id = d.batch_id)
"""
# Of what they have told the store since, by when it had it.
LONGEST_GAP_SQL = """
SELECT max(extract(epoch FROM stored_at - before))::float8 FROM (
    SELECT b.stored_at, lag(b.stored_at) OVER (PARTITION BY r.device ORDER BY b.stored_at) AS before
    FROM report r JOIN device d USING (device) JOIN batch b USING (batch)
    WHERE d.uuid = ANY(%s) AND b.stored_at > %s
) AS stored
"""

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600), NOT_QUICK]


def test_f45_upgraded(tmp_path: Path, kafka: str, database: str, outcome: Outcome) -> None:
    """A box that is newer than the workers is refused, and keeps what it cuts until all of them read it."""
    version = with_next_layout(tmp_path / "next", REFUSED_RETRY_S)
    folder = tmp_path / "ward"
    folder.mkdir()
    with ward.running(folder, kafka, database) as (system, senders):
        start(system, SECOND)
        shared(system, 2)
        with next_box(system, version) as box:
            box.sender.start()
            until(lambda: count(system, REFUSED) > 0, RECOVERY_S, "the box is newer than the workers")
            flowing(system, senders)
            since = datetime.now(UTC)
            for name in (FIRST, SECOND):
                restart(system, name, version)
            assert stored(system, box.sender) == 0
            config = folder / "processors.toml"
            config.write_text(f"batch_layout = {NEXT_LAYOUT}\n{config.read_text()}")
            for name in (FIRST, SECOND):
                restart(system, name, version)
            flowing(system, [*senders, box.sender])
            outcome.upgrade_gap_s = longest_gap_s(system, senders, since)
            check_refusal(box)
            box.sender.stop()
            until(lambda: released(box.metrics), RECOVERY_S, "a receipt for every batch of the box")
            assert count(system, REFUSED_AND_NOT_STORED) == 0
            system.stop(SECOND)
            settle(system, senders, outcome, [box.sender], verify=lambda system: check_rows(system, version))
    assert outcome.upgrade_gap_s <= GAP_GOAL_S


def start(system: System, name: str, version: Path | None = None) -> None:
    """Processors of this checkout, or of another version of it, beside those that run."""
    command = [sys.executable, "-m", "vitalwire", "processors", "run", "--config", "processors.toml"]
    with (system.folder / f"{name}.log").open("ab") as log:
        system.running[name] = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=system.folder, env=of_version(version)
        )


def of_version(version: Path | None) -> dict[str, str]:
    """The environment in which its programs run."""
    return dict(os.environ) if version is None else os.environ | {"PYTHONPATH": str(version)}


def restart(system: System, name: str, version: Path) -> None:
    """As an operator does: the next one only when this one does its share."""
    system.stop(name)
    shared(system, 1)
    start(system, name, version)
    shared(system, 2)


def shared(system: System, count: int) -> None:
    """Wait until so many workers of each app share the work."""
    groups = [f"vitalwire-{name}" for name in APPS]
    until(lambda: all(members(system.kafka, group) == count for group in groups), START_S, f"{count} share the work")


class NextBox:
    """A box whose agent is of the next version already."""

    def __init__(self, system: System, version: Path) -> None:
        self.folder = system.folder.with_name("box")
        self.folder.mkdir()
        self.mllp, self.metrics = free_port(), free_port()
        self.sender = MllpSender(("127.0.0.1", self.mllp), "next", "09", rate_hz=10)
        edge, key = uuid.uuid4(), keys.generate(self.folder / "edge.key", demo=True)
        with open_store(system.database) as conn:
            registry.add_edge(conn, edge, "the next box", key.public_der)
        (self.folder / "edge.toml").write_text(
            f'edge = "{edge}"\nkafka = "{system.kafka}"\ndemo = true\nmetrics_port = {self.metrics}\n'
            f'platform_key_file = "{system.folder / "platform.pub"}"\n{SOURCE.format(mllp=self.mllp)}'
        )
        command = [sys.executable, "-m", "vitalwire", "edge", "run", "--config", "edge.toml"]
        with (self.folder / "edge.log").open("ab") as log:
            self.agent = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=of_version(version))


@contextmanager
def next_box(system: System, version: Path) -> Iterator[NextBox]:
    box = NextBox(system, version)
    try:
        yield box
    finally:
        box.agent.terminate()
        box.agent.wait(30)


def stored(system: System, sender: Sender) -> int:
    """Reports of it."""
    return count(system, f"SELECT count(*) FROM report JOIN device d USING (device) WHERE d.uuid = '{sender.device}'")


def longest_gap_s(system: System, senders: Sequence[Sender], since: datetime) -> float:
    with open_store(system.database) as conn:
        row = conn.execute(LONGEST_GAP_SQL, [[sender.device for sender in senders], since]).fetchone()
    assert row is not None
    assert isinstance(row[0], float)
    return row[0]


def check_refusal(box: NextBox) -> None:
    """The box has said why it waits and what to do, once, and that it is over."""
    log = (box.folder / "edge.log").read_text()
    assert len(re.findall("batches-refused", log)) == 1
    assert "(newer-layout); they are kept here: this box is newer than the hospital" in log
    until(lambda: "batches-taken-again" in (box.folder / "edge.log").read_text(), RECOVERY_S, "it says that it is over")


def check_rows(system: System, version: Path) -> None:
    """O4, by the version that reads both layouts."""
    command = [sys.executable, "-m", "vitalwire", "verify", "--database", system.database]
    command += ["--platform-key", str(system.folder / "platform.pub")]
    done = subprocess.run(
        command, cwd=system.folder, env=of_version(version), capture_output=True, text=True, timeout=VERIFY_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
