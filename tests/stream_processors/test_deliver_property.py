"""Whatever a receiver answers, whatever people do, wherever the process ends: each version once in effect, in order.

The receiver is one of values alone: it knows what it filed by the control id, as a receiver of HL7 v2 does.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest

from adapters.emr.answer import Answer, Outcome
from emr_store import deliver_acts, deliver_status
from emr_store.acts import Author
from schemas.errors import VitalwireError
from stream_processors import deliver, stage
from stream_processors.deliver import Delivering
from stream_processors.deliver_receiver import AwayError, Outgoing, Reply
from stream_processors.destinations import receiver as configured_receiver
from stream_processors.destinations import writer
from tests.delivering import Said, admit, say
from tests.storing import Store
from tests.stream_processors.test_deliver import configured

STEPS = 120
VISITS = ("V1", "V2", "V3")
OPERATOR = Author("os:operator@ward", "mended")
RESULT = re.compile(rb"\rOBX\|\d+\|NM\|[^|]*\|[^|]*\|(\d+)\|[^|]*\|{5}([A-Z])\|")
ANSWERS = ("accept", "accept", "accept", "lost", "busy", "refuse", "lie", "away", "lie after filing")


class Filed:
    """What a receiver filed: of each result, by the entry, what it was told one after the other."""

    def __init__(self) -> None:
        self.told: dict[int, list[int]] = defaultdict(list)
        self.control_ids: set[str] = set()
        self.bodies: dict[str, set[bytes]] = defaultdict(set)

    def file(self, outgoing: Outgoing) -> None:
        self.bodies[outgoing.control_id].add(outgoing.body)
        if outgoing.control_id in self.control_ids:
            return
        self.control_ids.add(outgoing.control_id)
        for value, _ in RESULT.findall(outgoing.body):
            entry, version = divmod(int(value), 100)
            self.told[entry].append(version)


class Moody:
    """A receiver that does what it is told to: `next` is one of ANSWERS."""

    def __init__(self) -> None:
        self.filed, self.next = Filed(), "accept"

    async def send(self, outgoing: Outgoing) -> Reply:
        self.filed.bodies[outgoing.control_id].add(outgoing.body)
        if self.next == "away":
            raise AwayError("it refuses connections")
        if self.next in ("accept", "lost", "lie after filing"):
            self.filed.file(outgoing)
        if self.next == "lost":
            raise AwayError("no answer within 10 s", timed_out=True)
        outcome = {"accept": Outcome.ACCEPTED, "busy": Outcome.RETRY}.get(self.next, Outcome.PARK)
        return Reply(Answer(outcome=outcome, code="", reason=self.next), self.next.encode())

    async def close(self) -> None:
        """Nothing is open."""


class Story:
    """A ward whose chart grows, a task that delivers it, and people."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        self.store, self.rng, self.moody = store, rng, Moody()
        self.newest: dict[int, int] = {}
        self.visits: dict[int, str] = {}
        self.withdrawn: set[int] = set()
        self.skipped: set[tuple[int, int]] = set()
        self.task: Delivering | None = None

    def begin(self) -> Delivering:
        if self.task is None:
            config = configured(1, "attempts_max = 3\n")
            self.task = Delivering(self.store.address, config, writer(config), configured_receiver(config))
            assert self.task._desk.open()
        return self.task

    def crash(self) -> None:
        """What was in memory is gone."""
        if self.task is not None:
            self.task._desk.close()
            self.task = None

    async def turn(self) -> None:
        await self.begin()._turn()

    async def send(self) -> None:
        task = self.begin()
        if task._ready:
            self.moody.next = self.rng.choice(ANSWERS)
            await task._send(self.moody, task._ready.popleft())

    def write(self) -> None:
        """A new entry, or the next version of one."""
        standing = [entry for entry in self.newest if entry not in self.withdrawn]
        with self.store.open() as conn:
            if not standing or self.rng.random() < 0.4:
                entry, version, status = len(self.newest) + 1, 1, "final"
                self.visits[entry] = self.rng.choice(VISITS)
            else:
                entry = self.rng.choice(standing)
                version = self.newest[entry] + 1
                status = self.rng.choice(["amended", "amended", "entered-in-error"])
            if status == "entered-in-error":
                self.withdrawn.add(entry)
            self.newest[entry] = version
            say(conn, Said(
                entry, version, status, visit=self.visits[entry], slot=entry // 2, item=f"item {entry}",
                value=100 * entry + version, age_s=self.rng.choice([0, 3600]),
            ))  # fmt: skip

    def people(self) -> None:
        with self.store.open() as conn:
            parked = deliver_status.deliveries(conn, states=["parked"])
            try:
                if parked and self.rng.random() < 0.3:
                    row = self.rng.choice(parked)
                    deliver_acts.skip(conn, row.delivery, OPERATOR)
                    for entry, version in zip(row.entries, row.versions, strict=True):
                        self.skipped.add((int(entry.replace("-", ""), 16), version))
                elif parked:
                    deliver_acts.retry(conn, self.rng.choice(parked).delivery, OPERATOR)
                elif self.rng.random() < 0.5:
                    deliver_acts.pause(conn, "emr", OPERATOR)
                else:
                    deliver_acts.resume(conn, "emr", OPERATOR)
            except VitalwireError:
                pass  # it is parked behind another, or paused already

    async def play(self) -> None:
        for _ in range(STEPS):
            step = self.rng.choices(["write", "turn", "send", "people", "crash"], [4, 4, 8, 1, 1])[0]
            if step == "write":
                self.write()
            elif step == "people":
                self.people()
            elif step == "crash":
                self.crash()
            else:
                await (self.turn() if step == "turn" else self.send())

    async def settle(self) -> None:
        """The receiver is mended, and people let go all that is parked."""
        with self.store.open() as conn:
            with contextlib.suppress(VitalwireError):
                deliver_acts.resume(conn, "emr", OPERATOR)
            self.moody.next = "accept"
            for _ in range(300):
                deliver_acts.retry_all(conn, "emr", OPERATOR)
                task = self.begin()
                task._away_until_s = 0.0
                await task._turn()
                while task._ready:
                    await task._send(self.moody, task._ready.popleft())
                (row,) = deliver_status.destinations(conn)
                if not (task._results or row.waiting or row.behind or row.parked):
                    return
        raise AssertionError(f"it never ends: {row}")


@pytest.fixture
def store(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(deliver, "BACK_OFF_MAX_S", 0.0)
    made = Store(database)
    admit(made, *VISITS)
    yield made
    stage.waits.pop("delivery to emr", None)


@pytest.mark.parametrize("seed", range(8))
def test_each_version_once_in_effect_and_in_order(store: Store, seed: int) -> None:
    story = Story(store, random.Random(seed))

    async def play() -> None:
        await story.turn()
        await story.play()
        await story.settle()

    asyncio.run(play())
    story.crash()
    told = story.moody.filed.told
    for entry, newest in story.newest.items():
        assert told[entry] == sorted(set(told[entry])), entry  # once, and none after a later one
        missing = set(range(1, newest + 1)) - set(told[entry])
        for version in missing:
            # Skipped by people, or a withdrawal of what they skipped.
            assert (entry, version) in story.skipped or (entry in story.withdrawn and version == newest), entry
    assert all(len(bodies) == 1 for bodies in story.moody.filed.bodies.values())
    assert sum(map(len, told.values())) > 10
