"""Who was refused is said in the log: whose session, from which machine, at which door. No number of a patient.

Of what may not be seen the answer is the same as of what is not there, so that both have a line; and so has input that
cannot be read.
"""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = structlog.get_logger("gateway")
_WITHOUT_PROOF, _NOT_THERE = 401, 404
_REFUSED = (400, 403, 413, 414, 415, 429)
# Who shows nothing at all is a page whose session ended, and asks again every few seconds: that is not worth a line.
_PROVING = ("/sign-in/", "/token")


class RefusalLog:
    """ASGI middleware, around those that find out who asks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Says it as the answer begins."""

        async def send_and_say(message: Message) -> None:
            if message["type"] == "http.response.start":
                _say(scope, message["status"])
            await send(message)

        await self._app(scope, receive, send_and_say if scope["type"] == "http" else send)


def _say(scope: Scope, status: int) -> None:
    request = Request(scope)
    is_proving = request.url.path.startswith(_PROVING) or "authorization" in request.headers
    asking, has_route = scope.get("state", {}).get("asking"), "endpoint" in scope
    is_unseen = status == _NOT_THERE and has_route and asking is not None
    if status not in _REFUSED and not is_unseen and not (status == _WITHOUT_PROOF and is_proving):
        return
    # The first part of a path that a route has: what follows may be the number of a patient, or the secret of a link.
    door = f"/{request.url.path.split('/')[1]}" if has_route else ""
    _log.info(
        "a request is refused",
        status=status, who=asking.viewer.id if asking is not None else "", door=door, method=request.method,
        host=request.client.host if request.client else "",
    )  # fmt: skip
