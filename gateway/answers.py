"""What the store says, as a page asks for it: 404 for nothing, 503 while the store is away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from emr_store.connect import StoreError, open_store

# Its own scripts, styles and pictures, nothing from anywhere else.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
Answering = Callable[[Request], Response]


class Answers:
    """From the store at `conninfo`."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    def json(self, ask: Callable[[Any, Request], dict[str, Any] | None]) -> Answering:
        """What `ask` finds, with a connection."""

        def answer(request: Request) -> Response:
            try:
                with open_store(self._conninfo) as conn:
                    found = ask(conn, request)
            except StoreError:
                found, status = None, 503
            else:
                status = 404 if found is None else 200
            return Response(msgspec.json.encode(found or {}), status, media_type="application/json", headers=HEADERS)

        return answer

    def file(
        self, draw: Callable[[Any, Request], bytes | None], media_type: str, headers: Mapping[str, str] = HEADERS
    ) -> Answering:
        """What `draw` makes, with a connection."""

        def answer(request: Request) -> Response:
            try:
                with open_store(self._conninfo) as conn:
                    found = draw(conn, request)
            except StoreError:
                return Response(status_code=503, headers=HEADERS)
            if found is None:
                return Response(status_code=404, headers=HEADERS)
            return Response(found, media_type=media_type, headers=headers)

        return answer
