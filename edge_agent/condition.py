"""How the edge itself stands, as its counts say it: what waits, for how long there is room, since when no broker or no
receipt, and when the certificate ends.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cryptography import x509

from schemas.edge_status import EdgeStatus, broker_away, certificate_ends, receipts_away

INFLOW_WINDOW_S = 3600.0
SAMPLE_EVERY_S = 60.0
CERTIFICATE_EVERY_S = 10.0  # how often its file is read
EMIT_AWAY_AFTER_S = (60.0, 600.0, 3600.0)  # how long broker or receipts are away when people are told; then each hour
DAY_S = 86_400.0


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


class Outage:
    """How long something has been away, and when people are told."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._next_emit_s = EMIT_AWAY_AFTER_S[0]

    def look(self, now_s: float, *, is_away: bool) -> float | None:
        """Seconds; None while it is not away."""
        if not is_away:
            self._since_s, self._next_emit_s = None, EMIT_AWAY_AFTER_S[0]
            return None
        if self._since_s is None:
            self._since_s = now_s
        return now_s - self._since_s

    def is_due(self, away_s: float | None) -> bool:
        """Whether to tell people now: after a minute, ten, each hour, and each once."""
        if away_s is None or away_s < self._next_emit_s:
            return False
        told_s = self._next_emit_s
        self._next_emit_s = next((each for each in EMIT_AWAY_AFTER_S if each > told_s), told_s + 3600.0)
        return True


@dataclass(frozen=True)
class Lifetime:
    """Of a certificate, in seconds since 1970."""

    begins_at_s: float
    ends_at_s: float

    @property
    def emit_left_s(self) -> tuple[float, ...]:
        """How much of it is left when people are told. A third of it is where a box that renews by itself does."""
        whole_s = self.ends_at_s - self.begins_at_s
        return (min(14 * DAY_S, whole_s / 6), min(DAY_S, whole_s / 24), 0.0)


class Condition:
    """Looks once a second, on the event loop; `now_s` never goes back, `wall_s` is in seconds since 1970."""

    def __init__(
        self, folder: Path, quota_bytes: int, certificate: Path | None, emit: Callable[[str, str], object],
        on_certificate: Callable[[], object] = lambda: None, wall_s: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """`on_certificate` is called when another certificate is in its file."""
        self._folder, self._quota_bytes, self._certificate, self._emit = folder, quota_bytes, certificate, emit
        self._inflow = Inflow()
        self._on_certificate, self._wall_s = on_certificate, wall_s
        self._lifetime: Lifetime | None = None
        self._certificate_read_s: float | None = None
        self._certificate_told = 0  # of `Lifetime.emit_left_s`
        self._broker, self._receipts, self._answers = Outage(), Outage(), 0
        self._status = EdgeStatus(version=version("vitalwire"))

    def look(
        self, now_s: float, spool: SpoolState, *, is_broker_reached: bool, answers: int = 0, refused_batches: int = 0
    ) -> EdgeStatus:
        """Take what is there now; emit an event when the broker has been away for a minute, ten, each hour; the
        same where it is reached, batches wait for their receipts, and none comes. `answers`: receipts since the start;
        what the hospital refused (`refused_batches`) waits for people.
        """
        self._inflow.take(now_s, spool.kept_bytes)
        free_bytes = self._free_bytes()
        left_bytes = max(0, self._quota_bytes - spool.unreceipted_bytes)
        if free_bytes is not None:  # what is held after its receipt makes room for what comes
            left_bytes = min(left_bytes, free_bytes + spool.held_bytes)
        rate = self._inflow.bytes_per_s(now_s, spool.kept_bytes)
        away_s = self._broker.look(now_s, is_away=not is_broker_reached)
        is_silent = is_broker_reached and spool.unreceipted_batches > refused_batches and answers == self._answers
        silent_s, self._answers = self._receipts.look(now_s, is_away=is_silent), answers
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
        if self._broker.is_due(away_s):
            self._emit("broker-away", broker_away(self._status, away_s or 0.0).en)
        if self._receipts.is_due(silent_s):
            self._emit("receipts-away", receipts_away(self._status, silent_s or 0.0).en)
        self._look_at_certificate()
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
            found = _lifetime(self._certificate)
            before, self._lifetime, self._certificate_read_s = self._lifetime, found or self._lifetime, now_s
            if before is not None and before != self._lifetime:
                self._certificate_told = 0
                self._on_certificate()
        return None if self._lifetime is None else int(self._lifetime.ends_at_s)

    def _look_at_certificate(self) -> None:
        """Tell people in time, on its last day, and when it has ended, unless it was renewed."""
        if self._lifetime is None:
            return
        left_s = self._lifetime.ends_at_s - self._wall_s()
        due = sum(left_s <= each for each in self._lifetime.emit_left_s)
        if due > self._certificate_told:
            self._emit("certificate-ends", f"{certificate_ends(left_s).en} (docs/enrolment.md)")
        self._certificate_told = due


def _lifetime(certificate: Path) -> Lifetime | None:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):  # the publisher says what is wrong with it
        return None
    return Lifetime(found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp())
