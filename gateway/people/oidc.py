"""The client of an OpenID provider: discovery, the code flow with PKCE, its keys, how far its clock is from ours."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import structlog
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.people.oidc_tokens import (
    Expected,
    Identity,
    Key,
    Logout,
    Refused,
    TokenRefusedError,
    identity_of,
    logout_of,
)
from runtime.tls import client_context, is_loopback

KEYS_AGAIN_S = 60.0  # an unknown kid asks for the keys anew, and no sooner than this after the last time
DISCOVERY_LASTS_S = 3600.0
CLOCK_OFF_S = 60.0
TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 262_144
RSA_BITS_MIN = 2048
_log = structlog.get_logger("sign_in")


class ProviderAwayError(Exception):
    """It does not answer, or not as a provider does; with what is wrong."""


@dataclass(frozen=True)
class Provider:
    """As the site's file names it. `ca`: whose certificates it has; None: the system's.

    `acr`, `amr`, `max_age_s`: what a sign-in there must be (Expected).
    """

    issuer: str
    client_id: str
    client_secret: str
    scopes: tuple[str, ...] = ("openid", "profile")
    staff_claim: str = "preferred_username"
    ca: Path | None = None
    acr: tuple[str, ...] = ()
    amr: tuple[str, ...] = ()
    max_age_s: int = 0

    @property
    def expected(self) -> Expected:
        """Whose tokens are taken."""
        return Expected(self.issuer, self.client_id, self.staff_claim, self.acr, self.amr, self.max_age_s)


@dataclass(frozen=True)
class Begun:
    """A sign-in on its way: where the browser goes, and what it must bring back."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class _Discovered:
    authorization: str
    token: str
    keys: str
    read_s: float  # monotonic


