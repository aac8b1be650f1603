"""What was acknowledged, one JSON object a line, written out at once: fault tests compare it with the database."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class SentReport(NamedTuple):
    """One report as its device said it. `at_us` is the device's own time (µs since 1970 UTC), None where it has none.

    `device` is the identity that stands in the bytes: EUI-64, PV1-3, topic, or on a serial line the bed.
    """

    device: str
    id: str
    at_us: int | None
    values: dict[str, str | None]  # as text, exactly; None is "no reading"

    @property
    def report_key(self) -> str:
        """What no other report of a device has: its time, else its temperature (Mindray), else a number (serial)."""
        return f"{self.device}@{self.at_us or self.values.get('temp_c') or self.id}"


@dataclass
class WardTotals:
    """Messages so far, by transport: serial, mllp, mqtt. What is sent again counts once; serial is never acked."""

    sent: Counter[str] = field(default_factory=Counter)
    acked: Counter[str] = field(default_factory=Counter)


class AckedLog:
    """Counts, and with a path also writes."""

    def __init__(self, path: Path | None = None) -> None:
        self.totals = WardTotals()
        self._file = path.open("a", encoding="utf-8", buffering=1) if path else None

    def add(self, transport: str, bed: str, reports: tuple[SentReport, ...], acked: bool = True) -> None:
        """A message with these reports was acknowledged, or went out over a line that acknowledges nothing."""
        (self.totals.acked if acked else self.totals.sent)[transport] += 1
        for report in reports:
            row = {
                "transport": transport, "bed": bed, "device": report.device, "id": report.id, "at": report.at_us,
                "values": report.values, "report_key": report.report_key, "acked": acked,
            }  # fmt: skip
            if self._file:
                self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Nothing is buffered."""
        if self._file:
            self._file.close()
