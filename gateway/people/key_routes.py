"""Security keys over HTTP: sign in with one, enrol one, revoke one; an administrator lets a first or a new one in."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emr_store import security_keys, viewers
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.security_keys import EnrolmentRow
from gateway.answers import HEADERS, as_json
from gateway.pages import enrol_key
from gateway.people.attempts import SignInAttempts, log_failure
from gateway.people.cookies import set_workstation, workstation_of
from gateway.people.entering import Entering, Proof, address_of
from gateway.people.fresh_sign_in import require_fresh_sign_in
from gateway.people.key_ring import KeyRing, OpenedEnrolment, code_hash
from gateway.people.principals import administrator_of, author, person_of
from gateway.people.public_origin import public_origin_of
from gateway.people.security_keys import KeyRefusedError, KeySite
from gateway.people.sessions import Factor, Sessions, SignedIn
from gateway.people.sign_in_answers import too_soon
from gateway.people.sign_in_required import SIGN_IN
from gateway.people.sign_in_settings import SignInSettings
from gateway.posting import Nothing, RefusedError, done, posting
from gateway.same_origin import is_own_page
from gateway.static_files import StaticFiles

WHY_CHARS_MAX = 500
_HEX = re.compile(r"([0-9a-f]{2}){1,1023}")
# By what somebody who is in lets a key of his own in. A provider's word alone gives none: who took over an account
# there would keep a way in. The demo's links are for one person at one machine.
_ENROLLING = (Factor.SECURITY_KEY, Factor.DEMO_LINK)


class SignInWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a key answered."""

    credential: Any


class EnrolWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a new key answered; `code`: of an administrator's link, "" of who is signed in."""

    credential: Any = None
    label: str = ""
    code: str = ""


class RevokeWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key`: its credential's id in hexadecimal."""

    key: str
    why: str = ""


class OpenWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For whom a key may be enrolled; `why` is needed where the person has one: it is lost."""

    staff: str
    why: str = ""


class AgreeWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To which replacement a second administrator agrees."""

    enrolment: UUID


class KeyRoutes:
    """The doors of `key_routes`."""

    def __init__(
        self, conninfo: str, clerk_conninfo: str, sessions: Sessions, settings: SignInSettings, attempts: SignInAttempts
    ) -> None:
        self._conninfo, self._clerk, self._sessions = conninfo, clerk_conninfo, sessions
        self._ring, self._attempts = KeyRing(clerk_conninfo), attempts
        self._entering = Entering(conninfo, sessions, settings)
        self._platform_keys, self._provider = settings.platform_keys, settings.provider

    def begin_sign_in(self, request: Request, wish: Nothing) -> Response:
        """What the browser asks a key."""
        site, workstation = self._site(request), workstation_of(request)
        wait_s = self._attempts.begin(Factor.SECURITY_KEY, address_of(request))
        if wait_s > 0:
            return too_soon(wait_s)
        answer = as_json(self._ring.begin_sign_in(site, workstation))
        set_workstation(answer, public_origin_of(request), workstation)
        return answer

    def sign_in(self, request: Request, wish: SignInWish) -> Response:
        """The browser is in, or told one thing, whatever was wrong."""
        address = address_of(request)
        wait_s = self._attempts.wait_s(Factor.SECURITY_KEY, "", address)
        if wait_s > 0:
            return too_soon(wait_s)
        try:
            key = self._ring.sign_in(self._site(request), workstation_of(request), wish.credential)
        except KeyRefusedError as refused:
            self._attempts.note(Factor.SECURITY_KEY, "", address, succeeded=False)
            owner = self._ring.owner_of(wish.credential)
            log_failure(Factor.SECURITY_KEY, address, str(refused.refusal), owner)
            raise RefusedError("key_refused") from None
        entered = self._entering.enter(request, key.staff, Proof(Factor.SECURITY_KEY, key.credential))
        self._attempts.note(Factor.SECURITY_KEY, key.staff, address, succeeded=entered is not None)
        if entered is None:
            log_failure(Factor.SECURITY_KEY, address, "nobody", key.staff)
            raise RefusedError("key_refused")
        answer = as_json({"id": key.staff})
        entered.give_cookies(request, answer)
        return answer

    def begin_enrolment(self, request: Request, wish: Nothing) -> Response:
        """Of another key of whoever is signed in by one."""
        viewer = person_of(request)
        self._may_enrol(request)
        return as_json(self._ring.begin_enrolment(self._site(request), viewer.id, viewer.name))

    def enrol(self, request: Request, wish: EnrolWish) -> Response:
        """It opens from now on."""
        viewer = person_of(request)
        self._may_enrol(request)
        self._enrol(request, viewer.id, wish, "")
        return done()

    def begin_first(self, request: Request, wish: EnrolWish) -> Response:
        """By an administrator's link: for whom it is, and what the browser asks a new key."""
        enrolment = self._open_enrolment(wish.code)
        with open_store(self._conninfo) as conn:
            facts = viewers.staff_facts(conn, enrolment.staff, enrolment.opened_at)
        name = facts.name if facts else ""
        options = self._ring.begin_enrolment(self._site(request), enrolment.staff, name)
        return as_json({"staff": enrolment.staff, "name": name, "options": msgspec.Raw(options)})

    def enrol_first(self, request: Request, wish: EnrolWish) -> Response:
        """By an administrator's link. Nobody is signed in by it: the new key does that."""
        self._enrol(request, self._open_enrolment(wish.code).staff, wish, wish.code)
        return done()

    def revoke(self, request: Request, wish: RevokeWish) -> Response:
        """By its owner, soon after a sign-in, or by an administrator, who says why."""
        viewer = person_of(request)
        if not _HEX.fullmatch(wish.key) or len(wish.why) > WHY_CHARS_MAX:
            raise RefusedError("unreadable")
        credential = bytes.fromhex(wish.key)
        with open_store(self._clerk) as conn:
            key = security_keys.find(conn, credential)
            is_own = key is not None and key.staff == viewer.id
            if is_own:
                require_fresh_sign_in(request, self._provider)
            else:
                administrator_of(request)
                if not wish.why.strip():
                    raise RefusedError("no_reason")
            if security_keys.revoke(conn, credential, author(viewer, wish.why.strip()), untold=not is_own) is None:
                raise RefusedError("changed")
        return done()

    def told(self, request: Request, wish: Nothing) -> Response:
        """The person has read what others did with the keys."""
        with open_store(self._clerk) as conn:
            security_keys.told(conn, person_of(request).id)
        return done()

    def open_enrolment(self, request: Request, wish: OpenWish) -> Response:
        """For a first key: its link. For a lost one: it waits for a second administrator."""
        viewer, why = administrator_of(request), wish.why.strip()
        if len(why) > WHY_CHARS_MAX:
            raise RefusedError("reason_too_long")
        with open_store(self._conninfo) as conn:
            facts = viewers.staff_facts(conn, wish.staff, datetime.now(UTC))
            has_key = any(key.revoked_at is None for key in security_keys.keys_of(conn, wish.staff))
        if facts is None or not facts.works:
            raise RefusedError("no_such_person")
        if viewer.id == wish.staff:
            raise RefusedError("not_for_yourself")
        if has_key and not why:
            raise RefusedError("no_reason")
        return _opened(self._ring.open_enrolment(wish.staff, viewer.id, author(viewer, why)))

    def agree(self, request: Request, wish: AgreeWish) -> Response:
        """The second administrator: the lost keys end, and the link is his to hand over."""
        viewer = administrator_of(request)
        agreed = self._ring.agree(wish.enrolment, viewer.id, author(viewer))
        if agreed is None:
            raise RefusedError("second_person")
        return _opened(agreed)

    def _enrol(self, request: Request, staff: str, wish: EnrolWish, code: str) -> None:
        by = author(person_of(request)) if not code else Author(f"staff:{staff}", "by the link of an administrator")
        try:
            self._ring.enrol(self._site(request), staff, wish.label.strip(), wish.credential, by, code)
        except KeyRefusedError as refused:
            raise RefusedError(f"key_{refused.refusal}", 403) from None

    def _may_enrol(self, request: Request) -> None:
        signed_in: SignedIn = request.state.signed_in
        if signed_in.row.factor not in _ENROLLING or signed_in.is_command_line:
            raise RefusedError("needs_enrolment")
        require_fresh_sign_in(request, self._provider)

    def _open_enrolment(self, code: str) -> EnrolmentRow:
        with open_store(self._conninfo) as conn:
            found = security_keys.enrolment_of(conn, code_hash(code), datetime.now(UTC))
        if found is None:
            raise RefusedError("link_used")
        return found

    def _site(self, request: Request) -> KeySite:
        """Raises RefusedError where browsers have no keys: at an address."""
        split = urlsplit(public_origin_of(request).url("", request))
        try:
            return KeySite(f"{split.scheme}://{split.netloc}", self._platform_keys)
        except ValueError:
            raise RefusedError("no_keys_here") from None


def key_routes(
    conninfo: str, clerk_conninfo: str, sessions: Sessions, settings: SignInSettings, static: StaticFiles,
    attempts: SignInAttempts,
) -> list[Route]:  # fmt: skip
    """All of them."""
    keys = KeyRoutes(conninfo, clerk_conninfo, sessions, settings, attempts)
    page = Response(enrol_key.PAGE.html(static), media_type="text/html; charset=utf-8", headers=HEADERS)

    async def whole(request: Request) -> Response:
        return page

    return [
        Route(enrol_key.PAGE.path, whole),
        Route(f"{SIGN_IN}/key/begin", posting(keys.begin_sign_in, Nothing, own=is_own_page), methods=["POST"]),
        Route(f"{SIGN_IN}/key", posting(keys.sign_in, SignInWish, own=is_own_page), methods=["POST"]),
        Route(f"{SIGN_IN}/enrol-begin", posting(keys.begin_first, EnrolWish, own=is_own_page), methods=["POST"]),
        Route(f"{SIGN_IN}/enrol", posting(keys.enrol_first, EnrolWish, own=is_own_page), methods=["POST"]),
        Route("/keys/begin", posting(keys.begin_enrolment, Nothing), methods=["POST"]),
        Route("/keys", posting(keys.enrol, EnrolWish), methods=["POST"]),
        Route("/keys/revoke", posting(keys.revoke, RevokeWish), methods=["POST"]),
        Route("/keys/told", posting(keys.told, Nothing), methods=["POST"]),
        Route("/keys/enrolments", posting(keys.open_enrolment, OpenWish), methods=["POST"]),
        Route("/keys/enrolments/agree", posting(keys.agree, AgreeWish), methods=["POST"]),
    ]


def _opened(opened: OpenedEnrolment) -> Response:
    path = f"{SIGN_IN}/enrol/{opened.code}" if opened.code else ""
    return as_json({"link": path, "staff": opened.row.staff, "until": round(opened.row.open_until.timestamp() * 1000)})
