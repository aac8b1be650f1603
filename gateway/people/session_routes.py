"""Sessions and screens of wards over HTTP: who is in where; lock, end, revoke; a screen's one link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emr_store import login_sessions, station_displays
from emr_store.acts import Author
from emr_store.connect import StoreError, open_store
from emr_store.login_sessions import NewSession
from gateway.answers import HEADERS, as_json
from gateway.asking import asking_of
from gateway.pages import people
from gateway.people.cookies import set_session, set_workstation, workstation_of
from gateway.people.entering import AGENT_CHARS_MAX, address_of
from gateway.people.fresh_sign_in import require_fresh_sign_in
from gateway.people.key_ring import code_hash, new_code
from gateway.people.principals import administrator_of, author, person_of
from gateway.people.public_origin import public_origin_of
from gateway.people.sessions import Factor, Sessions, SignedIn
from gateway.people.sign_in_answers import back
from gateway.people.sign_in_required import SIGN_IN
from gateway.people.sign_in_settings import SignInSettings
from gateway.posting import Nothing, RefusedError, done, posting

LABEL_CHARS_MAX = 60
WHY_CHARS_MAX = 500
DISPLAY_LASTS = timedelta(days=400)  # the longest that browsers keep a cookie (RFC 6265bis, section 5.5)


class EndWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`session`: its id in hexadecimal, as listed."""

    session: str


class DisplayWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A screen that is to be."""

    ward: str
    label: str


class RevokeDisplayWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A screen that is to show nothing any more."""

    display: UUID
    why: str


class SessionRoutes:
    """The doors of `session_routes`."""

    def __init__(self, conninfo: str, clerk_conninfo: str, sessions: Sessions, settings: SignInSettings) -> None:
        self._conninfo, self._clerk, self._sessions = conninfo, clerk_conninfo, sessions
        self._lock_after_s, self._provider = settings.lock_after_s, settings.provider

    def lock(self, request: Request, wish: Nothing) -> Response:
        """Nobody sits there any more. A screen has nobody who could."""
        signed_in: SignedIn = request.state.signed_in
        if signed_in.row.factor == Factor.DISPLAY:
            raise RefusedError("no_access")
        self._sessions.lock(signed_in.row.session, locked=True)
        return done()

    def end(self, request: Request, wish: EndWish) -> Response:
        """By whom it stands for, or by an administrator. Another of one's own takes a fresh sign-in."""
        viewer = person_of(request)
        try:
            session = bytes.fromhex(wish.session)
        except ValueError:
            raise RefusedError("unreadable") from None
        with open_store(self._conninfo) as conn:
            row = login_sessions.find(conn, session)
        if row is None or row.principal != viewer.id:
            administrator_of(request)
        if row is None or row.ended_at is not None:
            raise RefusedError("changed")
        by_owner, signed_in = row.principal == viewer.id, request.state.signed_in
        if by_owner and session != signed_in.row.session:
            require_fresh_sign_in(request, self._provider)
        self._sessions.end(session, viewer.id, "ended by its owner" if by_owner else "ended by an administrator")
        return done()

    def add_display(self, request: Request, wish: DisplayWish) -> Response:
        """Its link, which opens it once."""
        viewer, label, code = administrator_of(request), wish.label.strip(), new_code()
        if not label or len(label) > LABEL_CHARS_MAX:
            raise RefusedError("no_label")
        with open_store(self._clerk) as conn:
            if wish.ward not in station_displays.wards(conn):
                raise RefusedError("no_such_ward")
            row = station_displays.add(conn, wish.ward, label, author(viewer), code_hash(code))
        link = f"{SIGN_IN}/display/{code}"
        return as_json({"link": link, "until": round(row.open_until.timestamp() * 1000)})

    def revoke_display(self, request: Request, wish: RevokeDisplayWish) -> Response:
        """Its picture is gone within seconds."""
        viewer, why = administrator_of(request), wish.why.strip()
        if not why or len(why) > WHY_CHARS_MAX:
            raise RefusedError("no_reason")
        with open_store(self._clerk) as conn:
            if not station_displays.revoke(conn, wish.display, Author(author(viewer).by, why)):
                raise RefusedError("changed")
        return done()

    def open_display(self, request: Request) -> Response:
        """The browser that opens the link is the screen from now on."""
        workstation, address = workstation_of(request), address_of(request)
        try:
            with open_store(self._clerk) as conn:
                row = station_displays.enrol(conn, code_hash(request.path_params["secret"]), address)
            if row is None:
                return back(refused="link_used")
            secret = self._sessions.begin(NewSession(
                principal=row.principal, factor=Factor.DISPLAY, workstation=workstation, address=address,
                agent=request.headers.get("user-agent", "")[:AGENT_CHARS_MAX], idle_s=None,
                ends_at=datetime.now(UTC) + DISPLAY_LASTS,
            ))  # fmt: skip
        except StoreError:
            return back(refused="store_away")
        answer = RedirectResponse("/", 303, HEADERS)
        public_origin = public_origin_of(request)
        # A screen that is switched off at night must be there in the morning.
        set_session(answer, public_origin, secret, round(DISPLAY_LASTS.total_seconds()))
        set_workstation(answer, public_origin, workstation)
        return answer

    def listed(self, request: Request) -> dict[str, Any] | None:
        """For the page."""
        signed_in: SignedIn = request.state.signed_in
        with open_store(self._conninfo) as conn:
            staff = request.query_params.get("staff", "")
            return people.people(conn, asking_of(request), signed_in.row.session, staff)

    def station(self, request: Request) -> dict[str, Any] | None:
        """What every page asks of the workstation that it is on, and of news about the keys of who sits there."""
        with open_store(self._conninfo) as conn:
            return {"lock_after_s": self._lock_after_s, **(people.news(conn, asking_of(request)) or {})}


def session_routes(conninfo: str, clerk_conninfo: str, sessions: Sessions, settings: SignInSettings) -> list[Route]:
    """All of them."""
    of = SessionRoutes(conninfo, clerk_conninfo, sessions, settings)
    return [
        Route("/lock", posting(of.lock, Nothing), methods=["POST"]),
        Route("/workstation", _read(of.station)),
        Route("/people/list", _read(of.listed)),
        Route("/people/sessions/end", posting(of.end, EndWish), methods=["POST"]),
        Route("/people/displays", posting(of.add_display, DisplayWish), methods=["POST"]),
        Route("/people/displays/revoke", posting(of.revoke_display, RevokeDisplayWish), methods=["POST"]),
        Route(f"{SIGN_IN}/display/{{secret}}", of.open_display),
    ]


def _read(ask: Callable[[Request], dict[str, Any] | None]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            found = await run_in_threadpool(ask, request)
        except StoreError:
            return RefusedError("store_away").response
        if found is None:
            return RefusedError("no_access").response
        return as_json(found)

    return answer
