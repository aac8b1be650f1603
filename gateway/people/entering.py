"""A sign-in that was proved, whatever the factor: the session begins, and the browser gets its cookies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from emr_store.connect import open_store
from emr_store.login_sessions import NewSession
from gateway.people.cookies import session_secret, set_session, set_workstation, workstation_of
from gateway.people.lifetimes import EMERGENCY_ABSOLUTE_H, EMERGENCY_IDLE_MIN
from gateway.people.public_origin import public_origin_of
from gateway.people.sessions import Factor, Sessions, viewer_of
from gateway.people.sign_in_settings import SignInSettings

AGENT_CHARS_MAX = 200


@dataclass(frozen=True)
class Proof:
    """By what somebody proved who he is."""

    factor: Factor
    credential: bytes | None = None  # of a security key
    issuer: str | None = None  # of a provider, with its sid and sub
    provider_sid: str | None = None
    provider_sub: str | None = None


@dataclass(frozen=True)
class Entered:
    """A session that began: `give_cookies` to the answer of the same request."""

    secret: str
    workstation: str

    def give_cookies(self, request: Request, response: Response) -> None:
        """The browser is in."""
        public_origin = public_origin_of(request)
        set_session(response, public_origin, self.secret)
        set_workstation(response, public_origin, self.workstation)


class Entering:
    """Begins sessions of a process."""

    def __init__(self, conninfo: str, sessions: Sessions, settings: SignInSettings) -> None:
        self._conninfo, self._sessions, self._settings = conninfo, sessions, settings

    def enter(self, request: Request, principal: str, proof: Proof) -> Entered | None:
        """None: nobody of this number works here now. Blocks; raises StoreError.

        Whoever else is in at this workstation is locked, not ended; a secret is never taken over.
        """
        now = datetime.now(UTC)
        with open_store(self._conninfo) as conn:
            viewer = viewer_of(conn, principal, now)
        if viewer is None:
            return None
        lifetimes, workstation = self._settings.lifetimes, workstation_of(request)
        idle_s, ends_at = lifetimes.idle_s(viewer.role), lifetimes.ends_at(viewer.role, now)
        if proof.factor is Factor.EMERGENCY:
            idle_s, ends_at = EMERGENCY_IDLE_MIN * 60, now + timedelta(hours=EMERGENCY_ABSOLUTE_H)
        self._end_elsewhere(request, viewer.id, workstation)
        self._sessions.hand_over(workstation, viewer.id)
        secret = self._sessions.begin(NewSession(
            principal, proof.factor, workstation, address_of(request),
            request.headers.get("user-agent", "")[:AGENT_CHARS_MAX], idle_s, ends_at, proof.credential,
            proof.issuer, proof.provider_sid, proof.provider_sub,
        ))  # fmt: skip
        return Entered(secret, workstation)

    def _end_elsewhere(self, request: Request, by: str, workstation: str) -> None:
        """A session whose workstation the browser forgot could never be handed over."""
        earlier = session_secret(request)
        signed_in = self._sessions.current(earlier) if earlier else None
        if signed_in is not None and signed_in.row.workstation != workstation:
            self._sessions.end(signed_in.row.session, by, "another sign-in")


def address_of(request: Request) -> str:
    """Of the machine that asks."""
    return request.client.host if request.client else ""
