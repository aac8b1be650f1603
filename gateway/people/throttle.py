"""How long somebody must wait before he tries to sign in once more: by account and by address, never for good.

A ward shares one address: what one person mistypes there must not keep the others out. An attacker must not keep
somebody out either: no wait is longer than ACCOUNT_WAIT_S_MAX, however many tries there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

WINDOW_S = 900  # failures before that count no more
ACCOUNT_FREE, ADDRESS_FREE = 4, 30  # so many failures cost nothing
ACCOUNT_WAIT_S_MAX, ADDRESS_WAIT_S_MAX = 60.0, 10.0


def wait_s(account_failed: Sequence[datetime], address_failed: Sequence[datetime], now: datetime) -> float:
    """Seconds from now on, 0 for none. Failures since the last success, of this account and of this address."""
    return max(
        _wait_s(account_failed, ACCOUNT_FREE, ACCOUNT_WAIT_S_MAX, now),
        _wait_s(address_failed, ADDRESS_FREE, ADDRESS_WAIT_S_MAX, now),
    )


def _wait_s(failed: Sequence[datetime], free: int, wait_s_max: float, now: datetime) -> float:
    recent = [at for at in failed if (now - at).total_seconds() < WINDOW_S]
    beyond = len(recent) - free
    if beyond <= 0:
        return 0.0
    wait = min(wait_s_max, 2.0 ** min(beyond, 20))
    return min(wait_s_max, max(0.0, wait - (now - max(recent)).total_seconds()))
