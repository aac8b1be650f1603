"""The spool by itself: CPU of all threads for a report of 12 values, from `put` to a sealed batch on the disk.

Encoding, hashes, the search for duplicates, COMMIT with synchronous=FULL, cutting, Merkle tree, signature, zstd.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event

from adapters.driver import NoSettings, Source
from edge_agent.delivery import Delivery
from edge_agent.spool import Kept, Spool
from edge_agent.spool.queue import Done
from evidence.seal import seal
from runtime import keys
from runtime.clock import now_us
from schemas.identity import EdgeId
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID
from schemas.report import ClockQuality, Kind, Lane, Record, Report

VALUES, DEVICES = 12, 1000
GROUP = 100  # messages that wait for one commit
CUT_EVERY = 12  # groups: some half a megabyte


class Settled:
    """Waits until so many frames were kept."""

    def __init__(self) -> None:
        self._left, self._all = 0, Event()

    def expect(self, count: int) -> None:
        """Before they are put."""
        self._left = count
        self._all.clear()

    def take(self, settled: Sequence[tuple[Done, Kept]]) -> None:
        """What the spool says of a commit."""
        assert all(kept is Kept.KEPT for _, kept in settled)
        self._left -= len(settled)
        if not self._left:
            self._all.set()

    def wait(self) -> None:
        """Until the last of them is on the disk."""
        assert self._all.wait(60)


def messages(count: int) -> list[tuple[Report, Delivery]]:
    """What as many MQTT messages of 1,000 monitors say."""
    metrics, source, begin_us = [m for m in METRICS if m.short][:VALUES], Source("bench", NoSettings()), now_us()
    out = []
    for i in range(count):
        at_us = begin_us + i
        records = tuple(
            Record(m.code, UNIT_BY_REFERENCE_ID[m.unit].code, mantissa=(7 * i + j) % 100, exponent=-(j % 2))
            for j, m in enumerate(metrics)
        )
        report = Report(
            Kind.METRIC, f"bench:{i % DEVICES}", at_us, at_us, ClockQuality.DEVICE, records, at_us, own_time=True
        )
        frame = json.dumps({"at": at_us, **{m.short: (7 * i + j) % 100 for j, m in enumerate(metrics)}}).encode()
        out.append((report, Delivery(frame, source, at_us, sender="ward", connection=1)))
    return out


def measure(quick: bool) -> dict[str, float]:
    """Microseconds of CPU a report; the best of some rounds, for other programs disturb each of them."""
    rounds, count = (2, 6_000) if quick else (5, 24_000)
    settled, spent = Settled(), []
    with tempfile.TemporaryDirectory() as folder:
        key = keys.generate(Path(folder) / "edge.key")
        own = partial(seal, edge=EdgeId(b"E" * 16), config_hash=bytes(32), key_id=key.key_id, sign=key.sign)
        spool = Spool(Path(folder) / "spool", bytes_max=1 << 34, receipt_hold_s=3600, on_settled=settled.take)
        for _ in range(rounds):
            reports = messages(count)
            began_s = time.process_time()
            for group in range(0, count, GROUP):
                settled.expect(GROUP)
                for report, delivery in reports[group : group + GROUP]:
                    spool.put([report], delivery)
                settled.wait()
                if group // GROUP % CUT_EVERY == CUT_EVERY - 1:
                    while spool.cut(Lane.LIVE, own, now_us() + 500_000):
                        pass
            spent.append(time.process_time() - began_s)
        spool.close()
    return {"spool_cpu_us_per_report": 1e6 * min(spent) / count}
