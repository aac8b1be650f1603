"""How fast `vitalwire verify` reads a store."""

from __future__ import annotations

import tempfile
import time
from datetime import datetime
from pathlib import Path

from benchmarks import fixture
from benchmarks.databases import drop_database
from benchmarks.pipeline import EDGES, Bench, Samples, clean, rounds, warm_bench
from benchmarks.ward import SECOND_US
from emr_store import proof
from emr_store.connect import open_store
from stream_processors.mapping import remap
from vitalwire.verify import revalidate

SINCE_PART = 6  # ten minutes of the fixture's sealed hour


def verify(database: str, since: datetime | None = None) -> tuple[float, int]:
    """Seconds that it takes in this process, and the values that it looked at. Raises where it finds anything."""
    with open_store(database) as conn:
        began = time.perf_counter()
        result = proof.verify(conn, since, revalidate=revalidate, remap=remap)
        spent_s = time.perf_counter() - began
    values = result.counts["values"]
    if result.findings or not values:
        raise RuntimeError(f"{values} values, {len(result.findings)} findings: {result.findings[:3]}")
    return spent_s, values


def values_per_s(quick: bool) -> Samples:
    """Everything of a store of batches of 100 reports, 12 values each."""
    batches = EDGES * (50 if quick else 250)
    with warm_bench() as bench:
        bench.through(bench.batches(batches, clean(100)))
        spent_s, values = verify(bench.database)
    return {"verify_values_per_s": [values / spent_s]}


def since_ratio(quick: bool) -> Samples:
    """The last sixth of the fixture's sealed stretch within it, over as much alone in a store: seconds a value."""
    size = fixture.QUICK if quick else fixture.FULL
    whole = fixture.make(size)
    since = _newest_chunk(whole.address)
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        alone = Bench(Path(folder))
        try:
            alone.make_database()
            seconds = size.sealed_s // SINCE_PART
            begin_us = whole.ends_us - seconds * SECOND_US
            fixture.store_sealed(alone, fixture.wards(), begin_us, seconds, lambda done, of: None)
            for _ in range(rounds(quick)):
                within_s, within = verify(whole.address, since)
                alone_s, values = verify(alone.database)
                taken.append((within_s / within) / (alone_s / values))
        finally:
            drop_database(alone.server, alone.name)
    return {"verify_since_ratio": taken}


def _newest_chunk(database: str) -> datetime:
    """When the last sixth of the batches began to be stored."""
    sql = "SELECT percentile_disc(%s) WITHIN GROUP (ORDER BY stored_at) FROM batch"
    with open_store(database) as conn:
        row = conn.execute(sql, [1 - 1 / SINCE_PART]).fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment
