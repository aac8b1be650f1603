"""What pages send: of our own page, small, read strictly. It is done, or refused in a word; pages have the sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from emr_store.connect import StoreError, is_forbidden, open_store
from gateway.answers import HEADERS, as_json
from gateway.permission import AccessRefusedError
from gateway.same_origin import is_own

# By the word of a refusal; 400 for all others.
_STATUS = {
    "archived": 409,
    "changed": 409,
    "confirmed_already": 409,
    "ended_already": 409,
    "in_error": 409,
    "key_not_taken": 409,
    "key_refused": 403,
    "link_used": 403,
    "needs_enrolment": 403,
    "needs_fresh_sign_in": 403,
    "no_access": 403,
    "no_keys_here": 409,
    "no_right": 403,
    "no_such_code": 404,
    "no_such_person": 404,
    "no_such_ward": 404,
    "not_allowed": 403,
    "not_for_yourself": 403,
    "not_open": 409,
    "not_own": 403,
    "not_restricted": 409,
    "not_there": 404,
    "own_review": 403,
    "restricted_already": 409,
    "other_key": 409,
    "second_person": 409,
    "store_away": 503,
    "taken": 409,
    "too_many": 429,
    "wait": 429,
}
Wish = TypeVar("Wish", bound=msgspec.Struct)
Deed = Callable[[Request, Wish], Response]  # raises RefusedError, AccessRefusedError and StoreError
StoreDeed = Callable[[Any, Request, Wish], None]  # with a connection; it raises the same
Endpoint = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """Nothing was done; `word` says why. `status` None: as the word has it."""

    def __init__(self, word: str, status: int | None = None) -> None:
        super().__init__(word)
        self.word = word
        self.status = _STATUS.get(word, 400) if status is None else status

    @property
    def response(self) -> Response:
        """The word, for the page."""
        return as_json({"refused": self.word}, self.status)


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a request that says all by its path."""


@dataclass(frozen=True)
class BodyLimit:
    """How long a body may be, and by which word a longer one is refused (413)."""

    bytes_max: int
    word: str


SHORT = BodyLimit(16_384, "too_long")
OF_A_REASON = BodyLimit(8192, "reason_too_long")  # nothing else in it can be long


def posting(
    deed: Deed[Wish],
    wish: type[Wish],
    *,
    own: Callable[[Request], bool] = is_own,
    limit: BodyLimit = SHORT,
) -> Endpoint:
    """What `deed` answers."""

    def do(request: Request, body: bytes) -> Response:
        try:
            return deed(request, _read(body, wish))
        except RefusedError as refusal:
            return refusal.response
        except AccessRefusedError as refusal:
            return refusal.response
        except StoreError as error:
            return RefusedError("no_right" if is_forbidden(error) else "store_away").response

    async def answer(request: Request) -> Response:
        if not own(request):
            return RefusedError("not_own").response
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > limit.bytes_max:
                return RefusedError(limit.word, 413).response
        return await run_in_threadpool(do, request, body)

    return answer


def by_clerk(clerk_conninfo: str, deed: StoreDeed[Wish]) -> Deed[Wish]:
    """Done by the role clerk: 204."""

    def do(request: Request, wish: Wish) -> Response:
        with open_store(clerk_conninfo) as conn:
            deed(conn, request, wish)
        return done()

    return do


def done() -> Response:
    """There is nothing to say."""
    return Response(status_code=204, headers=HEADERS)


def _read(body: bytes, wish: type[Wish]) -> Wish:
    """Of what PostgreSQL can keep: its text has no NUL. Raises RefusedError."""
    try:
        found = msgspec.json.decode(body, type=wish)
    except (msgspec.MsgspecError, ValueError):
        raise RefusedError("unreadable") from None
    if any("\0" in value for value in msgspec.structs.astuple(found) if isinstance(value, str)):
        raise RefusedError("unreadable")
    return found
