"""Where a sealed account is opened."""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emr_store.connect import StoreError
from gateway.answers import HEADERS
from gateway.people.attempts import SignInAttempts, log_failure
from gateway.people.emergency import EmergencyAccounts, Unopened
from gateway.people.entering import Entering, Proof, address_of
from gateway.people.sessions import Factor
from gateway.people.sign_in_answers import as_json, too_soon
from gateway.people.sign_in_required import SIGN_IN
from gateway.same_origin import is_own_page

_BODY_BYTES_MAX = 2048


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    account: str
    password: str


def emergency_routes(clerk_conninfo: str, entering: Entering, attempts: SignInAttempts) -> list[Route]:
    """One."""
    accounts = EmergencyAccounts(clerk_conninfo, attempts)

    def opened(request: Request, wish: _Wish) -> Response:
        try:
            found = accounts.open(wish.account, wish.password, address_of(request))
            entered = entering.enter(request, found, Proof(Factor.EMERGENCY)) if isinstance(found, str) else None
        except StoreError:
            return as_json({"refused": "store_away"}, 503)
        if entered is None:
            why, wait_s = found if isinstance(found, tuple) else (Unopened.WRONG, 0)
            log_failure(Factor.EMERGENCY, address_of(request), why)
            return too_soon(wait_s) if why is Unopened.WAIT else as_json({"refused": why, "wait_s": wait_s}, 401)
        answer = Response(status_code=204, headers=HEADERS)
        entered.give_cookies(request, answer)
        return answer

    async def open_account(request: Request) -> Response:
        if not is_own_page(request):
            return as_json({"refused": "not_own"}, 403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _BODY_BYTES_MAX:
                return as_json({"refused": "unreadable"}, 413)
        try:
            wish = msgspec.json.decode(body, type=_Wish)
        except msgspec.MsgspecError:
            return as_json({"refused": "unreadable"}, 400)
        return await run_in_threadpool(opened, request, wish)

    return [Route(f"{SIGN_IN}/emergency", open_account, methods=["POST"])]
