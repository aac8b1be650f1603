"""Machines: programs that prove themselves by a key that is registered here, and get a token of five minutes.

SMART Backend Services 2.2 (private_key_jwt, RFC 7523), tokens as in RFC 9068. What a machine may read is what its
scopes name, of what the access table opens to machines, of its wards.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeGuard
from uuid import uuid4

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from emr_store import machine_clients
from emr_store.connect import StoreError, open_store
from emr_store.instants import moment
from emr_store.machine_clients import ClientRow
from emr_store.visible_stays import Sight
from gateway.access.decision import Decision
from gateway.access.viewer import Target, Viewer
from gateway.access.words import Action, Answer, DataClass, Relation, Role
from gateway.asking import Asking
from gateway.looks import Looks
from gateway.people import scopes as scope_words
from gateway.people.json_web_tokens import (
    TokenRefusedError,
    claims_of_nobody,
    pinned_key,
    seconds,
    signed,
    verified_claims,
)
from gateway.people.scopes import Scope, read_scopes
from runtime import keys
from runtime.clock import now_us
from runtime.keys import SigningKey

TOKEN_S = 300  # how long a token lasts, and an assertion at most
CLOCKS_APART_S = 30.0  # what two clocks may differ by
CLOCK_SAID_S = 10.0  # from here on it is said
REFRESH_S = 2.0  # by then a revocation is seen
JTI_CHARS_MAX = 200
_log = structlog.get_logger("machines")


@dataclass(frozen=True)
class MachineAsking(Asking):
    """The question of a program: what its scopes open, and where it has wards, of those alone."""

    scopes: frozenset[Scope]

    def opens(self, resource_type: str, how: str) -> bool:
        """Whether a scope lets this type be asked so."""
        return scope_words.opens(self.scopes, resource_type, how)

    def may(self, action: Action, target: Target) -> Decision:
        """Where it has wards, nothing beside them."""
        found = super().may(action, target)
        if self.viewer.wards and found.relation in (Relation.NONE, Relation.UNPLACED):
            return Decision(Answer.DENIED, found.relation)
        return found

    def sight(self, action: Action, data_class: DataClass) -> Sight:
        """Where it has wards, their stays."""
        found = super().sight(action, data_class)
        return replace(found, everything=False) if self.viewer.wards else found


class ClientRefusedError(Exception):
    """An assertion is not taken. `about_clock`: what to say to who has the right key and the wrong time; else ""."""

    def __init__(self, why: str, about_clock: str = "") -> None:
        super().__init__(why)
        self.about_clock = about_clock


class ScopeRefusedError(Exception):
    """Nothing of what is asked for was registered."""


@dataclass(frozen=True)
class Granted:
    """An access token and what it opens."""

    token: str
    scope: str


def token_key(path: Path | None) -> SigningKey:
    """By which tokens are signed: of this file, made where it is absent; None: a key of this process alone."""
    if path is None:
        return SigningKey(ec.generate_private_key(ec.SECP256R1()))
    return keys.load(path, allow_demo=True) if path.exists() else keys.generate(path)


class Machines:
    """All machines of a process; may be called by several threads. Its methods ask the store, and block."""

    def __init__(
        self, conninfo: str, clerk_conninfo: str, looks: Looks, key: SigningKey, now_s: Callable[[], float] = time.time
    ) -> None:
        self._conninfo, self._clerk, self._looks, self._key, self._now_s = conninfo, clerk_conninfo, looks, key, now_s
        self._pinned = pinned_key(key.public_der)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, ClientRow | None]] = {}  # monotonic

    def account_of(self, assertion: str) -> str:
        """By which tries of whom an assertion names are counted, before anybody believes it; "": it names nobody.

        Whether such a client was registered makes no difference in how it waits, but only its name is kept.
        """
        try:
            name = claims_of_nobody(assertion).get("iss")
        except TokenRefusedError:
            return ""
        if not _is_name(name):
            return ""
        with open_store(self._conninfo) as conn:
            is_registered = machine_clients.find(conn, name) is not None
        return f"client:{name if is_registered else '#' + sha256(name.encode()).hexdigest()[:16]}"

    def grant(self, assertion: str, scope: str, origin: str) -> Granted:
        """A token for who proves himself. `origin`: of this gateway, as it was asked. `scope` "": all of his own.

        Raises ClientRefusedError, ScopeRefusedError, ValueError for a scope that is none, StoreError.
        """
        try:
            client, claims = self._proved(assertion, origin)
        except TokenRefusedError as refused:
            raise ClientRefusedError(str(refused)) from None
        registered = read_scopes(" ".join(client.scopes))
        opened = scope_words.both(read_scopes(scope) if scope else registered, registered)
        if not opened:
            raise ScopeRefusedError
        with open_store(self._clerk) as conn:
            expires_at = moment(int((seconds(claims, "exp") or 0) * 1e6))
            if not machine_clients.use_assertion(conn, client.client, str(claims["jti"]), expires_at):
                raise ClientRefusedError("its jti was used before")
        at_s = int(self._now_s())
        said = {
            "iss": origin, "aud": origin, "sub": client.client, "client_id": client.client, "jti": str(uuid4()),
            "iat": at_s, "nbf": at_s, "exp": at_s + TOKEN_S, "scope": scope_words.written(opened),
        }  # fmt: skip
        return Granted(signed(said, self._key, "at+jwt"), scope_words.written(opened))

    def asking(self, token: str, origin: str, address: str) -> MachineAsking | None:
        """Who asks with this token; None: nobody who may. Raises StoreError."""
        try:
            claims = verified_claims(token, self._pinned, "at+jwt")
            expires_s, from_s, now_s = seconds(claims, "exp"), seconds(claims, "nbf"), self._now_s()
            opened = read_scopes(str(claims.get("scope", "")))
        except (TokenRefusedError, ValueError):
            return None
        if claims.get("iss") != origin or claims.get("aud") != origin or not isinstance(claims.get("sub"), str):
            return None
        if expires_s is None or from_s is None or not from_s - CLOCKS_APART_S <= now_s < expires_s:
            return None
        client = self._client(claims["sub"])
        if client is None or client.revoked_at is not None:
            return None
        viewer = Viewer(
            id=f"client:{client.client}", name=client.client, role=Role.MACHINE, wards=frozenset(client.wards),
            session=secrets.token_hex(8) if not claims.get("jti") else str(claims["jti"])[:16],
        )  # fmt: skip
        return MachineAsking(viewer, address, now_us(), self._looks, scope_words.both(
            opened, read_scopes(" ".join(client.scopes))))  # fmt: skip

    def _proved(self, assertion: str, origin: str) -> tuple[ClientRow, dict[str, object]]:
        """RFC 7523, section 3, and SMART's narrower: iss is sub, at most five minutes, typ JWT."""
        name = claims_of_nobody(assertion).get("iss")
        if not _is_name(name):
            raise TokenRefusedError("iss is no client")
        with open_store(self._conninfo) as conn:
            client = machine_clients.find(conn, name)
        if client is None or client.revoked_at is not None:
            raise TokenRefusedError("iss is no client that may ask")
        claims = verified_claims(assertion, pinned_key(client.public_key), "JWT")
        if claims.get("iss") != client.client or claims.get("sub") != client.client:
            raise TokenRefusedError("iss and sub are not the client")
        if claims.get("aud") != f"{origin}/token":
            raise TokenRefusedError("aud is not this token endpoint")
        jti = claims.get("jti")
        if not _is_name(jti):
            raise TokenRefusedError("no jti")
        self._check_times(client.client, claims)
        return client, claims

    def _check_times(self, name: str, claims: dict[str, object]) -> None:
        """Raises ClientRefusedError; a clock that is off is said before it is so far off that it is refused."""
        now_s, expires_s = self._now_s(), seconds(claims, "exp")
        issued_s = seconds(claims, "iat")
        if expires_s is None:
            raise TokenRefusedError("no exp")
        begins_s = max(seconds(claims, "nbf") or 0.0, issued_s or 0.0)
        ahead_s = (issued_s if issued_s is not None else expires_s - TOKEN_S) - now_s
        if abs(ahead_s) > CLOCK_SAID_S:
            _log.warning("the clock of a client differs", client=name, ahead_s=round(ahead_s))
        if now_s < expires_s <= now_s + TOKEN_S + CLOCKS_APART_S and begins_s <= now_s + CLOCKS_APART_S:
            return
        raise ClientRefusedError(
            "its time is not now",
            f"exp must be at most {TOKEN_S} s after now; by our clock it was issued {-ahead_s:.0f} s ago:"
            " set both clocks by NTP",
        )

    def _client(self, name: str) -> ClientRow | None:
        """As of REFRESH_S ago at most; while the store is away as it was last."""
        with self._lock:
            read_s, known = self._known.get(name, (float("-inf"), None))
        if time.monotonic() - read_s < REFRESH_S:
            return known
        try:
            with open_store(self._conninfo) as conn:
                found = machine_clients.find(conn, name)
        except StoreError:
            if known is None:
                raise
            return known
        with self._lock:
            self._known[name] = (time.monotonic(), found)
        return found


def _is_name(stated: object) -> TypeGuard[str]:
    """Whether a claim is a text that the store takes."""
    return isinstance(stated, str) and 0 < len(stated) <= JTI_CHARS_MAX and "\0" not in stated
