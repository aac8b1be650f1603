"""A request by which somebody does something about people: of our own page, small, and read strictly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from emr_store.connect import StoreError, is_forbidden
from gateway.answers import HEADERS
from gateway.same_origin import is_own

BODY_BYTES_MAX = 16_384
Wish = TypeVar("Wish")


class RefusedError(Exception):
    """Nothing was done; `word` says why, and the page has the sentence."""

    def __init__(self, word: str, status: int = 400) -> None:
        super().__init__(word)
        self.word, self.status = word, status


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a request that says all by its path."""


def posting(
    deed: Callable[[Request, Wish], Response], wish: type[Wish], own: Callable[[Request], bool] = is_own
) -> Callable[[Request], Awaitable[Response]]:
    """What `deed` answers; it raises RefusedError and StoreError."""

    def do(request: Request, wished: Wish) -> Response:
        try:
            return deed(request, wished)
        except RefusedError as refusal:
            return refused(refusal.word, refusal.status)
        except StoreError as error:
            return refused("no_right", 403) if is_forbidden(error) else refused("store_away", 503)

    async def answer(request: Request) -> Response:
        if not own(request):
            return refused("not_own", 403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return refused("too_long", 413)
        try:
            wished = msgspec.json.decode(body, type=wish)
        except (msgspec.MsgspecError, ValueError):
            return refused("unreadable", 400)
        return await run_in_threadpool(do, request, wished)

    return answer


def refused(word: str, status: int) -> Response:
    """A word for the page."""
    return as_json({"refused": word}, status)


def done() -> Response:
    """There is nothing to say."""
    return Response(status_code=204, headers=HEADERS)


def as_json(found: Any, status: int = 200) -> Response:
    """An answer that nobody keeps."""
    body = found if isinstance(found, bytes) else msgspec.json.encode(found)
    return Response(body, status, media_type="application/json", headers=HEADERS)
