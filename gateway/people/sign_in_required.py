"""Nobody gets past who is not signed in: a page sends him to sign in, everything else is refused."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.answers import HEADERS
from gateway.asking import REFUSED_BODY, Asking
from gateway.looks import Looks
from gateway.people.cookies import session_secret
from gateway.people.machine_routes import api_refusal, is_api
from gateway.people.public_origin import PublicOrigin
from gateway.people.sessions import Sessions, SignedIn
from runtime.clock import now_us

SIGN_IN = "/sign-in"


class SignInRequired:
    """ASGI middleware. `is_open(path)`: what is for everybody: sign-in itself, scripts and styles."""

    def __init__(
        self, app: ASGIApp, sessions: Sessions, looks: Looks, is_open: Callable[[str], bool],
        public_origin: PublicOrigin | None = None,
    ) -> None:  # fmt: skip
        self._app, self._sessions, self._looks, self._is_open = app, sessions, looks, is_open
        self._public_origin = public_origin or PublicOrigin()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Puts an Asking into the request's state."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["public_origin"] = self._public_origin
        if self._is_open(scope["path"]) or "asking" in scope["state"]:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        secret = session_secret(request)
        signed_in = await run_in_threadpool(self._current, request, secret) if secret else None
        if signed_in is None:
            await _refusal(request)(scope, receive, send)
            return
        address = request.client.host if request.client else ""
        scope["state"]["asking"] = Asking(signed_in.viewer, address, now_us(), self._looks)
        scope["state"]["signed_in"] = signed_in
        await self._app(scope, receive, send)

    def _current(self, request: Request, secret: str) -> SignedIn | None:
        signed_in = self._sessions.current(secret)
        # Nobody types a command but a person: each is a touch.
        if signed_in is not None and (signed_in.is_command_line or is_of_a_person(request)):
            self._sessions.touch(signed_in)
        return signed_in


def is_of_a_person(request: Request) -> bool:
    """Whether somebody did something: went to a page, or acted. What a page asks by itself keeps no session."""
    return request.method == "POST" or request.headers.get("sec-fetch-mode") == "navigate"


def _refusal(request: Request) -> Response:
    if is_api(request.url.path):
        return api_refusal(request)
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"{SIGN_IN}?to={quote(request.url.path)}", 303, HEADERS)
    return Response(REFUSED_BODY, 401, media_type="application/json", headers=HEADERS)
