"""Two sealed accounts for the day when nothing else opens: what they may, their passwords, how one is used."""

from __future__ import annotations

import functools
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Any

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from clinical.wards import ward_of_bed
from emr_store import emergency
from emr_store.bed_names import bed_names
from emr_store.connect import open_store
from gateway.access.viewer import Licence, Viewer
from gateway.access.words import Role
from gateway.people.attempts import SignInAttempts
from gateway.people.factors import Factor

ACCOUNTS = ("emergency-1", "emergency-2")
ROLE = Role.PHYSICIAN
OPEN_H = 24  # an envelope opens for so long after its first use; then it is to be sealed anew
_PREFIX = "emergency:"
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # what cannot be read as another
_GROUPS, _GROUP_CHARS = 5, 5  # 25 of 31 characters: 123 bits
_BUSY_S = 3.0
_hasher = PasswordHasher(type=Type.ID)  # argon2-cffi's default: RFC 9106, low memory


class Unopened(StrEnum):
    """Why an account stays closed; the page has the words."""

    WRONG = "wrong"  # or of no account, or used up: who tries learns no difference
    WAIT = "wait"


def new_password() -> str:
    """To be written into an envelope."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_CHARS)) for _ in range(_GROUPS))
    return "-".join(groups)


def hash_of(password: str) -> str:
    """Argon2id."""
    return _hasher.hash(password)


@functools.cache
def _hash_for_nobody() -> str:
    """Of a password that nobody knows: one is enough for a process, and takes as much time as a real one."""
    return hash_of(new_password())


def principal_of(account: str) -> str:
    """As sessions, looks and acts name it."""
    return f"{_PREFIX}{account}"


def emergency_viewer(conn: Any, principal: str, *, locked: bool, session: str) -> Viewer | None:
    """Of all wards. Who holds the envelope is not known: what he charts waits for a licensed person."""
    account = principal.removeprefix(_PREFIX)
    if account == principal or account not in ACCOUNTS:
        return None
    wards = frozenset(ward_of_bed(bed) for bed in bed_names(conn))
    return Viewer(
        id=principal, name=account, role=ROLE, licence=Licence.NONE, wards=wards, locked=locked, session=session
    )


class EmergencyAccounts:
    """Opens them, one try at a time. Blocks, and raises StoreError."""

    def __init__(
        self, clerk_conninfo: str, attempts: SignInAttempts, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clerk, self._attempts, self._now = clerk_conninfo, attempts, now
        self._lock = threading.Lock()
        self._nobody = _hash_for_nobody()  # as slow to refuse as a real one

    def open(self, account: str, password: str, address: str) -> tuple[Unopened, int] | str:
        """The principal, or why not, with the seconds to wait."""
        account = account if account in ACCOUNTS else ""  # what else was typed may be a password, and is not kept
        if not self._lock.acquire(timeout=_BUSY_S):
            return Unopened.WAIT, ceil(_BUSY_S)
        try:
            wait_s = self._attempts.wait_s(Factor.EMERGENCY, account, address)
            if wait_s > 0:
                return Unopened.WAIT, wait_s
            opens = self._opens(account, password)
            self._attempts.note(Factor.EMERGENCY, account, address, succeeded=opens)
        finally:
            self._lock.release()
        if not opens:
            return Unopened.WRONG, 0
        with open_store(self._clerk) as conn:
            emergency.note_opened(conn, account, principal_of(account), ROLE, address)
        return principal_of(account)

    def _opens(self, account: str, password: str) -> bool:
        with open_store(self._clerk) as conn:
            sealed = emergency.sealed(conn, account)
        try:
            _hasher.verify(sealed.hash if sealed is not None else self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        if sealed is None:
            return False
        return sealed.opened_at is None or self._now() - sealed.opened_at < timedelta(hours=OPEN_H)
