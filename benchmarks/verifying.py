"""How fast `vitalwire verify` reads a store."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from benchmarks.pipeline import EDGES, Samples, clean, warm_bench
from emr_store import proof
from emr_store.connect import open_store

BEGINNING = datetime.fromtimestamp(0, UTC)


def verify(database: str, since: datetime = BEGINNING) -> tuple[float, int]:
    """Seconds that it takes in this process, and the values that it looked at. Raises where it finds anything."""
    with open_store(database) as conn:
        began = time.perf_counter()
        result = proof.verify(conn, since)
        spent_s = time.perf_counter() - began
    if result.findings or not result.values:
        raise RuntimeError(f"{result.values} values, {len(result.findings)} findings: {result.findings[:3]}")
    return spent_s, result.values


def values_per_s(quick: bool) -> Samples:
    """Everything of a store of batches of 100 reports, 12 values each."""
    batches = EDGES * (50 if quick else 250)
    with warm_bench() as bench:
        bench.through(bench.batches(batches, clean(100)))
        spent_s, values = verify(bench.database)
    return {"verify_values_per_s": [values / spent_s]}
