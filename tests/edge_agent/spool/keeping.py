"""What tests do with a spool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from queue import SimpleQueue

import msgspec

from adapters.driver import NoSettings, Source
from edge_agent.delivery import Delivery
from edge_agent.spool import Kept, Spool
from evidence.receipt import Receipt, ReceiptedBatch, ReceiptOutcome
from evidence.seal import batch_id, open_sealed, seal
from schemas.report import Kind, Lane, Record, Report
from tests.making import T0_US, Key, report

KEY, EDGE = Key(), b"E" * 16
SEAL = partial(seal, edge=EDGE, config_hash=bytes(32), key_id=KEY.key_id, sign=KEY.sign)
SECOND_US = 1_000_000
MIB = 1 << 20


class Clock:
    """The spool's own, moved by hand."""

    def __init__(self) -> None:
        self.us = T0_US

    def __call__(self) -> int:
        return self.us


def in_lane(lane: Lane, claim: str = "demo:nonin:1", at_us: int = T0_US, records: Sequence[Record] = ()) -> Report:
    kind = Kind.WAVEFORM if lane is Lane.WAVEFORM else Kind.METRIC
    return msgspec.structs.replace(report(claim, at_us, records, kind), lane=lane)


def delivery(frame: bytes = b"frame", sender: str = "", connection: int = 1) -> Delivery:
    return Delivery(frame, Source("bed", NoSettings()), T0_US, sender=sender, connection=connection)


def put(spool: Spool, *reports: Report, frame: bytes = b"frame", sender: str = "", connection: int = 1) -> Kept:
    outcomes: SimpleQueue[Kept] = SimpleQueue()
    spool.put(reports, delivery(frame, sender, connection), outcomes.put)
    return outcomes.get(timeout=10)


def receipt(
    spool: Spool, lane: Lane, number: int, sealed: bytes, store: bytes = b"A" * 16, at_us: int = 1,
    outcome: ReceiptOutcome = ReceiptOutcome.STORED,
) -> Receipt:  # fmt: skip
    batches = (ReceiptedBatch(number, batch_id(sealed)),)
    return Receipt(outcome, EDGE, spool.spool_id, lane, batches, store, at_us)


def sequences(batches: list[tuple[int, bytes]]) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = defaultdict(list)
    for _, sealed in batches:
        _, table = open_sealed(sealed)
        for device, sequence in zip(table.device.tolist(), table.sequence.tolist(), strict=True):
            found[bytes(device)].append(sequence)
    return found


def cut_all(spool: Spool, now_us: int) -> None:
    for lane in Lane:
        while spool.cut(lane, SEAL, now_us):
            pass


def release_all(spool: Spool) -> None:
    for lane in Lane:
        batches = spool.unreceipted(lane, 0, 100 * MIB)
        spool.receipted([receipt(spool, lane, number, sealed) for number, sealed in batches])


def emitted(spool: Spool, slug: str, lane: Lane = Lane.LIVE) -> list[tuple[bytes, str]]:
    """The events with this code that were cut: device and text."""
    found = []
    for _, sealed in spool.unreceipted(lane, 0, 100 * MIB):
        _, table = open_sealed(sealed)
        for i in range(len(table)):
            data = [data for *_, data in table.tail(i)]
            if any(f"\x1f{slug}\x1f".encode() in d for d in data):
                found.append((table.device[i].tobytes(), data[0].decode()))
    return found
