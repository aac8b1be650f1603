"""What an OpenID provider says in signed tokens: who signed in, and whose sessions end. Each doubt refuses.

OpenID Connect Core 1.0, section 3.1.3.7; Back-Channel Logout 1.0, sections 2.4 and 2.6; RFC 8725.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

Key = RSAKey | ECKey
ALGORITHMS = ("RS256", "ES256")
LEEWAY_S = 60  # a clock that is off by no more is taken
TOKEN_CHARS_MAX = 16_384
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
# Nothing else may stand in a header: not where a key lies (jku, x5u), not a key (jwk, x5c).
_HEADERS = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
_LOGOUT_LASTS_S = 600  # from `iat` on


class Refused(StrEnum):
    """Why a token is not taken: for the log and the counter, never for who sent it."""

    UNREADABLE = "unreadable"
    ALGORITHM = "algorithm"
    HEADER = "header"
    TYPE = "type"
    KEY = "key"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    AUTHORISED_PARTY = "authorised_party"
    EXPIRED = "expired"
    ISSUED_AT = "issued_at"
    NOT_YET = "not_yet"
    NONCE = "nonce"
    SUBJECT = "subject"
    STAFF = "staff"  # the claim that holds the staff number
    EVENTS = "events"
    TOKEN_ID = "token_id"
    REPLAYED = "replayed"
    STATE = "state"
    CODE = "code"  # the provider gives no token for it
    NOBODY = "nobody"  # who works here has no such number
    CLOCK = "clock"
    STRENGTH = "strength"  # of the sign-in there: less than the site requires
    AUTH_TIME = "auth_time"  # it does not say when somebody proved himself there, or that was too long ago
    ANOTHER_ACCOUNT = "another_account"  # this number is another account's, or this account another number's


class TokenRefusedError(Exception):
    """With the reason."""

    def __init__(self, reason: Refused) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Expected:
    """Whose tokens are taken, for whom. `staff_claim` holds the staff number.

    `acr`: one of these must be what the sign-in was; empty: any. `amr`: by all of these somebody proved himself.
    `max_age_s`: before which he proved himself there, at most.
    """

    issuer: str
    client_id: str
    staff_claim: str = "preferred_username"
    acr: tuple[str, ...] = ()
    amr: tuple[str, ...] = ()
    max_age_s: int = 0


@dataclass(frozen=True)
class Identity:
    """Who signed in at the provider."""

    staff: str
    subject: str
    session: str | None  # sid


@dataclass(frozen=True)
class Logout:
    """Whose sessions end: of `session`, else all of `subject`."""

    token_id: str
    subject: str | None
    session: str | None


FindKey = Callable[[str | None, str], Key | None]  # by kid and algorithm


def identity_of(token: str, expected: Expected, nonce: str, find_key: FindKey, now_s: float) -> Identity:
    """Of an ID token. Raises TokenRefusedError."""
    claims = _claims(token, expected, find_key, now_s, types=(None, "jwt"))
    if not hmac.compare_digest(_text(claims, "nonce").encode(), nonce.encode()) or not nonce:
        raise TokenRefusedError(Refused.NONCE)
    staff, subject = _text(claims, expected.staff_claim).strip(), _text(claims, "sub")
    if not subject or len(subject) > 255:
        raise TokenRefusedError(Refused.SUBJECT)
    # What else signs in stands in this column too: "display:..." and the like are no staff numbers.
    if not staff or ":" in staff or len(staff) > 100:
        raise TokenRefusedError(Refused.STAFF)
    _check_strength(claims, expected)
    _check_age(claims, expected, now_s)
    return Identity(staff, subject, _text(claims, "sid") or None)


def logout_of(token: str, expected: Expected, find_key: FindKey, now_s: float) -> Logout:
    """Of a logout token; whether it was used before is the caller's to know. Raises TokenRefusedError."""
    claims = _claims(token, expected, find_key, now_s, types=("logout+jwt",))
    if now_s - _number(claims, "iat", Refused.ISSUED_AT) > _LOGOUT_LASTS_S:
        raise TokenRefusedError(Refused.ISSUED_AT)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise TokenRefusedError(Refused.EVENTS)
    if "nonce" in claims:  # else an ID token could be used as one
        raise TokenRefusedError(Refused.NONCE)
    found = Logout(_text(claims, "jti"), _text(claims, "sub") or None, _text(claims, "sid") or None)
    if not found.token_id or len(found.token_id) > 255:
        raise TokenRefusedError(Refused.TOKEN_ID)
    if found.subject is None and found.session is None:
        raise TokenRefusedError(Refused.SUBJECT)
    return found


