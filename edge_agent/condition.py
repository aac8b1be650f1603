"""How the edge itself stands, as its counts say it: what waits, for how long there is room, since when no broker."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cryptography import x509

from schemas.edge_status import EdgeStatus, broker_away

INFLOW_WINDOW_S = 3600.0
SAMPLE_EVERY_S = 60.0
CERTIFICATE_EVERY_S = 60.0  # how often its file is read
EMIT_AWAY_AFTER_S = (60.0, 600.0, 3600.0)  # how long the broker is away when people are told; then each hour


class Inflow:
    """Bytes a second that came into the spool within the last hour, of its own running sum."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()  # (at_s, bytes), a minute apart

    def take(self, at_s: float, kept_bytes: int) -> None:
        """`at_s` of a clock that never goes back; `kept_bytes` since the start."""
        if not self._samples or at_s - self._samples[-1][0] >= SAMPLE_EVERY_S:
            self._samples.append((at_s, kept_bytes))
        while len(self._samples) > 1 and at_s - self._samples[1][0] >= INFLOW_WINDOW_S:
            self._samples.popleft()

    def bytes_per_s(self, at_s: float, kept_bytes: int) -> float | None:
        """None for the first minute, and while nothing came."""
        if not self._samples:
            return None
        first_s, first_bytes = self._samples[0]
        if at_s - first_s < SAMPLE_EVERY_S or kept_bytes <= first_bytes:
            return None
        return (kept_bytes - first_bytes) / (at_s - first_s)


@dataclass(frozen=True)
class SpoolState:
    """What the spool holds now. `kept_bytes`: all that came since the start."""

    waiting_reports: int
    unreceipted_batches: int
    unreceipted_bytes: int
    held_bytes: int
    kept_bytes: int


class Condition:
    """Looks once a second, on the event loop; `now_s` never goes back."""

    def __init__(
        self, folder: Path, quota_bytes: int, certificate: Path | None, emit: Callable[[str, str], object]
    ) -> None:  # fmt: skip
        self._folder, self._quota_bytes, self._certificate, self._emit = folder, quota_bytes, certificate, emit
        self._inflow = Inflow()
        self._certificate_ends_at_s: int | None = None
        self._certificate_read_s: float | None = None
        self._away_since_s: float | None = None
        self._next_emit_s = EMIT_AWAY_AFTER_S[0]
        self._status = EdgeStatus(version=version("vitalwire"))

    def look(self, now_s: float, spool: SpoolState, *, is_broker_reached: bool) -> EdgeStatus:
        """Take what is there now, and emit an event when the broker has been away for a minute, ten, each hour."""
        self._inflow.take(now_s, spool.kept_bytes)
        free_bytes = self._free_bytes()
        left_bytes = max(0, self._quota_bytes - spool.unreceipted_bytes)
        if free_bytes is not None:  # what is held after its receipt makes room for what comes
            left_bytes = min(left_bytes, free_bytes + spool.held_bytes)
        rate = self._inflow.bytes_per_s(now_s, spool.kept_bytes)
        if is_broker_reached:
            self._away_since_s, self._next_emit_s = None, EMIT_AWAY_AFTER_S[0]
        elif self._away_since_s is None:
            self._away_since_s = now_s
        away_s = None if self._away_since_s is None else now_s - self._away_since_s
        self._status = EdgeStatus(
            version=self._status.version,
            waiting_reports=spool.waiting_reports,
            unreceipted_batches=spool.unreceipted_batches,
            spool_bytes=spool.unreceipted_bytes,
            spool_quota_bytes=self._quota_bytes,
            disk_free_bytes=free_bytes,
            room_s=None if rate is None else round(left_bytes / rate, 1),
            broker_away_s=None if away_s is None else round(away_s, 1),
            certificate_ends_at_s=self._certificate_end(now_s),
        )
        if away_s is not None and away_s >= self._next_emit_s:
            self._next_emit_s = _after(self._next_emit_s)
            self._emit("broker-away", broker_away(self._status, away_s).en)
        return self._status

    @property
    def status(self) -> EdgeStatus:
        """As of the last look."""
        return self._status

    def _free_bytes(self) -> int | None:
        try:
            return shutil.disk_usage(self._folder).free
        except OSError:
            return None

    def _certificate_end(self, now_s: float) -> int | None:
        if self._certificate is None:
            return None
        if self._certificate_read_s is None or now_s - self._certificate_read_s >= CERTIFICATE_EVERY_S:
            self._certificate_read_s, self._certificate_ends_at_s = now_s, _ends_at_s(self._certificate)
        return self._certificate_ends_at_s


def _ends_at_s(certificate: Path) -> int | None:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):  # the publisher says what is wrong with it
        return None
    return int(found.not_valid_after_utc.timestamp())


def _after(emitted_s: float) -> float:
    """When to say it next: at the next of EMIT_AWAY_AFTER_S, or an hour later."""
    return next((each for each in EMIT_AWAY_AFTER_S if each > emitted_s), emitted_s + 3600.0)
