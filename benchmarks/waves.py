"""Numbers beside waves: 200 devices with three waves at 250 Hz each, and how long their numbers take to the record.

Numbers and waves come to one box over MLLP, a message a second of each device; the box, Kafka, the processors, the
database and the senders share the machine.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np

from benchmarks import load
from benchmarks.edge import EdgeBench, listens, until
from benchmarks.pipeline import Bench
from emr_store.connect import open_store
from schemas.report import Kind, Lane

DEVICES = 200
SECONDS, SECONDS_QUICK = 60, 15
NOT_IN_ORDER = 1000  # batches whose numbers may become visible after a later one's
WARM_UP_S = 5  # introductions are not what is measured


def measure(quick: bool) -> dict[str, float]:
    """Of the reports of numbers that came after the first seconds. Raises RuntimeError where waves were not stored."""
    seconds = SECONDS_QUICK if quick else SECONDS
    with tempfile.TemporaryDirectory() as name:
        hospital, box = Path(name) / "hospital", Path(name) / "box"
        hospital.mkdir()
        box.mkdir()
        bench = Bench(hospital)
        with bench.running():
            edge = EdgeBench(bench, box)
            waits_s, stretches = _waits_s(bench, edge, seconds)
    if stretches < DEVICES * load.WAVE_CHANNELS * (seconds - WARM_UP_S):
        raise RuntimeError(f"{stretches} stretches of waves within {seconds} s: nothing of this counts")
    return {
        "waves_with_numbers_p99_s": float(np.percentile(waits_s, 99)),
        "waves_with_numbers_p50_s": float(np.percentile(waits_s, 50)),
    }


def _waits_s(bench: Bench, edge: EdgeBench, seconds: int) -> tuple[list[float], int]:
    numbers = [[load.hl7_message(bed, n) for n in range(seconds)] for bed in range(DEVICES)]
    waves = [[load.wave_message(bed, n) for n in range(seconds)] for bed in range(DEVICES)]
    with edge.running():
        until(lambda: listens(edge), "the agent listens", 30)
        senders = [load.MllpLoad(edge.mllp, frames, each_s=1.0) for frames in (numbers, waves)]
        for sender in senders:
            sender.start()
        commits = _Commits(bench.database)
        for sender in senders:
            sender.join(seconds * 4)
            if sender.is_alive() or sender.failed:
                raise RuntimeError(f"a sender has not ended: {sender.failed}")
        values = senders[0].answers.count * load.VALUES
        until(lambda: edge.accepted() >= values, "all numbers are stored")
        until(lambda: edge.waves() >= senders[1].answers.count * load.WAVE_CHANNELS, "all waves are stored")
        visible_s = commits.end()
        with open_store(bench.database) as conn:
            found = conn.execute(_REPORTS_SQL, (int(Kind.METRIC), int(Lane.LIVE), f"{WARM_UP_S} s")).fetchall()
        return [visible_s[batch] - received_s for batch, received_s in found], edge.waves()


class _Commits(Thread):
    """When another session first sees each batch: a batch's own `stored_at` is when its transaction began."""

    def __init__(self, database: str) -> None:
        super().__init__(daemon=True)
        self._database, self._ending, self._visible_s = database, Event(), dict[int, float]()
        self.start()

    def run(self) -> None:
        """Look fifty times a second, and once more at the end."""
        with open_store(self._database) as conn:
            is_over = False
            while not is_over:
                is_over = self._ending.wait(0.02)
                from_batch = max(self._visible_s, default=0) - NOT_IN_ORDER
                for (batch,) in conn.execute("SELECT batch FROM batch WHERE batch > %s", (from_batch,)).fetchall():
                    self._visible_s.setdefault(batch, time.time())

    def end(self) -> dict[int, float]:
        """Seconds since 1970, by batch."""
        self._ending.set()
        self.join(10)
        return self._visible_s


_REPORTS_SQL = """
SELECT r.batch, extract(epoch FROM r.received_at)::float8 FROM report r JOIN batch b ON b.batch = r.batch
WHERE r.kind = %s AND b.lane = %s AND r.received_at > (SELECT min(received_at) FROM report) + %s::interval
"""
