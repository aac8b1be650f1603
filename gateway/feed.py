"""The feed: one reader of the store, however many look on, and what each of them is sent.

Who comes, or who was too slow for a picture, gets the next one whole; from then on what changed. Pictures are numbered:
a page that misses a number asks for a whole one by connecting anew.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from emr_store.connect import StoreError, open_store
from gateway.access.beds import Bed
from gateway.asking import Asking
from gateway.feed_viewer import FeedViewer, Shown, shown
from gateway.pages.places import visible_of
from gateway.pages.ward import Ward
from gateway.picture import Picture, Visible
from gateway.places import Places

# A picture comes so often, also where nothing changed: by it a page knows that it is live. A little more than a second,
# for devices that speak each second: else a picture without news comes just before theirs.
EVERY_S = 1.25
LEAST_S = 0.5  # from one to the next where values were stored
LOOK_EVERY_S = 0.1  # whether some were, from then on
BEAT_S = 4.0  # something is sent at least so often, also while the store is away: proxies cut what is silent
END_S = 2.0
OPENING_S = 0.3  # a page that opens waits no longer for a picture of its own: the feed brings one
_Alike = tuple[object, ...]  # what all have in common who see the same
_log = structlog.get_logger("page")


class Feed:
    """The one reader of the store; those who look on wait for its next picture."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._ended = threading.Event()
        self._whole_requested = threading.Event()
        self._due = threading.Event()  # a picture before its second is over: somebody comes, or it ends
        self._hurried = False  # the last one was
        self._picture: Picture | None = None
        self._number = 0
        self._begun = 0  # the number of the picture that is being read, or was read last
        self._turn = asyncio.Event()
        self._shown_of = Places()
        self._shown: dict[_Alike, Shown] = {}  # of these places

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read while the block lasts, in a thread that nobody waits for long: a store may hang."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._read, args=(loop,), name="feed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.end()
            await asyncio.to_thread(thread.join, END_S)

    @property
    def places(self) -> Places:
        """Whose each bed is, by the newest picture."""
        return Places() if self._picture is None else self._picture.places

    def end(self) -> None:
        """Let go of everyone who looks on: their connections are waited for."""
        self._ended.set()
        self._due.set()
        self._turn.set()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        away = False
        while not self._ended.is_set():
            try:
                with open_store(self._conninfo) as conn:
                    ward = Ward(conn)
                    self._number += 1  # one is missing: whoever looked on before gets the next one whole
                    self._whole_requested.set()
                    while not self._ends_before_next(ward):
                        self._show_next(ward, loop)
                        if away:
                            _log.info("store is read again")
                        away = False
            except Exception as error:  # noqa: BLE001  a reader that ends leaves every page without news
                if not away:
                    odd = not isinstance(error, StoreError)
                    _log.warning("store cannot be read", error=type(error).__name__, exc_info=odd)
                away = True
                self._ended.wait(EVERY_S)

    def _ends_before_next(self, ward: Ward) -> bool:
        """Wait for the next picture's moment: values were stored, or who comes asks for one.

        For who comes it is at once, but not twice in a row.
        """
        was_hurried, self._hurried = self._hurried, False
        asks = self._ended if was_hurried else self._due
        began_s = time.monotonic()
        while (waited_s := time.monotonic() - began_s) < EVERY_S:
            if asks.wait(min(max(LEAST_S - waited_s, LOOK_EVERY_S), EVERY_S - waited_s)):
                self._hurried = not was_hurried
                break
            if ward.has_news():
                break
        self._due.clear()
        return self._ended.is_set()

    def _show_next(self, ward: Ward, loop: asyncio.AbstractEventLoop) -> None:
        whole = self._whole_requested.is_set()
        self._whole_requested.clear()
        self._begun = self._number + 1
        picture = ward.read(self._begun, whole=whole)
        self._number = picture.number
        if not self._ended.is_set():
            loop.call_soon_threadsafe(self._show, picture)

    def _show(self, picture: Picture) -> None:
        self._picture = picture
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    async def opening(self, viewer: FeedViewer) -> bytes | None:
        """The next picture whole, as JSON, for one who opens a page; None: none came within OPENING_S."""
        begun = self._begun  # as in `events`
        with suppress(TimeoutError):
            async with asyncio.timeout(OPENING_S):
                while not self._ended.is_set():
                    self._whole_requested.set()
                    self._due.set()
                    await self._turn.wait()
                    picture = self._picture
                    if picture is not None and picture.number > begun and picture.whole is not None:
                        return picture.document((await self._sees(viewer, picture)).visible)
        return None

    async def events(self, hello: bytes, viewer: FeedViewer) -> AsyncIterator[bytes]:
        """For one who looks on: `hello`, then each picture that comes; a slow one gets fewer, never old ones.

        It ends when he is signed in no more.
        """
        begun = self._begun  # may have been read before what the one who comes has just done
        yield b"retry: 1000\nevent: hello\ndata: " + hello + b"\n\n"
        seen, saw, places = 0, Visible(), Places()
        self._whole_requested.set()
        self._due.set()
        while not self._ended.is_set():
            try:
                async with asyncio.timeout(BEAT_S):  # unlike wait_for, it makes no task of each wait
                    await self._turn.wait()
            except TimeoutError:
                if not await viewer.is_there():
                    break
                yield b"event: beat\ndata: store away\n\n"
                continue
            if not await viewer.is_there():
                break
            if (picture := self._picture) is None or picture.number <= begun:  # it ends, or is of before
                continue
            sees = (await self._sees(viewer, picture)).visible
            follows = seen == picture.number - 1 and _sees_as_before(saw, places, sees, picture.places)
            if not follows and picture.whole is None:
                self._whole_requested.set()
                continue
            gone = frozenset(saw.beds - picture.places.of_bed.keys()) if follows else frozenset[Bed]()
            seen, saw, places = picture.number, sees, picture.places
            yield picture.message(sees, whole=not follows, gone=gone)
        if not self._ended.is_set():
            yield b"event: signed-out\ndata: sign in\n\n"

    async def _sees(self, viewer: FeedViewer, picture: Picture) -> Shown:
        """What he sees of this picture; that he does is noted when this returns."""
        return await viewer.noted(self._shown_to(viewer.asking, picture.places), picture.places)

    def _shown_to(self, asking: Asking, places: Places) -> Shown:
        """Worked out once for all of one role, the same wards and the same grants."""
        if places is not self._shown_of:
            self._shown_of, self._shown = places, {}
        viewer, at_us = asking.viewer, asking.at_us
        grants = frozenset(
            (encounter, grant.relation)
            for encounter, of_stay in viewer.grants.items()
            for grant in of_stay
            if grant.from_us <= at_us < grant.until_us
        )
        alike = (viewer.role, viewer.wards, viewer.locked, grants)
        if alike not in self._shown:
            self._shown[alike] = shown(visible_of(asking, places), places)
        return self._shown[alike]


def _sees_as_before(saw: Visible, places_before: Places, sees: Visible, places: Places) -> bool:
    """Whether of each bed that was there and still is as much is seen as before: the others bring all with them."""
    if sees is saw:
        return True
    changed = (saw.beds ^ sees.beds) | (saw.alarms ^ sees.alarms) | (saw.named ^ sees.named)
    return not any(bed in places_before.of_bed and bed in places.of_bed for bed in changed)
