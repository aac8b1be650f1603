"""What a wave takes: its samples in sealed batches, and the row of each stretch; for `vitalwire scaling`.

Ten patients of the simulator, a pleth of 250 samples a second each, 12 bits with the noise of a converter (one step): a
noiseless wave would be smaller than any of a ward. A stretch is a second, and a box seals a batch a second.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

from benchmarks.databases import drop_database
from benchmarks.pipeline import Bench
from emr_store.connect import open_store
from emr_store.signed_block import SignedBlock
from emr_store.transaction import Writer
from evidence.seal import FIRST_PREVIOUS, batch_id, seal
from runtime import keys
from schemas.batch import encode_report, set_sequence
from schemas.block import Block
from schemas.identity import EdgeId, SpoolId
from schemas.report import ClockQuality, Kind, Lane, Record, RecordKind, Report, Samples
from simulators.patient import Patient
from stream_processors.signed_message import open_message, sign_block
from stream_processors.validation import EdgeKey, Memory, validate

DEVICES, WAVE_HZ, BITS = 10, 250, 12
PLETH, DIMENSIONLESS = 150452, 262656
SIZES_SQL = """
SELECT hypertable_size('waveform'), (SELECT count(*) FROM waveform),
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('batch_body_3') WHERE isleaf)
"""


def reports(seconds: int, begin_us: int) -> Iterator[list[Report]]:
    """Of each second, a report a device."""
    patients = [Patient(seed) for seed in range(DEVICES)]
    noise = np.random.default_rng(7)
    for second in range(seconds):
        at_s = second + np.arange(WAVE_HZ) / WAVE_HZ
        made = []
        for number, patient in enumerate(patients):
            raw = np.rint(patient.pleth(at_s) * (2**BITS - 1)) + noise.integers(-1, 2, WAVE_HZ)
            samples = Samples(
                WAVE_HZ, 1, 1, 0, 0, np.clip(raw, 0, 2**BITS - 1).astype("<i2").tobytes(), second * WAVE_HZ
            )
            record = Record(PLETH, DIMENSIONLESS, kind=RecordKind.SAMPLES, samples=samples)
            at_us = begin_us + second * 1_000_000
            made.append(Report(
                Kind.WAVEFORM, f"bench:{number}", at_us, at_us, ClockQuality.RECEIVED, (record,), lane=Lane.WAVEFORM,
            ))  # fmt: skip
        yield made


def batches(bench: Bench, seconds: int) -> Iterator[bytes]:
    """Sealed, a second each."""
    previous, begin_us = FIRST_PREVIOUS, time.time_ns() // 1000 - seconds * 1_000_000
    for number, of_second in enumerate(reports(seconds, begin_us), 1):
        leaves = []
        for report in of_second:
            salt = sha256(f"{number} {report.claim}".encode()).digest()[:16]
            leaf = encode_report(report, salt, sha256(salt).digest())
            set_sequence(leaf, number)
            leaves.append(bytes(leaf))
        sealed = seal(
            leaves, lane=Lane.WAVEFORM, edge=EdgeId(bench.ids[0].bytes), spool=SpoolId(b"S" * 16), batch_no=number,
            previous=previous, created_at_us=begin_us, config_hash=bytes(32), key_id=bench.edges[0].key_id,
            sign=bench.edges[0].sign,
        )  # fmt: skip
        previous = batch_id(sealed)
        yield sealed


def measure(quick: bool) -> dict[str, float]:
    """Both sizes, indexes and TOAST included."""
    seconds = 120 if quick else 1800
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), edges=1)
        try:
            bench.make_database()
            platform, edge = keys.load(Path(name) / "platform.key"), bench.edges[0]
            memory = Memory({edge.key_id: EdgeKey(EdgeId(bench.ids[0].bytes), edge.public_der, 0, 2**62, False)})
            with open_store(bench.database) as conn:
                writer = Writer(conn)
                for sealed in batches(bench, seconds):
                    now_us = time.time_ns() // 1000
                    (block,) = validate("waveform.raw", [sealed], memory, now_us)
                    if not isinstance(block, Block):
                        raise RuntimeError(f"a batch was refused: {block}")
                    signed = sign_block(block, platform.key_id, platform.sign, now_us)
                    opened = open_message(signed, platform.public_der)
                    assert isinstance(opened, SignedBlock)
                    writer.store([opened], [])
                row = conn.execute(SIZES_SQL).fetchone()
        finally:
            drop_database(bench.server, bench.name)
    assert row is not None
    table_bytes, stretches, body_bytes = map(int, row)
    return {
        "wave_row_bytes": table_bytes / stretches,
        "wave_batch_bytes_per_sample": body_bytes / (stretches * WAVE_HZ),
    }
