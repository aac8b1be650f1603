"""A ward of many monitors as arrays: what all send over a stretch of time, devices interleaved as they arrive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.load import METRICS
from schemas.batch import Table, encode_report
from schemas.layout import RECORD, REPORT_ROW, SEQUENCE_OFFSET
from schemas.report import ClockQuality, Kind, Record, Report, decimal_parts

SECOND_US = 1_000_000
TRANSIT_US = 20_000  # from the measurement to the edge
# Bytes of a report row (docs/batch.md): salt and hash of the frame, the times; and the mantissa of a record, in words.
_SALT, _OBSERVED, _DEVICE, _RECEIVED = slice(16, 64), 64, 72, 80
_MANTISSA = 2


@dataclass(frozen=True)
class Stretch:
    """Reports one after another: their encoded bytes (a row each), and which device of the ward each is of."""

    rows: NDArray[np.uint8]
    records: NDArray[np.uint8]
    device: NDArray[np.int64]

    def table(self) -> Table:
        """As a batch would hold them."""
        return Table(
            self.rows.view(REPORT_ROW)[:, 0], self.records.reshape(-1, RECORD.itemsize).view(RECORD)[:, 0], b""
        )

    def encoded(self) -> list[bytes]:
        """As an edge seals them."""
        whole = np.concatenate([self.rows, self.records], axis=1)
        width, data = whole.shape[1], whole.tobytes()
        return [data[at : at + width] for at in range(0, len(data), width)]


class Ward:
    """Monitors of 12 values each, called `fixture:<number>`; their values wander about what is usual."""

    def __init__(self, first: int, count: int) -> None:
        self.count = count
        self._random = np.random.default_rng(first)
        self._phase_us = self._random.permutation(count) * SECOND_US // count
        self._sent = np.zeros(count, np.int64)
        names, units, usual = zip(*METRICS, strict=True)
        parts = [decimal_parts(text) or (0, 0) for text in usual]
        self._usual = np.array([mantissa for mantissa, _ in parts])
        records = tuple(
            Record(int(name.partition("^")[0]), int(unit.partition("^")[0]), mantissa=mantissa, exponent=exponent)
            for name, unit, (mantissa, exponent) in zip(names, units, parts, strict=True)
        )
        self.names = [f"fixture:{first + i}" for i in range(count)]
        one_of_each = b"".join(
            encode_report(Report(Kind.METRIC, name, 0, 0, ClockQuality.DEVICE, records, device_at_us=0, own_time=True),
                          bytes(16), bytes(32))
            for name in self.names
        )  # fmt: skip
        whole = np.frombuffer(one_of_each, np.uint8).reshape(count, -1)
        self._rows, self._records = whole[:, : REPORT_ROW.itemsize], whole[:, REPORT_ROW.itemsize :]

    def send(self, begin_us: int, times: int, every_s: int) -> Stretch:
        """What all say from then on, so many times: a device each second of its own, the earliest first."""
        order = np.argsort(self._phase_us, kind="stable")
        device = np.tile(order, times)
        turn = np.repeat(np.arange(times), self.count)
        spread = every_s * self._phase_us[device]  # over the whole of a turn
        at_us = begin_us + turn * every_s * SECOND_US + spread
        rows, records = self._rows[device].copy(), self._records[device].copy()
        rows[:, _SALT] = np.frombuffer(self._random.bytes(48 * len(device)), np.uint8).reshape(-1, 48)
        _put(rows, _OBSERVED, at_us)
        _put(rows, _DEVICE, at_us)
        _put(rows, _RECEIVED, at_us + TRANSIT_US)
        _put(rows, SEQUENCE_OFFSET, self._sent[device] + turn + 1)
        self._sent += times
        each = records.view(np.int64).reshape(len(device), len(self._usual), RECORD.itemsize // 8)
        each[:, :, _MANTISSA] = self._values(device, at_us)
        return Stretch(rows, records, device)

    def _values(self, device: NDArray[np.int64], at_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """(reports, channels): a slow wave of some minutes, another for each device, and a little noise."""
        period_s = 180 + device % 420
        wave = np.sin(2 * np.pi * (at_us / SECOND_US) / period_s)[:, None]
        swing = np.maximum(self._usual // 20, 1)
        noise = self._random.integers(0, 2, (len(device), len(swing)))
        values: NDArray[np.int64] = np.maximum(self._usual + np.round(wave * swing).astype(np.int64) + noise, 0)
        return values


def _put(rows: NDArray[np.uint8], at: int, values: NDArray[np.int64]) -> None:
    words = rows.view(np.int32)  # a row is a whole number of these, and none of eight bytes
    words[:, at // 4 : at // 4 + 2] = np.ascontiguousarray(values, np.int64).view(np.int32).reshape(-1, 2)
