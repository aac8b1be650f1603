"""Sign-ins of the command line that wait for a person's word, as in RFC 8628: a code to type, a secret to poll with.

They are kept in memory: who asked is the program that goes on asking, and a restart has it ask anew.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256

LASTS_S = 600.0
INTERVAL_S = 2  # between two polls of one program
PENDING_MAX, PENDING_OF_ADDRESS_MAX = 500, 20  # a ward shares one address
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, section 6.1: no word comes of them, and each is itself in any case
_CODE_CHARS = 8  # 34.5 bits, of which few are open at a time, and who guesses waits (gateway/people/throttle.py)


class Unanswered(StrEnum):
    """Why a poll gets no session (RFC 8628, section 3.5)."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"


@dataclass(frozen=True)
class Asker:
    """The program that wants to be signed in. `host` and `user` are its own word; the address is what connected."""

    host: str
    user: str
    address: str


@dataclass(frozen=True)
class Begun:
    """`device_code` is the program's secret; `user_code` is what the person types."""

    device_code: str
    user_code: str


@dataclass(frozen=True)
class _Pending:
    user_code: str
    asker: Asker
    ends_s: float  # monotonic, as the others
    polled_s: float = float("-inf")
    is_answered: bool = False
    session: bytes | None = None  # of who agreed; None: nobody did


class CommandLineLogins:
    """Of a process; may be called by several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[bytes, _Pending] = {}

    def begin(self, asker: Asker) -> Begun | None:
        """For ten minutes; None: too many wait already."""
        device_code, user_code, now = secrets.token_urlsafe(32), _new_user_code(), self._clock()
        with self._lock:
            self._pending = {key: each for key, each in self._pending.items() if each.ends_s > now}
            of_address = sum(each.asker.address == asker.address for each in self._pending.values())
            if len(self._pending) >= PENDING_MAX or of_address >= PENDING_OF_ADDRESS_MAX:
                return None
            while self._find(user_code) is not None:
                user_code = _new_user_code()
            self._pending[_key(device_code)] = _Pending(user_code, asker, now + LASTS_S)
        return Begun(device_code, user_code)

    def asker_of(self, user_code: str) -> Asker | None:
        """Who waits for a word on this code; None: nobody, or not any more."""
        with self._lock:
            found = self._find(user_code)
            return None if found is None else self._pending[found].asker

    def answer(self, user_code: str, session: bytes | None) -> Asker | None:
        """The word of somebody: his session, or None where he does not agree. A code is answered once.

        None: it waits for none.
        """
        with self._lock:
            found = self._find(user_code)
            if found is None:
                return None
            answered = replace(self._pending[found], is_answered=True, session=session)
            self._pending[found] = answered
        return answered.asker

    def poll(self, device_code: str, address: str) -> tuple[Asker, bytes] | Unanswered:
        """Who asked, and the session of who agreed: once, and from where it was asked for alone."""
        key, now = _key(device_code), self._clock()
        with self._lock:
            found = self._pending.get(key)
            if found is None or found.ends_s <= now or found.asker.address != address:
                return Unanswered.EXPIRED
            if not found.is_answered:
                self._pending[key] = replace(found, polled_s=now)
                return Unanswered.SLOW_DOWN if now - found.polled_s < INTERVAL_S / 2 else Unanswered.PENDING
            del self._pending[key]
        return Unanswered.DENIED if found.session is None else (found.asker, found.session)

    def _find(self, user_code: str) -> bytes | None:
        now, code = self._clock(), _as_made(user_code)
        for key, each in self._pending.items():
            if each.user_code == code and each.ends_s > now and not each.is_answered:
                return key
        return None


def shown_code(user_code: str) -> str:
    """As it is read and typed: BCDF-GHJK."""
    return f"{user_code[:4]}-{user_code[4:]}"


def _as_made(typed: str) -> str:
    return "".join(letter for letter in typed.upper() if letter.isalpha())


def _new_user_code() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(_CODE_CHARS))


def _key(device_code: str) -> bytes:
    return sha256(device_code.encode()).digest()
