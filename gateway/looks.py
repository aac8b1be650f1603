"""What people look at, noted before it is sent: an interval of at most a quarter of an hour, a search as one row.

While the store is away reading for care goes on: its looks are on disk in a journal before anything is sent, and come
home in their order when the store answers again. What leaves the house (export, print) waits for the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog

from emr_store.connect import StoreError
from emr_store.instants import moment
from emr_store.looks import AuditAwayError, Entry, Look, LookEnd, LookWriter
from gateway.access.decision import Decision
from gateway.access.viewer import Viewer
from gateway.access.words import Action
from gateway.look_journal import JournalError, LookJournal
from gateway.reminders import Reminders
from runtime.clock import now_us

LOOK_S = 900  # then it is another one
RETRY_S = 1.0  # the store is asked again, while it is away
_CHUNK = 500  # entries that come home in one transaction
_SECOND_US = 1_000_000
_log = structlog.get_logger("looks")


@dataclass(frozen=True)
class Seen:
    """What is about to be sent. `stays`: how many it is about; where they are not listed the lists are empty."""

    page: str
    encounters: Sequence[str] = ()
    patients: Sequence[str] = ()
    stays: int = 0
    detail: str = ""  # of a search: what was asked, without a name
    restricted: bool = False
    reason: str = ""  # of a broken glass


@dataclass(frozen=True)
class _Key:
    """What one look is about: the same one goes on while nothing of this is another."""

    session: str
    person: str
    action: Action
    page: str
    encounters: tuple[str, ...]
    patients: tuple[str, ...]
    relation: str
    address: str


@dataclass(frozen=True)
class _Lasting:
    look: UUID
    until_us: int


class Intervals:
    """The looks that last. Pure: the clock is the caller's."""

    def __init__(self) -> None:
        self._lasting: dict[_Key, _Lasting] = {}
        self._sorted_out_us = 0

    def lasts(self, key: _Key, at_us: int) -> bool:
        """Whether a look at this is written that goes on at this moment."""
        known = self._lasting.get(key)
        return known is not None and at_us < known.until_us

    def begin(self, key: _Key, look: UUID, at_us: int) -> None:
        """It is written, and lasts LOOK_S."""
        if at_us - self._sorted_out_us > LOOK_S * _SECOND_US:
            self._lasting = {each: lasting for each, lasting in self._lasting.items() if lasting.until_us > at_us}
            self._sorted_out_us = at_us
        self._lasting[key] = _Lasting(look, at_us + LOOK_S * _SECOND_US)

    def end(self, session: str, person: str, page: str, encounters: tuple[str, ...], at_us: int) -> list[UUID]:
        """Those at this page that still last: they are over."""
        ended = []
        for key, lasting in list(self._lasting.items()):
            is_it = (key.session, key.person, key.page, key.encounters) == (session, person, page, encounters)
            if is_it and at_us < lasting.until_us:
                ended.append(lasting.look)
                del self._lasting[key]
        return ended


