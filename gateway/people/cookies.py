"""The cookies of the pages, and the token that an act must carry beside the session's cookie.

SameSite is Lax, not Strict: after the provider's sign-in the browser comes back from another site, and a link in the
hospital's other systems must open a patient without a second sign-in. What changes something does not rely on it: it
needs our Origin and the token (gateway/same_origin.py).
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from starlette.requests import HTTPConnection
from starlette.responses import Response

from gateway.people.public_origin import PublicOrigin, public_origin_of
from gateway.people.sessions import COOKIE

SECURE_COOKIE = "__Host-vitalwire"  # RFC 6265bis, section 4.1.3.2: Secure, Path=/, no Domain
CSRF_HEADER = "X-CSRF-Token"
_WORKSTATION_S = 400 * 86_400  # the longest that browsers keep one (RFC 6265bis, section 5.5)


def session_cookie(public: PublicOrigin) -> str:
    """The name of the session's cookie: plain HTTP on loopback cannot have the prefix."""
    return SECURE_COOKIE if public.is_https else COOKIE


def session_secret(request: HTTPConnection) -> str:
    """Of the browser that asks; "" where it has none."""
    return request.cookies.get(session_cookie(public_origin_of(request)), "")


def csrf_token(secret: str) -> str:
    """Bound to the session: who cannot read its cookie's value or its pages does not know it."""
    return hmac.new(secret.encode(), b"vitalwire csrf", sha256).hexdigest()


def set_session(response: Response, public: PublicOrigin, secret: str, lasts_s: int | None = None) -> None:
    """Until the browser ends, or so long; the session's own end is kept by the store."""
    _set(response, public, session_cookie(public), secret, lasts_s)


def end_session(response: Response, public: PublicOrigin) -> None:
    """The browser forgets it."""
    _set(response, public, session_cookie(public), "", 0)


def workstation_of(request: HTTPConnection) -> str:
    """Which browser it is, by a cookie of its own; a new name where it has none."""
    found = request.cookies.get(_workstation_cookie(public_origin_of(request)), "")
    return found if 16 <= len(found) <= 64 and found.isascii() else secrets.token_urlsafe(16)


def set_workstation(response: Response, public: PublicOrigin, workstation: str) -> None:
    """It outlives sessions: by it a workstation knows who sat there before."""
    _set(response, public, _workstation_cookie(public), workstation, _WORKSTATION_S)


def set_passing(response: Response, public: PublicOrigin, name: str, value: str, seconds: int) -> None:
    """What a browser brings back within one sign-in; no seconds: it forgets it."""
    _set(response, public, _prefixed(public, name), value, seconds)


def passing(request: HTTPConnection, name: str) -> str:
    """What `set_passing` gave it; "" where it has nothing."""
    return request.cookies.get(_prefixed(public_origin_of(request), name), "")


def _workstation_cookie(public: PublicOrigin) -> str:
    return _prefixed(public, "workstation")


def _prefixed(public: PublicOrigin, name: str) -> str:
    return f"{session_cookie(public)}-{name}"


def _set(response: Response, public: PublicOrigin, name: str, value: str, max_age_s: int | None) -> None:
    response.set_cookie(
        name, value, max_age=max_age_s, path="/", secure=public.is_https, httponly=True, samesite="lax"
    )  # fmt: skip
