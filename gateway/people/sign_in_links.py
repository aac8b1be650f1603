"""Links by which somebody is signed in once: the demo's alone, kept in memory."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

LASTS_S = 600.0


@dataclass(frozen=True)
class _Link:
    staff: str
    ends_s: float  # monotonic


class SignInLinks:
    """May be called by several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._links: dict[bytes, _Link] = {}

    def new(self, staff: str) -> str:
        """The secret of a link that opens one session of theirs within ten minutes."""
        secret = secrets.token_urlsafe(24)
        now = self._clock()
        with self._lock:
            self._links = {key: link for key, link in self._links.items() if link.ends_s > now}
            self._links[_key(secret)] = _Link(staff, now + LASTS_S)
        return secret

    def lasts(self, secret: str) -> bool:
        """Whether it can still be used."""
        with self._lock:
            link = self._links.get(_key(secret))
        return link is not None and link.ends_s > self._clock()

    def use(self, secret: str) -> str | None:
        """Whom it signs in; None: it was used, or its time is over, or there is none."""
        with self._lock:
            link = self._links.pop(_key(secret), None)
        return link.staff if link is not None and link.ends_s > self._clock() else None


def _key(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
