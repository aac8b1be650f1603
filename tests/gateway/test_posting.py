"""What pages send: that it is read strictly, and how a deed's end becomes an answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from emr_store.connect import StoreError
from gateway.permission import AccessRefusedError
from gateway.posting import BodyLimit, RefusedError, done, posting


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a page would like."""

    text: str


def post(body: bytes, end: Exception | None = None, *, own: bool = True) -> tuple[int, Any]:
    """What a page is answered; `end`: how the deed ends."""

    def deed(request: Request, wish: Wish) -> Response:
        if end is not None:
            raise end
        return done()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    endpoint = posting(deed, Wish, own=lambda request: own, limit=BodyLimit(40, "too_long"))
    answer = asyncio.run(endpoint(Request({"type": "http", "method": "POST", "headers": []}, receive)))
    return answer.status_code, json.loads(answer.body)["refused"] if answer.body else None


def test_a_deed_is_done() -> None:
    assert post(b'{"text": "now"}') == (204, None)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"text": 1}', b'{"text": "", "x": 1}', b'{"text": "\\u0000"}', b"\xff"]
)
def test_what_is_no_wish_is_unreadable(body: bytes) -> None:
    assert post(body) == (400, "unreadable")


def test_a_wish_of_another_page_or_too_long_a_one_is_not_even_read() -> None:
    assert post(b"{", own=False) == (403, "not_own")
    assert post(b"{" + b" " * 40) == (413, "too_long")


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        (RefusedError("changed"), (409, "changed")),
        (RefusedError("no_reason"), (400, "no_reason")),
        (RefusedError("no_access", 404), (404, "no_access")),
        (AccessRefusedError(), (403, "no_access")),
        (StoreError("away"), (503, "store_away")),
    ],
)
def test_a_refusal_says_its_word_and_status(end: Exception, answer: tuple[int, str]) -> None:
    assert post(b'{"text": "now"}', end) == answer