class OpenIdProvider:
    """Its methods ask the network, and block; several threads may call them."""

    def __init__(self, provider: Provider, now_s: Callable[[], float] = time.time) -> None:
        self.provider, self._now_s = provider, now_s
        self._lock = threading.Lock()
        self._discovered: _Discovered | None = None
        self._keys: list[tuple[str | None, Key]] = []
        self._keys_read_s = float("-inf")
        self._clock_off_s = 0.0
        beyond = not is_loopback(urlsplit(provider.issuer).hostname or "")
        verify = client_context(provider.ca) if beyond or provider.ca else False
        self._client = httpx.Client(timeout=TIMEOUT_S, verify=verify, follow_redirects=False, trust_env=False)

    def begin(self, redirect_uri: str) -> Begun:
        """Raises ProviderAwayError."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        asked = {
            "response_type": "code", "client_id": self.provider.client_id, "redirect_uri": redirect_uri,
            "scope": " ".join(self.provider.scopes), "state": state, "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256",
            "max_age": str(self.provider.max_age_s),
        }  # fmt: skip
        if self.provider.max_age_s == 0:
            asked["prompt"] = "login"  # there are providers to whom a max_age of 0 is none
        if self.provider.acr:
            asked["acr_values"] = " ".join(self.provider.acr)
        query = urlencode(asked)
        address = self._discover().authorization
        return Begun(f"{address}{'&' if '?' in address else '?'}{query}", state, nonce, verifier)

    def finish(self, code: str, redirect_uri: str, nonce: str, verifier: str) -> Identity:
        """Who it is, by the code that the browser brought back. Raises ProviderAwayError, TokenRefusedError."""
        answer = self._ask("POST", self._discover().token, data={
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier,
        }, auth=httpx.BasicAuth(self.provider.client_id, self.provider.client_secret))  # fmt: skip
        self._compare_clocks(answer)
        if answer.status_code in (400, 401):
            raise TokenRefusedError(Refused.CODE)
        token = _object(answer).get("id_token")
        if not isinstance(token, str):
            raise TokenRefusedError(Refused.UNREADABLE)
        try:
            return identity_of(token, self.provider.expected, nonce, self._find_key, self._now_s())
        except TokenRefusedError as refused:
            raise self._with_clock(refused) from None

    def logout(self, token: str) -> Logout:
        """Of a logout token that somebody posted. Raises ProviderAwayError, TokenRefusedError."""
        try:
            return logout_of(token, self.provider.expected, self._find_key, self._now_s())
        except TokenRefusedError as refused:
            raise self._with_clock(refused) from None

    def _with_clock(self, refused: TokenRefusedError) -> TokenRefusedError:
        """Of two clocks that differ a time in a token says nothing about the token."""
        is_of_time = refused.reason in (Refused.EXPIRED, Refused.ISSUED_AT, Refused.NOT_YET, Refused.AUTH_TIME)
        return TokenRefusedError(Refused.CLOCK) if is_of_time and abs(self._clock_off_s) > CLOCK_OFF_S else refused

    def _compare_clocks(self, answer: httpx.Response) -> None:
        try:
            theirs_s = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (KeyError, ValueError):
            return
        self._clock_off_s = self._now_s() - theirs_s
        if abs(self._clock_off_s) > CLOCK_OFF_S:
            _log.warning("the provider's clock differs", ahead_s=round(self._clock_off_s))

    # --- what the provider publishes ---

    def _discover(self) -> _Discovered:
        with self._lock:
            found = self._discovered
        if found is not None and time.monotonic() - found.read_s < DISCOVERY_LASTS_S:
            return found
        issuer = self.provider.issuer
        said = _object(self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
        if said.get("issuer") != issuer:
            raise ProviderAwayError("its discovery document names another issuer")
        found = _Discovered(
            authorization=self._address(said, "authorization_endpoint"),
            token=self._address(said, "token_endpoint"),
            keys=self._address(said, "jwks_uri"),
            read_s=time.monotonic(),
        )
        with self._lock:
            self._discovered = found
        return found

    def _address(self, said: dict[str, Any], name: str) -> str:
        value = said.get(name)
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is None or not (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        ):
            raise ProviderAwayError(f"its {name} is no https address")
        return str(value)

    def _find_key(self, kid: str | None, algorithm: str) -> Key | None:
        """Of those that are published; an unknown kid asks for them anew, seldom."""
        found = self._known_key(kid, algorithm)
        with self._lock:
            may_ask = found is None and time.monotonic() - self._keys_read_s >= KEYS_AGAIN_S
            if may_ask:
                self._keys_read_s = time.monotonic()
        if not may_ask:
            return found
        try:
            keys = _published(_object(self._ask("GET", self._discover().keys)))
        except ProviderAwayError:
            with self._lock:
                self._keys_read_s = float("-inf")
            raise
        with self._lock:
            self._keys = keys
        return self._known_key(kid, algorithm)

    def _known_key(self, kid: str | None, algorithm: str) -> Key | None:
        kind = RSAKey if algorithm == "RS256" else ECKey
        with self._lock:
            found = [key for name, key in self._keys if isinstance(key, kind) and (kid is None or name == kid)]
        return found[0] if len(found) == 1 else None

    def _ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        try:
            with self._client.stream(method, url, headers={"Accept": "application/json"}, **more) as answer:
                body = b""
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise ProviderAwayError("its answer is too long")
        except httpx.HTTPError as error:
            raise ProviderAwayError(type(error).__name__) from None
        return httpx.Response(answer.status_code, headers={"date": answer.headers.get("date", "")}, content=body)


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        found = None
    if answer.status_code != 200 or not isinstance(found, dict):
        raise ProviderAwayError(f"it answered {answer.status_code}, or no JSON object")
    return found


def _published(keys: dict[str, Any]) -> list[tuple[str | None, Key]]:
    """Those that can sign; what is of another kind is passed over, as RFC 7517, section 5, has it."""
    found = list[tuple[str | None, Key]]()
    for each in keys.get("keys", []) if isinstance(keys.get("keys"), list) else []:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        key = _key(each)
        if key is not None:
            kid = each.get("kid")
            found.append((kid if isinstance(kid, str) else None, key))
    return found


def _key(each: dict[str, Any]) -> Key | None:
    try:
        if each.get("kty") == "RSA":
            rsa = RSAKey.import_key({name: each[name] for name in ("kty", "n", "e")})
            return rsa if rsa.raw_value.key_size >= RSA_BITS_MIN else None
        if each.get("kty") == "EC" and each.get("crv") == "P-256":
            return ECKey.import_key({name: each[name] for name in ("kty", "crv", "x", "y")})
    except (JoseError, KeyError, ValueError, TypeError):
        return None
    return None
