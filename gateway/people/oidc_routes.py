"""Sign-in by the hospital's provider, and its word that somebody is to be out."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs, quote

import structlog
from prometheus_client import Counter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emr_store import provider_accounts, provider_logouts, viewers
from emr_store.connect import StoreError, open_store
from emr_store.instants import moment
from gateway.answers import HEADERS
from gateway.asking import REFUSED_BODY
from gateway.people.attempts import SignInAttempts
from gateway.people.cookies import passing, set_passing
from gateway.people.entering import Entering, Proof, address_of
from gateway.people.oidc import OpenIdProvider, ProviderAwayError
from gateway.people.oidc_tokens import TOKEN_CHARS_MAX, Identity, Refused, TokenRefusedError
from gateway.people.public_origin import public_origin_of
from gateway.people.sessions import Factor, Sessions
from gateway.people.sign_in_answers import back, path_after, too_soon_page
from gateway.people.sign_in_required import SIGN_IN
from runtime.clock import now_us

CALLBACK = f"{SIGN_IN}/callback"
LOGOUT = f"{SIGN_IN}/back-channel-logout"
_COOKIE, _LASTS_S = "provider", 600
_BODY_BYTES_MAX = TOKEN_CHARS_MAX + 1024
_refused = Counter("vitalwire_sign_in_refused_tokens", "Tokens of the provider that were refused", ["token", "reason"])
_log = structlog.get_logger("sign_in")


def oidc_routes(
    clerk_conninfo: str, sessions: Sessions, entering: Entering, provider: OpenIdProvider, attempts: SignInAttempts
) -> list[Route]:
    """Three of them."""

    def begin(request: Request) -> Response:
        public_origin, to = public_origin_of(request), path_after(request.query_params.get("to", ""))
        # A page of another site must not sign somebody in whom the provider still knows: he presses the button here.
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return RedirectResponse(f"{SIGN_IN}?to={quote(to)}", 303, HEADERS)
        try:
            wait_s = attempts.begin(Factor.PROVIDER, address_of(request))
            if wait_s > 0:
                return too_soon_page(wait_s)
            begun = provider.begin(public_origin.url(CALLBACK, request))
        except ProviderAwayError as error:
            _log.warning("the provider is away", what=str(error))
            return back(refused="provider_away")
        except StoreError:
            return back(refused="store_away")
        answer = RedirectResponse(begun.url, 303, HEADERS)
        kept = " ".join((begun.state, begun.nonce, begun.verifier, to))
        set_passing(answer, public_origin, _COOKIE, kept, _LASTS_S)
        return answer

    def callback(request: Request) -> Response:
        try:
            answer = _tried(request, clerk_conninfo, entering, provider, attempts)
        except TokenRefusedError as refused:
            answer = back(refused="clock" if refused.reason is Refused.CLOCK else "provider")
            _count("id", refused.reason)
        except ProviderAwayError as error:
            _log.warning("the provider is away", what=str(error))
            answer = back(refused="provider_away")
        except StoreError:
            answer = back(refused="store_away")
        set_passing(answer, public_origin_of(request), _COOKIE, "", 0)
        return answer

    return [
        Route(f"{SIGN_IN}/provider", begin),
        Route(CALLBACK, callback),
        _logout_route(clerk_conninfo, sessions, provider),
    ]


def _logout_route(clerk_conninfo: str, sessions: Sessions, provider: OpenIdProvider) -> Route:
    def end_sessions(token: str) -> Response:
        try:
            logout = provider.logout(token)
            with open_store(clerk_conninfo) as conn:
                ended = provider_logouts.end_sessions(
                    conn, provider.provider.issuer, logout.token_id, logout.session, logout.subject, moment(now_us())
                )  # fmt: skip
            if ended is None:
                raise TokenRefusedError(Refused.REPLAYED)
        except TokenRefusedError as refused:
            _count("logout", refused.reason)
            return Response(REFUSED_BODY, 400, media_type="application/json", headers=HEADERS)
        except (ProviderAwayError, StoreError):
            return Response(REFUSED_BODY, 503, media_type="application/json", headers=HEADERS)
        for session in ended:
            sessions.forget(session)
        return Response(status_code=200, headers=HEADERS)

    async def back_channel_logout(request: Request) -> Response:
        """Of the provider itself: no browser, no cookie; what it says is signed."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _BODY_BYTES_MAX:
                return Response(REFUSED_BODY, 413, media_type="application/json", headers=HEADERS)
        given = parse_qs(body.decode("ascii", "replace")).get("logout_token", [])
        return await run_in_threadpool(end_sessions, given[0] if len(given) == 1 else "")

    return Route(LOGOUT, back_channel_logout, methods=["POST"])


def _tried(
    request: Request, clerk_conninfo: str, entering: Entering, provider: OpenIdProvider, attempts: SignInAttempts
) -> Response:
    """Raises as `_finished` does. While the store or the provider is away nobody has failed."""
    address = address_of(request)
    wait_s = attempts.wait_s(Factor.PROVIDER, "", address)
    if wait_s > 0:
        return too_soon_page(wait_s)
    try:
        staff, answer = _finished(request, clerk_conninfo, entering, provider)
    except TokenRefusedError:
        attempts.note(Factor.PROVIDER, "", address, succeeded=False)
        raise
    attempts.note(Factor.PROVIDER, staff, address, succeeded=True)
    return answer


def _finished(
    request: Request, clerk_conninfo: str, entering: Entering, provider: OpenIdProvider
) -> tuple[str, Response]:
    """Who is in, and what his browser gets. Raises TokenRefusedError, ProviderAwayError, StoreError."""
    kept, given = passing(request, _COOKIE).split(" "), request.query_params
    if len(kept) != 4 or not hmac.compare_digest(kept[0].encode(), given.get("state", "").encode()):
        raise TokenRefusedError(Refused.STATE)
    # RFC 9207: a provider that names itself in the answer must be the one that was asked.
    if given.get("iss", provider.provider.issuer) != provider.provider.issuer:
        raise TokenRefusedError(Refused.ISSUER)
    code = given.get("code", "")
    if not code:
        raise TokenRefusedError(Refused.CODE)
    _, nonce, verifier, to = kept
    redirect_uri = public_origin_of(request).url(CALLBACK, request)
    identity = provider.finish(code, redirect_uri, nonce, verifier)
    _check_account(clerk_conninfo, provider.provider.issuer, identity)
    proof = Proof(
        Factor.PROVIDER, issuer=provider.provider.issuer, provider_sid=identity.session, provider_sub=identity.subject
    )
    entered = entering.enter(request, identity.staff, proof)
    if entered is None:
        raise TokenRefusedError(Refused.NOBODY)
    answer = RedirectResponse(path_after(to), 303, HEADERS)
    entered.give_cookies(request, answer)
    return identity.staff, answer


def _check_account(clerk_conninfo: str, issuer: str, identity: Identity) -> None:
    """The number is a claim that the provider can change; its `sub` is not. Raises TokenRefusedError, StoreError."""
    with open_store(clerk_conninfo) as conn:
        facts = viewers.staff_facts(conn, identity.staff, moment(now_us()))
        if facts is None or not facts.works:
            raise TokenRefusedError(Refused.NOBODY)
        if not provider_accounts.bind(conn, issuer, identity.subject, identity.staff):
            raise TokenRefusedError(Refused.ANOTHER_ACCOUNT)


def _count(token: str, reason: Refused) -> None:
    """Without a name: a token that is not believed names nobody."""
    _refused.labels(token, reason).inc()
    _log.warning("a token of the provider is refused", token=token, reason=str(reason))