def _claims(
    token: str, expected: Expected, find_key: FindKey, now_s: float, types: tuple[str | None, ...]
) -> Mapping[str, Any]:
    """Signed by the provider for us, now."""
    header = _header(token)
    if header.get("alg") not in ALGORITHMS:
        raise TokenRefusedError(Refused.ALGORITHM)
    if not header.keys() <= _HEADERS:
        raise TokenRefusedError(Refused.HEADER)
    kind = header.get("typ")
    if (kind.lower().removeprefix("application/") if isinstance(kind, str) else kind) not in types:
        raise TokenRefusedError(Refused.TYPE)
    kid = header.get("kid")
    key = find_key(kid, header["alg"]) if kid is None or isinstance(kid, str) else None
    if key is None:
        raise TokenRefusedError(Refused.KEY)
    try:
        claims = jwt.decode(token, key, algorithms=[header["alg"]]).claims
    except (JoseError, ValueError, TypeError):
        raise TokenRefusedError(Refused.SIGNATURE) from None
    _check_parties(claims, expected)
    _check_times(claims, now_s)
    return claims


def _header(token: str) -> dict[str, Any]:
    """Not believed yet: by it the key is chosen, out of those that the provider publishes."""
    first, dot, rest = token.partition(".")
    try:
        if not dot or rest.count(".") != 1 or len(token) > TOKEN_CHARS_MAX:
            raise ValueError
        header = json.loads(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError):
        raise TokenRefusedError(Refused.UNREADABLE) from None
    if not isinstance(header, dict):
        raise TokenRefusedError(Refused.UNREADABLE)
    return header


def _check_parties(claims: Mapping[str, Any], expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        raise TokenRefusedError(Refused.ISSUER)
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or expected.client_id not in audiences:
        raise TokenRefusedError(Refused.AUDIENCE)
    party = claims.get("azp")
    if (party is None and len(audiences) > 1) or (party is not None and party != expected.client_id):
        raise TokenRefusedError(Refused.AUTHORISED_PARTY)


def _check_times(claims: Mapping[str, Any], now_s: float) -> None:
    if now_s >= _number(claims, "exp", Refused.EXPIRED) + LEEWAY_S:
        raise TokenRefusedError(Refused.EXPIRED)
    if _number(claims, "iat", Refused.ISSUED_AT) > now_s + LEEWAY_S:
        raise TokenRefusedError(Refused.ISSUED_AT)
    if "nbf" in claims and _number(claims, "nbf", Refused.NOT_YET) > now_s + LEEWAY_S:
        raise TokenRefusedError(Refused.NOT_YET)


def _check_strength(claims: Mapping[str, Any], expected: Expected) -> None:
    """OpenID Connect Core 1.0, section 3.1.3.7, 12; RFC 8176 has names of methods."""
    if expected.acr and claims.get("acr") not in expected.acr:
        raise TokenRefusedError(Refused.STRENGTH)
    methods = claims.get("amr")
    if any(not isinstance(methods, list) or method not in methods for method in expected.amr):
        raise TokenRefusedError(Refused.STRENGTH)


def _check_age(claims: Mapping[str, Any], expected: Expected, now_s: float) -> None:
    """OpenID Connect Core 1.0, section 3.1.3.7, 13: `max_age` was asked for."""
    proved_s = _number(claims, "auth_time", Refused.AUTH_TIME)
    if not now_s - expected.max_age_s - LEEWAY_S <= proved_s <= now_s + LEEWAY_S:
        raise TokenRefusedError(Refused.AUTH_TIME)


def _number(claims: Mapping[str, Any], name: str, reason: Refused) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise TokenRefusedError(reason)
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
