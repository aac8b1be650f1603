"""What people do on pages: a request of our own page, done by the role clerk, or refused in a word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from emr_store.connect import StoreError, is_forbidden, open_store
from gateway.permission import AccessRefusedError
from gateway.same_origin import is_own

BODY_BYTES_MAX = 8192
_STATUS = {
    "not_allowed": 403,
    "own_review": 403,
    "not_open": 409,
    "archived": 409,
    "changed": 409,
    "taken": 409,
    "confirmed_already": 409,
    "in_error": 409,
    "other_key": 409,
    "key_not_taken": 409,
}
# With a connection; None: done. It raises AccessRefusedError.
Deed = Callable[[Any, Request, bytes], StrEnum | None]


def acting(
    clerk_conninfo: str, deed: Deed, headers: dict[str, str], bytes_max: int = BODY_BYTES_MAX
) -> Callable[[Request], Awaitable[Response]]:
    """It is done: 204; else `refused` says in a word why not."""

    def refused(why: str, status: int) -> Response:
        answer = msgspec.json.encode({"refused": why})
        return Response(answer, status, media_type="application/json", headers=headers)

    def do(request: Request, body: bytes) -> Response:
        try:
            with open_store(clerk_conninfo) as conn:
                refusal = deed(conn, request, body)
        except AccessRefusedError as error:
            return error.response
        except StoreError as error:
            if is_forbidden(error):
                return refused("no_right", 403)
            return refused("store_away", 503)
        if refusal is None:
            return Response(status_code=204, headers=headers)
        return refused(refusal, _STATUS.get(refusal, 400))

    async def answer(request: Request) -> Response:
        if not is_own(request):
            return refused("not_own", 403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > bytes_max:
                return refused("reason_too_long", 413)
        return await run_in_threadpool(do, request, body)

    return answer