class Looks:
    """Writes them through the role clerk. One for a process; may be called by several threads."""

    def __init__(
        self, clerk_conninfo: str, journal: LookJournal | None = None, reminders: Reminders | None = None,
        clock_us: Callable[[], int] = now_us,
    ) -> None:  # fmt: skip
        """`journal` None: nothing is seen while the store is away."""
        self._writer = LookWriter(clerk_conninfo)
        self._journal = journal
        self.reminders = reminders or Reminders()
        self._clock_us = clock_us
        self._intervals = Intervals()
        self._lock = threading.Lock()  # of the intervals: held for moments
        self._writing = threading.Lock()  # of the store and the journal: what is written has one order
        self._away_until_us = 0
        self._ending = threading.Event()
        self._bringing: threading.Thread | None = None
        if journal is not None and not journal.is_empty:
            with self._writing:
                self._bring_home_later()

    def note(self, viewer: Viewer, address: str, action: Action, decision: Decision, seen: Seen, at_us: int) -> None:
        """Returns when it is durable. The same look goes on for LOOK_S: then, and for what was ended, it is another.

        A stream notes again before each event that it sends: that costs nothing while the look lasts. Raises
        AuditAwayError, where the store is away and this must not go on without it.
        """
        key = _Key(
            viewer.session, viewer.id, action, seen.page, tuple(seen.encounters), tuple(seen.patients),
            decision.relation, address,
        )  # fmt: skip
        is_search = bool(seen.detail)
        if not is_search and self._lasts(key, at_us):
            return
        with self._writing:
            if not is_search and self._lasts(key, at_us):  # of another request of the same page, meanwhile
                return
            look = _look(viewer, address, action, decision, seen, at_us)
            reviews = self.reminders.note(viewer, action, decision, look, at_us)
            try:
                self._write([look, *reviews], may_wait=action is Action.SEE)
            except AuditAwayError:
                self.reminders.take_back(viewer.id, reviews)
                raise
        if not is_search:
            with self._lock:
                self._intervals.begin(key, look.look, at_us)

    def ended(self, viewer: Viewer, page: str, encounters: Sequence[str], at_us: int) -> None:
        """Nobody looks at it any more. Never raises: where it cannot be kept, the look has its latest end."""
        with self._lock:
            over = self._intervals.end(viewer.session, viewer.id, page, tuple(encounters), at_us)
        if not over:
            return
        with self._writing:
            try:
                self._write([LookEnd(look, moment(at_us)) for look in over], may_wait=True)
            except AuditAwayError:
                _log.warning("the end of a look is not kept", looks=len(over))

    def bring_home(self) -> bool:
        """What the journal has goes into the store; whether all of it is there now."""
        with self._writing:
            return self._bring_home()

    def close(self) -> None:
        """Ends its thread and connection; the journal keeps what did not come home."""
        self._ending.set()
        if self._bringing is not None:
            self._bringing.join()
        with self._writing:
            self._writer.close()
            if self._journal is not None:
                self._journal.close()

    def _lasts(self, key: _Key, at_us: int) -> bool:
        with self._lock:
            return self._intervals.lasts(key, at_us)

    def _write(self, entries: list[Entry], *, may_wait: bool) -> None:
        """Into the store; into the journal where it is away, or where the journal has older ones."""
        if self._is_away() or not self._bring_home():
            self._keep(entries, may_wait=may_wait)
            return
        try:
            self._writer.write(entries)
        except StoreError as error:
            self._note_away(error)
            self._keep(entries, may_wait=may_wait)

    def _keep(self, entries: list[Entry], *, may_wait: bool) -> None:
        if self._journal is None or not may_wait:
            raise AuditAwayError("what is seen cannot be recorded: the store of looks is away, try again in a minute")
        try:
            self._journal.append(entries)
        except JournalError as error:
            _log.error("the journal of looks is not written", problem=str(error))
            raise AuditAwayError("what is seen cannot be recorded: the journal of looks is full") from None
        self._bring_home_later()

    def _bring_home(self) -> bool:
        if self._journal is None or self._journal.is_empty:
            return True
        try:
            entries = self._journal.entries()
            for start in range(0, len(entries), _CHUNK):
                self._writer.write(entries[start : start + _CHUNK])
            self._journal.clear()
        except StoreError as error:
            self._note_away(error)
            return False
        except OSError as error:  # of the journal's disk: what is in the store already is left as it is there
            _log.error("the journal of looks cannot be emptied", problem=error.strerror)
            return False
        self._away_until_us = 0
        _log.info("looks came home from the journal", entries=len(entries))
        return True

    def _is_away(self) -> bool:
        return self._clock_us() < self._away_until_us

    def _note_away(self, error: StoreError) -> None:
        self._away_until_us = self._clock_us() + int(RETRY_S * _SECOND_US)
        _log.warning("the store of looks is away", error=type(error).__name__)

    def _bring_home_later(self) -> None:
        """By a thread that ends when all of it is home. The lock `_writing` is held."""
        if self._bringing is None or not self._bringing.is_alive():
            self._bringing = threading.Thread(target=self._keep_bringing, name="looks", daemon=True)
            self._bringing.start()

    def _keep_bringing(self) -> None:
        while not self._ending.wait(RETRY_S):
            with self._writing:
                if self._bring_home():
                    self._bringing = None  # within the lock: what is journaled from now on begins another
                    return


def _look(viewer: Viewer, address: str, action: Action, decision: Decision, seen: Seen, at_us: int) -> Look:
    return Look(
        look=uuid4(), person=_plain(viewer.id), role=viewer.role, action=action, page=_plain(seen.page),
        encounters=tuple(map(_plain, seen.encounters)), patients=tuple(map(_plain, seen.patients)),
        stays=seen.stays or len(seen.encounters), detail=_plain(seen.detail), relation=decision.relation,
        restricted=seen.restricted, session=_plain(viewer.session), address=_plain(address),
        reason=_plain(seen.reason), from_at=moment(at_us), until_at=moment(at_us + LOOK_S * _SECOND_US),
    )  # fmt: skip


def _plain(text: str) -> str:
    """What PostgreSQL can keep, whatever an address held: else one look would stop those behind it."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
