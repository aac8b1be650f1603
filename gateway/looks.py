"""What people look at, noted before it is sent: an interval of at most a quarter of an hour, a search as one row."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from emr_store import looks
from emr_store.connect import open_store
from emr_store.instants import moment
from gateway.access.decision import Decision
from gateway.access.viewer import Viewer
from gateway.access.words import Action

LOOK_S = 900  # then it is another one
_Key = tuple[str, str, Action, str, tuple[str, ...]]  # session, viewer, action, page, stays


@dataclass(frozen=True)
class Seen:
    """What is about to be sent. `stays`: how many it is about; where they are not listed the lists are empty."""

    page: str
    encounters: Sequence[str] = ()
    patients: Sequence[str] = ()
    stays: int = 0
    detail: str = ""  # of a search: what was asked, without a name
    restricted: bool = False


class Looks:
    """Writes them through the role clerk. One for a process; may be called by several threads."""

    def __init__(self, clerk_conninfo: str) -> None:
        self._clerk = clerk_conninfo
        self._lock = threading.Lock()
        self._until_us: dict[_Key, int] = {}  # of the looks that last

    def note(self, viewer: Viewer, address: str, action: Action, decision: Decision, seen: Seen, at_us: int) -> None:
        """Returns when it is durable; the same look goes on for LOOK_S. Raises StoreError."""
        key = (viewer.session, viewer.id, action, seen.page, tuple(seen.encounters))
        lasts = not seen.detail
        with self._lock:
            self._until_us = {each: until for each, until in self._until_us.items() if until > at_us}
            if lasts and key in self._until_us:
                return
        until_us = at_us + LOOK_S * 1_000_000
        with open_store(self._clerk) as conn:
            looks.write(conn, looks.Look(
                look=uuid4(), person=viewer.id, role=viewer.role, action=action, page=seen.page,
                encounters=tuple(seen.encounters), patients=tuple(seen.patients),
                stays=seen.stays or len(seen.encounters), detail=seen.detail, relation=decision.relation,
                restricted=seen.restricted, session=viewer.session, address=address, reason="",
                from_at=moment(at_us), until_at=moment(at_us) + timedelta(seconds=LOOK_S),
            ))  # fmt: skip
        if lasts:
            with self._lock:
                self._until_us[key] = until_us
