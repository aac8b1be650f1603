"""One who looks on: who he is at each moment, and that what he sees of people is noted before it is sent."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool

from emr_store.connect import StoreError
from gateway.access.words import Action, DataClass
from gateway.asking import Asking
from gateway.looks import LOOK_S, Seen
from gateway.people.sessions import Sessions, SignedIn
from gateway.picture import Visible
from gateway.places import Places
from runtime.clock import now_us

VIEWER_EVERY_S = 10.0  # he is asked for anew; at once where his session changes
AHEAD_S = 2.0  # the store is asked so long before: no picture waits for its answer, where it comes in time
PAGE = "ward"


@dataclass(frozen=True)
class Shown:
    """What somebody sees, and of whom: the stays whose patients are named there, and whether one is restricted."""

    visible: Visible
    encounters: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    restricted: bool = False

    @property
    def without_names(self) -> Shown:
        """The same beds, nobody in them named."""
        return Shown(replace(self.visible, named=frozenset()))


def shown(visible: Visible, places: Places) -> Shown:
    """What this comes to."""
    stays = sorted({stay for bed in visible.named for stay in places.of_bed[bed].named})
    patients = sorted({places.patients[stay] for stay in stays if stay in places.patients})
    identities = places.stays.get(DataClass.IDENTITY, {})
    return Shown(
        visible, tuple(stays), tuple(patients), any(identities[s].restricted for s in stays if s in identities)
    )


class FeedViewer:
    """Of one stream, as it goes on. `asking`: of the request that began it."""

    def __init__(self, asking: Asking, sessions: Sessions, secret: str, clock: Callable[[], int] = now_us) -> None:
        self._asking, self._sessions, self._secret, self._clock = asking, sessions, secret, clock
        self._signed_in: SignedIn | None = None
        # Of many who come at once not all are asked for at once again.
        self._read_s = time.monotonic() - random.random() * VIEWER_EVERY_S
        self._reading: asyncio.Task[SignedIn | None] | None = None
        self._noted: tuple[str, ...] = ()
        self._noted_s = float("-inf")

    @property
    def asking(self) -> Asking:
        """Who he is, at this moment."""
        return replace(self._asking, at_us=self._clock())

    async def is_there(self) -> bool:
        """Whether he is signed in still; his wards, grants and whether he sits there are taken anew where it is due."""
        known, age_s = self._sessions.peek(self._secret), time.monotonic() - self._read_s
        is_due = self._reading is None and age_s >= VIEWER_EVERY_S - AHEAD_S
        if known is None or is_due:  # what is being read was begun before his session changed
            self._reading = asyncio.create_task(run_in_threadpool(self._sessions.current, self._secret))
        if self._reading is not None and (known is None or age_s >= VIEWER_EVERY_S or self._reading.done()):
            known = await self._reading
            self._reading, self._read_s = None, time.monotonic()
        if known is None:
            return False
        if known is not self._signed_in:
            self._signed_in = known
            self._asking = replace(self._asking, viewer=known.viewer)
        return True

    async def noted(self, sees: Shown, places: Places) -> Shown:
        """What may be sent: without names where the look at them cannot be kept."""
        is_noted = sees.encounters == self._noted and time.monotonic() - self._noted_s < LOOK_S
        if not sees.encounters or is_noted:
            return sees
        try:
            await run_in_threadpool(self._note, sees, places)
        except StoreError:
            return sees.without_names
        self._noted, self._noted_s = sees.encounters, time.monotonic()
        return sees

    def _note(self, sees: Shown, places: Places) -> None:
        asking, stays = self.asking, places.stays[DataClass.VITALS]
        first = next((stays[stay] for stay in sees.encounters if stay in stays), None)
        if first is not None:
            seen = Seen(PAGE, sees.encounters, sees.patients, restricted=sees.restricted)
            asking.note(Action.SEE, asking.may(Action.SEE, first), seen)
