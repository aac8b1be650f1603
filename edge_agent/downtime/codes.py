"""Who may look at the downtime view: whoever knows the code. Wrong ones are throttled, by address and altogether."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from threading import Lock

CODE_CHARS_MIN = 8
FREE_TRIES = 5  # of an address, before it must wait
WAIT_FIRST_S, WAIT_MAX_S = 30.0, 900.0
# Wrong ones of all addresses: eight digits hold for years, and who has few addresses keeps nobody else out.
ALL_TRIES, ALL_WINDOW_S = 1000, 3600.0
FORGET_S = 3600.0
ADDRESSES_MAX, SESSIONS_MAX = 1000, 50
SESSION_S = 12 * 3600.0  # a shift


class Attempt(Enum):
    """What became of a code."""

    OPENED = "opened"
    WRONG = "wrong"
    WAIT = "wait"  # too many were wrong; this one was not looked at


@dataclass
class _Tries:
    wrong: int = 0
    last_s: float = 0.0
    wait_until_s: float = 0.0


class CodeGate:
    """All methods are thread-safe; `now_s` never goes back."""

    def __init__(self, code: str, now_s: Callable[[], float]) -> None:
        self._code, self._now_s, self._lock = code.encode(), now_s, Lock()
        self._tries: OrderedDict[str, _Tries] = OrderedDict()
        self._all_wrong: deque[float] = deque()
        self._sessions: OrderedDict[str, float] = OrderedDict()  # until when

    def attempt(self, address: str, code: str) -> tuple[Attempt, str | int]:
        """With the session that it opens, or the seconds to wait, or nothing."""
        now_s = self._now_s()
        with self._lock:
            wait_s = self._wait_s(address, now_s)
            if wait_s > 0:
                return Attempt.WAIT, int(wait_s) + 1
            if not hmac.compare_digest(self._code, code.encode("utf-8", "surrogatepass")):
                self._note_wrong(address, now_s)
                return Attempt.WRONG, ""
            self._tries.pop(address, None)
            session = secrets.token_urlsafe(32)
            self._sessions[session] = now_s + SESSION_S
            while len(self._sessions) > SESSIONS_MAX:
                self._sessions.popitem(last=False)
            return Attempt.OPENED, session

    def is_open(self, session: str) -> bool:
        """Whether this session was opened, and is not over."""
        with self._lock:
            return self._sessions.get(session, 0.0) > self._now_s()

    def _wait_s(self, address: str, now_s: float) -> float:
        while self._all_wrong and now_s - self._all_wrong[0] >= ALL_WINDOW_S:
            self._all_wrong.popleft()
        of_all_s = self._all_wrong[0] + ALL_WINDOW_S - now_s if len(self._all_wrong) >= ALL_TRIES else 0.0
        tries = self._tries.get(address)
        return max(of_all_s, tries.wait_until_s - now_s if tries else 0.0)

    def _note_wrong(self, address: str, now_s: float) -> None:
        self._all_wrong.append(now_s)
        tries = self._tries.setdefault(address, _Tries())
        if now_s - tries.last_s > FORGET_S:
            tries.wrong = 0
        tries.wrong, tries.last_s = tries.wrong + 1, now_s
        self._tries.move_to_end(address)
        if tries.wrong >= FREE_TRIES:
            tries.wait_until_s = now_s + min(WAIT_MAX_S, WAIT_FIRST_S * 2 ** (tries.wrong - FREE_TRIES))
        while len(self._tries) > ADDRESSES_MAX:
            self._tries.popitem(last=False)
