"""Tries to sign in are kept, and who failed too often waits a while (gateway/people/throttle.py)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from emr_store import sign_in_attempts
from emr_store.connect import open_store
from gateway.people.throttle import WINDOW_S, wait_s

_log = structlog.get_logger("sign_in")


def log_failure(factor: str, address: str, reason: str, who: str = "") -> None:
    """By what somebody tried. `who`: whose factor it is, "" where that is not known; never what somebody typed."""
    _log.info("a sign-in failed", factor=factor, host=address, reason=reason, who=who)


class SignInAttempts:
    """Of a process; each method blocks, and raises StoreError."""

    def __init__(self, clerk_conninfo: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clerk, self._now = clerk_conninfo, now

    def wait_s(self, account: str, address: str) -> float:
        """Seconds until this account may be tried from this address; 0: now. "" as account: it is not known yet."""
        now = self._now()
        with open_store(self._clerk) as conn:
            found = sign_in_attempts.failed(conn, account, address, now - timedelta(seconds=WINDOW_S))
        return wait_s(found.account, found.address, now)

    def note(self, account: str, address: str, *, succeeded: bool) -> None:
        """Somebody tried."""
        with open_store(self._clerk) as conn:
            sign_in_attempts.note(conn, account, address, self._now(), succeeded=succeeded)
