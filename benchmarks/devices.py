"""Encoded reports of many devices, made before the clock starts: as monitors send them, and as worse devices do."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence

import numpy as np

from schemas.batch import encode_report
from schemas.nomenclature import METRICS, UNIT_BY_REFERENCE_ID
from schemas.report import AsSent, ClockQuality, Kind, Record, Report

VALUES = 12
MODELS = 20  # of devices whose codes nobody has mapped: those of one model call things alike
_CHANGING = struct.Struct("<48sqqqQ")  # of a report row, from the salt to the sequence (docs/batch.md)


def monitors(edge: int, count: int) -> list[bytes]:
    """Of as many devices, 12 values each, as a monitor sends them; `numbered_reports` gives them their moment."""
    return [_encoded(edge, device, records) for device, records in enumerate(_values(edge, count))]


def unmapped(edge: int, count: int) -> list[bytes]:
    """The same values under codes and units that no table knows: each keeps the words that it was sent with."""
    return [
        _encoded(edge, device, [
            Record(mantissa=record.mantissa, exponent=record.exponent,
                   as_sent=AsSent("99BENCH", f"model-{device % MODELS}-channel-{i}", "unit"))
            for i, record in enumerate(records)
        ])
        for device, records in enumerate(_values(edge, count))
    ]  # fmt: skip


def changing(edge: int, count: int, variant: int) -> list[bytes]:
    """Of each device the channels that changed since its last report: any of the 12, never none."""
    random = np.random.default_rng([edge, variant])
    out = []
    for device, records in enumerate(_values(edge, count)):
        changed = int(random.integers(1, 2**VALUES))
        sent = [record for i, record in enumerate(records) if changed >> i & 1]
        out.append(_encoded(edge, device, sent, claim="changing"))
    return out


def _values(edge: int, count: int) -> Iterator[list[Record]]:
    random = np.random.default_rng(edge)
    metrics = [m for m in METRICS if m.short][:VALUES]
    for _ in range(count):
        yield [
            Record(m.code, UNIT_BY_REFERENCE_ID[m.unit].code, mantissa=int(random.integers(10, 100)), exponent=-(j % 2))
            for j, m in enumerate(metrics)
        ]


def _encoded(edge: int, device: int, records: Sequence[Record], claim: str = "bench") -> bytes:
    report = Report(Kind.METRIC, f"{claim}:{edge}:{device}", 0, 0, ClockQuality.DEVICE, tuple(records), device_at_us=0,
                    own_time=True)  # fmt: skip
    return bytes(encode_report(report, bytes(16), bytes(32)))


def numbered_reports(reports: Sequence[bytes], sequence: int) -> list[bytes]:
    """What these devices send next: now, with salts and hashes of frames that no compression makes smaller."""
    now_us = time.time_ns() // 1000
    unique = np.random.default_rng(sequence).bytes(48 * len(reports))
    out = []
    for i, encoded in enumerate(reports):
        leaf, at_us = bytearray(encoded), now_us + i
        _CHANGING.pack_into(leaf, 16, unique[48 * i : 48 * i + 48], at_us, at_us, at_us + 1000, sequence)
        out.append(bytes(leaf))
    return out
