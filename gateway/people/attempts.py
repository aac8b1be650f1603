"""Tries to sign in are kept, and who failed or began too often waits a while (gateway/people/throttle.py)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import ceil

import structlog
from prometheus_client import Counter

from emr_store import sign_in_attempts
from emr_store.connect import open_store
from gateway.people.factors import Factor
from gateway.people.throttle import WINDOW_S, wait_s

_throttled = Counter(
    "vitalwire_sign_in_throttled", "Tries to sign in that were refused for coming too soon", ["factor"]
)
_log = structlog.get_logger("sign_in")


def log_failure(factor: str, address: str, reason: str, who: str = "") -> None:
    """By what somebody tried. `who`: whose factor it is, "" where that is not known; never what somebody typed."""
    _log.info("a sign-in failed", factor=factor, host=address, reason=reason, who=who)


class SignInAttempts:
    """Of a process; each method blocks, and raises StoreError."""

    def __init__(self, clerk_conninfo: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clerk, self._now = clerk_conninfo, now

    def wait_s(self, factor: Factor, account: str, address: str) -> int:
        """Seconds until this account may be tried from this address, counted as a refusal; 0: now.

        "" as account: it is not known yet.
        """
        now = self._now()
        with open_store(self._clerk) as conn:
            found = sign_in_attempts.failed(conn, account, address, now - timedelta(seconds=WINDOW_S))
        return _refused_s(factor, wait_s(found.account, found.address, now))

    def begin(self, factor: Factor, address: str) -> int:
        """Seconds until somebody at this address may begin a sign-in, counted as a refusal; 0: he has begun now.

        What is begun and not finished counts for beginnings alone: who has begun is not kept from finishing.
        """
        now = self._now()
        since = now - timedelta(seconds=WINDOW_S)
        with open_store(self._clerk) as conn:
            found = sign_in_attempts.failed(conn, "", address, since)
            begun = sign_in_attempts.begun(conn, address, since)
            wait = max(wait_s([], found.address, now), wait_s([], begun, now))
            if wait == 0:
                sign_in_attempts.note_begun(conn, address, now, factor=factor)
        return _refused_s(factor, wait)

    def note(self, factor: Factor, account: str, address: str, *, succeeded: bool) -> None:
        """Somebody tried."""
        with open_store(self._clerk) as conn:
            sign_in_attempts.note(conn, account, address, self._now(), factor=factor, succeeded=succeeded)


def _refused_s(factor: Factor, wait: float) -> int:
    if wait > 0:
        _throttled.labels(factor).inc()
    return ceil(wait)
