"""Sign-in and sign-out as the pages ask for them, and who is in."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emr_store.connect import StoreError
from gateway.answers import HEADERS, as_json
from gateway.asking import REFUSED_BODY
from gateway.pages import sign_in as sign_in_page
from gateway.people.attempts import SignInAttempts
from gateway.people.cookies import csrf_token, end_session, session_secret
from gateway.people.emergency_routes import emergency_routes
from gateway.people.entering import Entering, Proof
from gateway.people.oidc import OpenIdProvider
from gateway.people.oidc_routes import oidc_routes
from gateway.people.public_origin import public_origin_of
from gateway.people.sessions import Factor, Sessions, SignedIn
from gateway.people.sign_in_answers import back
from gateway.people.sign_in_required import SIGN_IN
from gateway.people.sign_in_settings import SignInSettings
from gateway.same_origin import is_own
from gateway.static_files import StaticFiles


def sign_in_routes(
    conninfo: str, clerk_conninfo: str, sessions: Sessions, settings: SignInSettings, static: StaticFiles,
    attempts: SignInAttempts,
) -> list[Route]:  # fmt: skip
    """All of them."""
    entering = Entering(conninfo, sessions, settings)
    provider = OpenIdProvider(settings.provider) if settings.provider else None
    page = Response(sign_in_page.PAGE.html(static), media_type="text/html; charset=utf-8", headers=HEADERS)

    async def whole(request: Request) -> Response:
        return page

    async def options(request: Request) -> Response:
        return as_json({"provider": provider is not None, "demo": settings.links is not None})

    def link(request: Request) -> Response:
        staff = settings.links.use(request.path_params["secret"]) if settings.links else None
        try:
            entered = entering.enter(request, staff, Proof(Factor.DEMO_LINK)) if staff else None
        except StoreError:
            return back(refused="store_away")
        if entered is None:
            return back(refused="link_used")
        answer = RedirectResponse("/", 303, HEADERS)
        entered.give_cookies(request, answer)
        return answer

    return [
        Route(sign_in_page.PAGE.path, whole),
        Route(f"{SIGN_IN}/options", options),
        Route(f"{SIGN_IN}/link/{{secret}}", link),
        *(oidc_routes(clerk_conninfo, sessions, entering, provider, attempts) if provider else []),
        *emergency_routes(clerk_conninfo, entering, attempts),
        Route("/sign-out", _sign_out(sessions), methods=["POST"]),
        Route("/me", _me),
        Route("/me/touch", _touched, methods=["POST"]),
    ]


def _sign_out(sessions: Sessions) -> Any:
    async def sign_out(request: Request) -> Response:
        if not is_own(request):
            return as_json({"refused": "not_own"}, 403)
        signed_in: SignedIn = request.state.signed_in
        try:
            await run_in_threadpool(sessions.end, signed_in.row.session, signed_in.viewer.id, "signed out")
        except StoreError:
            return as_json({"refused": "store_away"}, 503)
        # What this origin keeps in the browser goes too: a picture of the ward must not outlive the session there.
        answer = Response(status_code=204, headers={**HEADERS, "Clear-Site-Data": '"cache", "storage"'})
        end_session(answer, public_origin_of(request))
        return answer

    return sign_out


async def _me(request: Request) -> Response:
    """What a page knows of whom it is drawn for; the token is for acts (static/post.mjs)."""
    signed_in: SignedIn = request.state.signed_in
    viewer, row = signed_in.viewer, signed_in.row
    return as_json({
        "id": viewer.id, "name": viewer.name, "role": viewer.role, "licence": viewer.licence,
        "wards": sorted(viewer.wards), "locked": viewer.locked, "factor": row.factor,
        "idle_s": row.idle_s, "ends_at": round(row.ends_at.timestamp() * 1000),
        "csrf": csrf_token(session_secret(request)),
    })  # fmt: skip


async def _touched(request: Request) -> Response:
    """Whoever sent it sits there: SignInRequired has noted it."""
    if not is_own(request):
        return Response(REFUSED_BODY, 403, media_type="application/json", headers=HEADERS)
    return Response(status_code=204, headers=HEADERS)
