"""What the store says, as a page asks for it: 404 for nothing, 403 where it may not be, 503 while the store is away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from emr_store.connect import StoreError, open_store
from gateway.answer_headers import HEADERS
from gateway.asking import REFUSED_BODY
from gateway.permission import AccessRefusedError

__all__ = ["HEADERS", "Answering", "Answers", "as_json"]
Answering = Callable[[Request], Response]
_JSON = "application/json"


def as_json(found: Any, status: int = 200) -> Response:
    """An answer that nobody keeps; bytes are JSON already."""
    body = found if isinstance(found, bytes) else msgspec.json.encode(found)
    return Response(body, status, media_type=_JSON, headers=HEADERS)


class Answers:
    """From the store at `conninfo`."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    def json(self, ask: Callable[[Any, Request], object]) -> Answering:
        """What `ask` finds, with a connection; None: it is not there.

        It raises AccessRefusedError where it may not be seen.
        """

        def answer(request: Request) -> Response:
            try:
                with open_store(self._conninfo) as conn:
                    found = ask(conn, request)
            except StoreError:
                return Response(b"{}", 503, media_type=_JSON, headers=HEADERS)
            except AccessRefusedError as refused:
                return refused.response
            if found is None:
                return Response(REFUSED_BODY, 404, media_type=_JSON, headers=HEADERS)
            return Response(msgspec.json.encode(found), media_type=_JSON, headers=HEADERS)

        return answer

    def file(
        self,
        draw: Callable[[Any, Request], bytes | None],
        media_type: str,
        headers: Mapping[str, str] = HEADERS,
    ) -> Answering:
        """What `draw` makes, likewise."""

        def answer(request: Request) -> Response:
            try:
                with open_store(self._conninfo) as conn:
                    found = draw(conn, request)
            except StoreError:
                return Response(status_code=503, headers=HEADERS)
            except AccessRefusedError as refused:
                return refused.response
            if found is None:
                return Response(REFUSED_BODY, 404, media_type=_JSON, headers=HEADERS)
            return Response(found, media_type=media_type, headers=headers)

        return answer
