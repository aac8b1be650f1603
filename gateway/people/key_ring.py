"""The keys of everybody: each is asked once, what it answers is verified, and what was done is kept with its act."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from emr_store import security_keys, viewers
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.security_keys import EnrolmentRow, KeyRow, NewKey
from gateway.people.security_keys import (
    ENROL_MAGIC,
    SIGN_IN_MAGIC,
    KeyRefusedError,
    KeySite,
    Refusal,
    enrol_options,
    new_challenge,
    read_answer,
    sign_in_options,
    verify_enrolment,
    verify_sign_in,
)

LABEL_CHARS_MAX = 60


@dataclass(frozen=True)
class OpenedEnrolment:
    """`code`: of the link that the person opens; "" while a second administrator has not agreed."""

    row: EnrolmentRow
    code: str


class KeyRing:
    """Through the role clerk. Its methods ask the store, block, and raise StoreError while it is away."""

    def __init__(self, clerk_conninfo: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clerk, self._now = clerk_conninfo, now

    def begin_sign_in(self, site: KeySite, workstation: str) -> bytes:
        """What the browser asks a key; only this browser can answer."""
        challenge = new_challenge(SIGN_IN_MAGIC)
        with open_store(self._clerk) as conn:
            security_keys.put_challenge(conn, challenge, workstation, self._now())
        return sign_in_options(site, challenge)

    def sign_in(self, site: KeySite, workstation: str, credential: object) -> KeyRow:
        """The key that answered, whose owner is there. Raises KeyRefusedError."""
        answered = read_answer(credential)
        with open_store(self._clerk) as conn:
            now = self._now()
            if not security_keys.take_challenge(conn, answered.challenge, workstation, now):
                raise KeyRefusedError(Refusal.CHALLENGE)
            key = security_keys.find(conn, answered.credential)
            if key is None or key.revoked_at is not None:
                raise KeyRefusedError(Refusal.UNKNOWN_KEY)
            count = verify_sign_in(site, answered, key.staff, key.public_key)
            if not security_keys.note_use(conn, key, count, now):
                facts = viewers.staff_facts(conn, key.staff, now)
                detail = f"key {key.credential.hex()[:16]} counted {count} after {key.sign_count}"
                security_keys.note_count_back(conn, key, facts.role if facts else "", detail, now)
                raise KeyRefusedError(Refusal.COUNT)
        return key

    def owner_of(self, credential: object) -> str:
        """Whose key says that it answered, revoked ones too; "" of nobody's."""
        try:
            answered = read_answer(credential)
        except KeyRefusedError:
            return ""
        with open_store(self._clerk) as conn:
            key = security_keys.find(conn, answered.credential)
        return key.staff if key is not None else ""

    def begin_enrolment(self, site: KeySite, staff: str, name: str) -> bytes:
        """What the browser asks a new key to be made for this person."""
        challenge = new_challenge(ENROL_MAGIC)
        with open_store(self._clerk) as conn:
            security_keys.put_challenge(conn, challenge, staff, self._now())
            present = [key.credential for key in security_keys.keys_of(conn, staff) if key.revoked_at is None]
        return enrol_options(site, challenge, staff, name, present)

    def enrol(self, site: KeySite, staff: str, label: str, credential: object, author: Author, code: str = "") -> None:
        """It opens for this person from now on. Raises KeyRefusedError.

        `code`: of the enrolment that an administrator opened; "": the person's own session lets it in.
        """
        answered = read_answer(credential)
        code_sha256 = code_hash(code) if code else None
        with open_store(self._clerk) as conn:
            if not security_keys.take_challenge(conn, answered.challenge, staff, self._now()):
                raise KeyRefusedError(Refusal.CHALLENGE)
            made = verify_enrolment(site, answered)
            new = NewKey(
                credential=made.credential, staff=staff, public_key=made.public_key, label=label[:LABEL_CHARS_MAX],
                model=made.model, sign_count=made.sign_count, untold=code_sha256 is not None,
            )  # fmt: skip
            if not security_keys.enrol(conn, new, author, code_sha256):
                raise KeyRefusedError(Refusal.UNKNOWN_KEY)

    def open_enrolment(self, staff: str, opened_by: str, author: Author) -> OpenedEnrolment:
        """By an administrator. Where the person has a key already, a second one must agree."""
        code = new_code()
        with open_store(self._clerk) as conn:
            row = security_keys.open_enrolment(conn, staff, opened_by, author, code_hash(code))
        return OpenedEnrolment(row, "" if row.replaces else code)

    def agree(self, enrolment: UUID, agreed_by: str, author: Author) -> OpenedEnrolment | None:
        """By the second administrator: the keys that are lost end. None: nothing waits for this person."""
        code = new_code()
        with open_store(self._clerk) as conn:
            row = security_keys.agree(conn, enrolment, agreed_by, author, code_hash(code))
        return OpenedEnrolment(row, code) if row is not None else None


def new_code() -> str:
    """Of a link that opens something once."""
    return secrets.token_urlsafe(24)


def code_hash(code: str) -> bytes:
    """By which a code is kept."""
    return sha256(code.encode()).digest()
