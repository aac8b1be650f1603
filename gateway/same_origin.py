"""Whether a request that changes something comes from one of our own pages, in the session whose cookie it carries."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from gateway.people.cookies import CSRF_HEADER, csrf_token, session_secret
from gateway.people.public_origin import public_origin_of


def is_own(request: Request) -> bool:
    """A page of another site cannot send this: its Origin is its own, JSON is no form, and it knows no token."""
    token = request.headers.get(CSRF_HEADER, "")
    secret = session_secret(request)
    return is_own_page(request) and secret != "" and hmac.compare_digest(token.encode(), csrf_token(secret).encode())


def is_own_page(request: Request) -> bool:
    """The same of who is not signed in yet, and has no token: for sign-in alone."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return (
        public_origin_of(request).is_origin_of(request)
        and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
        and kind == "application/json"
    )
