"""Sessions: a secret in a cookie, and who it stands for now. A revocation is seen within seconds, streams too."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from emr_store import login_sessions, workstations
from emr_store.connect import StoreError, open_store
from emr_store.idle_connections import IdleConnections
from emr_store.login_sessions import Beside, NewSession, SessionRow, session_id
from emr_store.station_displays import PRINCIPAL
from gateway.access.viewer import Viewer
from gateway.people.emergency import emergency_viewer
from gateway.people.factors import Factor as Factor
from gateway.people.viewers import viewer_of_display, viewer_of_staff

COOKIE = "vitalwire_session"
COMMAND_LINE = "command-line:"  # begins the workstation of a session that `vitalwire login` has
REFRESH_S = 2.0  # by then a change of sessions, staff and grants is seen
SEEN_EVERY_S = 30.0


@dataclass(frozen=True)
class SignedIn:
    """A session that lasts, and whom it stands for."""

    row: SessionRow
    viewer: Viewer

    @property
    def is_command_line(self) -> bool:
        """Whether a program has it, by the word of who signed in elsewhere: it lets in nobody and no key."""
        return self.row.workstation.startswith(COMMAND_LINE)


@dataclass(frozen=True)
class _Known:
    signed_in: SignedIn
    read_s: float  # monotonic


class Sessions:
    """All sessions of a process; may be called by several threads. Its methods ask the store, and block."""

    def __init__(
        self, conninfo: str, clerk_conninfo: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clerk, self._now = clerk_conninfo, now
        self._reading = IdleConnections(conninfo)
        self._lock = threading.Lock()
        self._known: dict[bytes, _Known] = {}

    def begin(self, new: NewSession) -> str:
        """The secret of the new session; raises StoreError."""
        secret = secrets.token_urlsafe(32)
        with open_store(self._clerk) as conn:
            login_sessions.begin(conn, session_id(secret), new, self._now())
        return secret

    def begin_beside(self, session: bytes, address: str, agent: str) -> str | None:
        """The secret of a session of the command line, beside that of who agreed; None: that one is over.

        Raises StoreError.
        """
        secret = secrets.token_urlsafe(32)
        where = Beside(f"{COMMAND_LINE}{secrets.token_urlsafe(16)}", address, agent)
        with open_store(self._clerk) as conn:
            begun = login_sessions.begin_beside(conn, session_id(secret), session, where, self._now())
        return secret if begun else None

    def current(self, secret: str) -> SignedIn | None:
        """Who that is now; None: it ended, or never was. While the store is away whoever was in stays in."""
        session = session_id(secret)
        with self._lock:
            known = self._known.get(session)
        if known is not None and time.monotonic() - known.read_s < REFRESH_S:
            return self._within_time(known.signed_in)
        try:
            found = self._read(session)
        except StoreError:
            return self._within_time(known.signed_in) if known is not None else None
        with self._lock:
            if found is None:  # else whoever sends cookies of nobody fills the memory
                self._known.pop(session, None)
            else:
                self._known[session] = _Known(found, time.monotonic())
        return self._within_time(found)

    def peek(self, secret: str) -> SignedIn | None:
        """Who that was when it was asked last, without asking the store; None: `current` must be asked."""
        with self._lock:
            known = self._known.get(session_id(secret))
        if known is None or known.read_s == float("-inf"):
            return None
        return self._within_time(known.signed_in)

    def touch(self, signed_in: SignedIn) -> None:
        """The person did something: silence begins anew, while the store is away in this process alone."""
        now = self._now()
        if (now - signed_in.row.seen_at).total_seconds() < SEEN_EVERY_S:
            return
        try:
            with open_store(self._clerk) as conn:
                login_sessions.seen(conn, signed_in.row.session, now)
        except StoreError:
            seen = replace(signed_in, row=replace(signed_in.row, seen_at=now))
            with self._lock:
                self._known[signed_in.row.session] = _Known(seen, time.monotonic())
            return
        self.forget(signed_in.row.session)

    def end(self, session: bytes, by: str, reason: str) -> None:
        """Raises StoreError."""
        with open_store(self._clerk) as conn:
            login_sessions.end(conn, session, self._now(), by, reason)
        self.forget(session)

    def hand_over(self, workstation: str, principal: str) -> None:
        """Before this person signs in there: whoever else is in there is locked, not ended. Raises StoreError."""
        with open_store(self._clerk) as conn:
            changed = workstations.hand_over(conn, workstation, principal, self._now())
        for session in changed:
            self.forget(session)

    def lock(self, session: bytes, *, locked: bool) -> None:
        """Nobody sits there any more, or somebody does again. Raises StoreError."""
        with open_store(self._clerk) as conn:
            login_sessions.lock(conn, session, self._now() if locked else None)
        self.forget(session)

    def forget(self, session: bytes) -> None:
        """It is asked for anew."""
        with self._lock:
            if (known := self._known.get(session)) is not None:
                self._known[session] = replace(known, read_s=float("-inf"))

    def _read(self, session: bytes) -> SignedIn | None:
        def found(conn: Any) -> SignedIn | None:
            row = login_sessions.find(conn, session)
            if row is None or row.ended_at is not None:
                return None
            viewer = viewer_of(
                conn, row.principal, self._now(), locked=row.locked_at is not None, session=session.hex()[:16]
            )
            return SignedIn(row, viewer) if viewer is not None else None

        return self._reading.ask(found)

    def _within_time(self, signed_in: SignedIn | None) -> SignedIn | None:
        if signed_in is None:
            return None
        row, now = signed_in.row, self._now()
        # A locked one does not end by silence: its screen goes on showing beds and alarms, and nobody can act in it.
        is_idle = row.locked_at is None and row.idle_s is not None and now - row.seen_at > timedelta(seconds=row.idle_s)
        return None if is_idle or now >= row.ends_at else signed_in


def viewer_of(
    conn: Any, principal: str, at: datetime, *, locked: bool = False, session: str = ""
) -> Viewer | None:  # fmt: skip
    """Whoever it is of all that a session can stand for; None: nobody. Raises StoreError."""
    if principal.startswith(PRINCIPAL):
        return viewer_of_display(conn, principal, session=session)
    if principal.startswith("emergency:"):
        return emergency_viewer(conn, principal, locked=locked, session=session)
    return viewer_of_staff(conn, principal, at, locked=locked, session=session)
