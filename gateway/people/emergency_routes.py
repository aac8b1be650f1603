"""Where a sealed account is opened."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.answers import as_json
from gateway.people.attempts import SignInAttempts, log_failure
from gateway.people.emergency import EmergencyAccounts, Unopened
from gateway.people.entering import Entering, Proof, address_of
from gateway.people.sessions import Factor
from gateway.people.sign_in_answers import too_soon
from gateway.people.sign_in_required import SIGN_IN
from gateway.posting import BodyLimit, done, posting
from gateway.same_origin import is_own_page

_LIMIT = BodyLimit(2048, "unreadable")


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    account: str
    password: str


def emergency_routes(clerk_conninfo: str, entering: Entering, attempts: SignInAttempts) -> list[Route]:
    """One."""
    accounts = EmergencyAccounts(clerk_conninfo, attempts)

    def opened(request: Request, wish: _Wish) -> Response:
        found = accounts.open(wish.account, wish.password, address_of(request))
        entered = entering.enter(request, found, Proof(Factor.EMERGENCY)) if isinstance(found, str) else None
        if entered is None:
            why, wait_s = found if isinstance(found, tuple) else (Unopened.WRONG, 0)
            log_failure(Factor.EMERGENCY, address_of(request), why)
            return too_soon(wait_s) if why is Unopened.WAIT else as_json({"refused": why, "wait_s": wait_s}, 401)
        answer = done()
        entered.give_cookies(request, answer)
        return answer

    return [Route(f"{SIGN_IN}/emergency", posting(opened, _Wish, own=is_own_page, limit=_LIMIT), methods=["POST"])]
