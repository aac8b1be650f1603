"""An OpenID provider as OpenID Connect Core 1.0 and Back-Channel Logout 1.0 write it, which can also lie.

Whoever comes to /authorize is signed in as `person` without a question.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import StrEnum
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode

from aiohttp import BasicAuth, web
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.registry import HeaderParameter

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_TOKEN_LASTS_S = 120


class Lie(StrEnum):
    """What is wrong with the tokens that it signs."""

    ALG_NONE = "alg none"
    HS256_WITH_PUBLIC_KEY = "HS256, with the public key as the secret"
    HS256_WITH_CLIENT_SECRET = "HS256, with the client's secret"
    UNKNOWN_KID = "a kid that is not published"
    FOREIGN_KEY = "another key under the published kid"
    JKU = "the address of its key in the header"
    X5U = "the address of its certificate in the header"
    JWK = "its key in the header"
    NO_SIGNATURE = "an empty signature"
    CHANGED = "claims that were changed after it was signed"
    CRITICAL = "a critical header that nobody knows"
    ISSUER = "another issuer"
    AUDIENCE = "another audience"
    MANY_AUDIENCES = "a second audience and no authorised party"
    AUTHORISED_PARTY = "another authorised party"
    EXPIRED = "it expired"
    NO_EXPIRY = "no expiry"
    FUTURE = "issued in the future"
    NO_SUBJECT = "no subject"
    # Of ID tokens:
    NONCE = "another nonce"
    NO_NONCE = "no nonce"
    LOGOUT_TYPE = "of the type of a logout token"
    NO_STAFF = "no staff number"
    DISPLAY_STAFF = "the name of a display as a staff number"
    NO_AUTH_TIME = "no time of the sign-in there"
    OLD_AUTH_TIME = "a sign-in there of an hour ago"
    FUTURE_AUTH_TIME = "a sign-in there that is still to come"
    # Of logout tokens:
    ID_TYPE = "of no type of its own"
    NO_EVENTS = "no events"
    OTHER_EVENT = "another event"
    WITH_NONCE = "a nonce"
    NO_TOKEN_ID = "no jti"


OF_ID_TOKENS = tuple(lie for lie in Lie if lie not in (Lie.ID_TYPE, Lie.NO_EVENTS, Lie.OTHER_EVENT, Lie.WITH_NONCE,
                                                       Lie.NO_TOKEN_ID))  # fmt: skip
OF_LOGOUT_TOKENS = tuple(lie for lie in Lie if lie not in (Lie.NONCE, Lie.NO_NONCE, Lie.LOGOUT_TYPE, Lie.NO_STAFF,
                                                           Lie.DISPLAY_STAFF, Lie.NO_AUTH_TIME, Lie.OLD_AUTH_TIME,
                                                           Lie.FUTURE_AUTH_TIME))  # fmt: skip


@dataclass
class Person:
    """Whoever comes to /authorize. `acr`, `amr`: how he proved himself; empty: not said."""

    staff: str
    subject: str = "subject-1"
    session: str = "sid-1"
    acr: str = ""
    amr: tuple[str, ...] = ()


@dataclass
class _Grant:
    client_redirect: str
    nonce: str
    challenge: str


@dataclass
class Simulator:
    """The provider. `clock_off_s`: by so much its clock is ahead; `is_away`: it answers 503."""

    issuer: str
    client_id: str
    client_secret: str
    person: Person
    algorithm: str = "RS256"
    lie: Lie | None = None
    clock_off_s: float = 0.0
    is_away: bool = False
    key_requests: int = 0
    _codes: dict[str, _Grant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.new_keys()

    def new_keys(self) -> None:
        """As providers rotate them."""
        self._rsa = RSAKey.generate_key(2048, {"kid": f"rsa-{secrets.token_hex(4)}", "use": "sig"})
        self._ec = ECKey.generate_key("P-256", {"kid": f"ec-{secrets.token_hex(4)}", "use": "sig"})

    @property
    def now_s(self) -> float:
        """By its own clock."""
        return time.time() + self.clock_off_s

    def application(self) -> web.Application:
        """To be served."""
        app = web.Application(middlewares=[self._answer])
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/keys", self._keys)
        return app

    def id_token(self, nonce: str) -> str:
        """Of the person."""
        now = int(self.now_s)
        claims: dict[str, Any] = {
            "iss": self.issuer, "aud": self.client_id, "sub": self.person.subject, "sid": self.person.session,
            "iat": now, "exp": now + _TOKEN_LASTS_S, "nonce": nonce, "preferred_username": self.person.staff,
            "auth_time": now,
        }  # fmt: skip
        if self.person.acr:
            claims["acr"] = self.person.acr
        if self.person.amr:
            claims["amr"] = list(self.person.amr)
        return self._signed(claims, "logout+jwt" if self.lie is Lie.LOGOUT_TYPE else "JWT")

    def logout_token(self, *, subject: str | None = None, session: str | None = None) -> str:
        """That ends a session, or all of somebody's."""
        now = int(self.now_s)
        claims: dict[str, Any] = {
            "iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + _TOKEN_LASTS_S,
            "jti": secrets.token_urlsafe(16), "events": {LOGOUT_EVENT: {}},
        }  # fmt: skip
        claims |= {name: value for name, value in (("sub", subject), ("sid", session)) if value is not None}
        return self._signed(claims, "JWT" if self.lie is Lie.ID_TYPE else "logout+jwt")

    # --- tokens ---

    def _signed(self, claims: dict[str, Any], kind: str) -> str:
        self._falsify(claims)
        key = self._rsa if self.algorithm == "RS256" else self._ec
        header: dict[str, Any] = {"alg": self.algorithm, "kid": key.kid, "typ": kind}
        foreign: Any = RSAKey.generate_key(2048) if self.algorithm == "RS256" else ECKey.generate_key("P-256")
        match self.lie:
            case Lie.ALG_NONE:
                return f"{_part(header | {'alg': 'none'})}.{_part(claims)}."
            case Lie.HS256_WITH_PUBLIC_KEY:
                return _hs256(header, claims, key.as_pem(private=False))
            case Lie.HS256_WITH_CLIENT_SECRET:
                return _hs256(header, claims, self.client_secret.encode())
            case Lie.UNKNOWN_KID:
                return jwt.encode(header | {"kid": "unknown"}, claims, foreign)
            case Lie.FOREIGN_KEY:
                return jwt.encode(header, claims, foreign)
            case Lie.JKU:
                return jwt.encode(header | {"jku": f"{self.issuer}/keys"}, claims, foreign)
            case Lie.X5U:
                return jwt.encode(header | {"x5u": f"{self.issuer}/keys"}, claims, foreign)
            case Lie.JWK:
                return jwt.encode(header | {"jwk": foreign.as_dict(private=False)}, claims, foreign)
            case Lie.CRITICAL:
                return _critical(header, claims, key, self.algorithm)
        signed = jwt.encode(header, claims, key)
        first, second, third = signed.split(".")
        if self.lie is Lie.NO_SIGNATURE:
            return f"{first}.{second}."
        if self.lie is Lie.CHANGED:
            return f"{first}.{_part(claims | {'sub': 'another'})}.{third}"
        return signed

    def _falsify(self, claims: dict[str, Any]) -> None:
        changed: dict[Lie, dict[str, Any]] = {
            Lie.ISSUER: {"iss": "https://evil.example"},
            Lie.AUDIENCE: {"aud": "another"},
            Lie.MANY_AUDIENCES: {"aud": [self.client_id, "another"]},
            Lie.AUTHORISED_PARTY: {"aud": [self.client_id, "another"], "azp": "another"},
            Lie.EXPIRED: {"iat": claims["iat"] - 7200, "exp": claims["exp"] - 7200},
            Lie.FUTURE: {"iat": claims["iat"] + 7200, "exp": claims["exp"] + 7200},
            Lie.NONCE: {"nonce": "another"},
            Lie.OLD_AUTH_TIME: {"auth_time": claims["iat"] - 3600},
            Lie.FUTURE_AUTH_TIME: {"auth_time": claims["iat"] + 3600},
            Lie.DISPLAY_STAFF: {"preferred_username": "display:1"},
            Lie.OTHER_EVENT: {"events": {"http://schemas.openid.net/event/other": {}}},
            Lie.WITH_NONCE: {"nonce": "any"},
        }
        absent = {
            Lie.NO_EXPIRY: ("exp",), Lie.NO_SUBJECT: ("sub", "sid"), Lie.NO_NONCE: ("nonce",),
            Lie.NO_STAFF: ("preferred_username",), Lie.NO_EVENTS: ("events",), Lie.NO_TOKEN_ID: ("jti",),
            Lie.NO_AUTH_TIME: ("auth_time",),
        }  # fmt: skip
        if self.lie is not None:
            claims.update(changed.get(self.lie, {}))
            for name in absent.get(self.lie, ()):
                claims.pop(name, None)

    # --- HTTP ---

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = web.Response(status=503) if self.is_away else await handler(request)
        answer.headers["Date"] = formatdate(self.now_s, usegmt=True)
        return answer

    async def _discovery(self, request: web.Request) -> web.Response:
        return web.json_response({
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"], "code_challenge_methods_supported": ["S256"],
            "backchannel_logout_supported": True, "backchannel_logout_session_supported": True,
        })  # fmt: skip

    async def _keys(self, request: web.Request) -> web.Response:
        self.key_requests += 1
        return web.json_response({"keys": [key.as_dict(private=False) for key in (self._rsa, self._ec)]})

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = request.query
        is_right = (
            asked.get("client_id") == self.client_id and asked.get("response_type") == "code"
            and asked.get("code_challenge_method") == "S256" and "openid" in asked.get("scope", "").split()
        )  # fmt: skip
        if not is_right or not asked.get("nonce") or not asked.get("state"):
            return web.Response(status=400)
        code = secrets.token_urlsafe(16)
        self._codes[code] = _Grant(asked["redirect_uri"], asked["nonce"], asked["code_challenge"])
        query = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        return web.Response(status=302, headers={"Location": f"{asked['redirect_uri']}?{query}"})

    async def _token(self, request: web.Request) -> web.Response:
        given = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        client = BasicAuth.decode(request.headers.get("Authorization", "Basic Og=="))
        if (client.login, client.password) != (self.client_id, self.client_secret):
            return web.json_response({"error": "invalid_client"}, status=401)
        grant = self._codes.pop(given.get("code", ""), None)
        challenge = urlsafe_b64encode(sha256(given.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        if grant is None or grant.client_redirect != given.get("redirect_uri") or grant.challenge != challenge:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({
            "access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 60,
            "id_token": self.id_token(grant.nonce),
        })  # fmt: skip


def _part(value: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _hs256(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """By hand: libraries refuse a public key as a secret."""
    signed = f"{_part(header | {'alg': 'HS256'})}.{_part(claims)}"
    mac = hmac.new(secret, signed.encode(), sha256).digest()
    return f"{signed}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


def _critical(header: dict[str, Any], claims: dict[str, Any], key: Any, algorithm: str) -> str:
    of_nobody = {"urn:x": HeaderParameter("of nobody", "str")}
    registry = jws.JWSRegistry(header_registry=of_nobody, algorithms=[algorithm])
    said = header | {"crit": ["urn:x"], "urn:x": "1"}
    return jws.serialize_compact(said, json.dumps(claims), key, registry=registry)
