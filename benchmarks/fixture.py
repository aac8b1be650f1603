"""`python -m benchmarks.fixture [--quick]`: the store that figures and pages are measured on, made once and kept.

1,000 devices of 12 values: 23 hours at a report each 4 s, by COPY as rows that no batch stands behind; then an hour at
1 Hz through sealed batches and the workers; minutes by the product's own summariser. 292 million values, or with
--quick 3 million of the same shape. It is a database of the real server, whose data lies under ~/.cache, and a folder
there with its keys and `fixture.json`; both are named by a hash of what made them and of the schema that they were made
with (the migrations up to FROZEN). Newer migrations are applied to it in place, as a hospital's upgrade does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import numpy as np
import psycopg
from rich.progress import Progress

from benchmarks.databases import drop_database
from benchmarks.pipeline import EDGES, Bench, Sealed
from benchmarks.ward import SECOND_US, Stretch, Ward
from emr_store import rows
from emr_store.connect import open_store, open_store_async
from emr_store.migrate import migrate, migrations
from emr_store.minutes import summarise
from emr_store.partitions import Partitions
from emr_store.rows import Chunk
from schemas.report import device_id
from stream_processors.validation import validate_table

FORM = 1  # of what is made here: a new one is made where this has changed
FROZEN = 4  # the newest migration that was released when this form was: none up to it changes any more
DEVICES = 1000
VALUES = 12
EVERY_S = 4  # of the rows without batches
BATCH_S = 4  # an edge's devices at 1 Hz: 1,000 reports a batch
AHEAD_BATCHES = 100  # sent at once
ROWS_TURNS = 30  # in one COPY: two whole minutes, so that none is summarised twice
CLOSED_AFTER_S = 90  # the summariser leaves a minute alone that is not over
CACHE = Path(os.environ.get("VITALWIRE_SERVICES_DIR", "~/.cache/vitalwire")).expanduser()  # as the server's own data


@dataclass(frozen=True)
class Size:
    """How much of it is made, in seconds of the ward's time."""

    rows_s: int
    sealed_s: int


FULL = Size(rows_s=23 * 3600, sealed_s=3600)
QUICK = Size(rows_s=780, sealed_s=60)


class Fixture(msgspec.Struct, frozen=True):
    """What was made: instants in microseconds; batches stand behind what is from `sealed_from_us` on."""

    database: str  # its name on the server
    begins_us: int
    sealed_from_us: int
    ends_us: int
    values: int
    took_s: float

    @property
    def address(self) -> str:
        """As libpq takes it."""
        return urlsplit(os.environ["VITALWIRE_DATABASE"])._replace(path=f"/{self.database}").geturl()


def name_of(size: Size) -> str:
    """Of its database and folder."""
    schema = b"".join(f"{number} {sql}".encode() for number, sql in migrations() if number <= FROZEN)
    digest = sha256(f"{FORM} {size} ".encode() + schema).hexdigest()[:12]
    return f"fixture_{digest}"


def kept(size: Size) -> Fixture | None:
    """The one that is there already, brought up to this program's schema."""
    try:
        found = msgspec.json.decode((CACHE / name_of(size) / "fixture.json").read_bytes(), type=Fixture)
        open_store(found.address).close()
    except (FileNotFoundError, psycopg.OperationalError):
        return None
    if applied := migrate(found.address):
        print(f"{found.database}: applied migrations {applied}", file=sys.stderr)
    return found


def make(size: Size) -> Fixture:
    """Take the one that is there, else make it; what a run left unfinished is thrown away."""
    if found := kept(size):
        return found
    name, began_s = name_of(size), time.monotonic()
    folder = CACHE / name
    drop_database(os.environ["VITALWIRE_DATABASE"], name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    bench = Bench(folder, name=name)
    bench.make_database()
    ends_us = (time.time_ns() // 1000 - CLOSED_AFTER_S * SECOND_US) // rows.MINUTE_US * rows.MINUTE_US
    sealed_from_us = ends_us - size.sealed_s * SECOND_US
    begins_us = sealed_from_us - size.rows_s * SECOND_US
    senders = wards()
    with Progress(disable=not sys.stderr.isatty()) as progress:
        store_sealed(bench, senders, sealed_from_us, size.sealed_s, _bar(progress, "sealed batches"))
        on_copied, on_summarised = _bar(progress, "rows without batches"), _bar(progress, "minutes")
        copied = Event()
        with ThreadPoolExecutor(1) as beside:  # each takes a core of the database
            minutes = beside.submit(lambda: asyncio.run(summarise_all(bench.database, copied, size, on_summarised)))
            try:
                copy_rows(bench.database, senders, begins_us, size.rows_s, on_copied)
            finally:
                copied.set()
            minutes.result()
    values = DEVICES * VALUES * (size.sealed_s + size.rows_s // EVERY_S)
    made = Fixture(name, begins_us, sealed_from_us, ends_us, values, round(time.monotonic() - began_s, 1))
    (folder / "fixture.json").write_bytes(msgspec.json.encode(made))
    return made


def wards() -> list[Ward]:
    """The devices of each edge."""
    return [Ward(edge * DEVICES // EDGES, DEVICES // EDGES) for edge in range(EDGES)]


OnProgress = Callable[[int, int], None]


def _bar(progress: Progress, what: str) -> OnProgress:
    bar = progress.add_task(what, total=None)
    return lambda done, of: progress.update(bar, completed=done, total=of)


def store_sealed(bench: Bench, senders: list[Ward], begin_us: int, seconds: int, on_progress: OnProgress) -> None:
    """What the wards send at 1 Hz, as batches through the workers."""
    with bench.workers():
        waiting: list[Sealed] = []
        for done_s, batches in sealed_batches(bench, senders, begin_us, seconds):
            waiting += batches
            if len(waiting) >= AHEAD_BATCHES or done_s >= seconds:
                bench.through(waiting)
                waiting.clear()
                on_progress(done_s, seconds)


def sealed_batches(
    bench: Bench, senders: list[Ward], begin_us: int, seconds: int
) -> Iterator[tuple[int, list[Sealed]]]:  # fmt: skip
    """A batch of each edge at a time, and up to which second."""
    for second in range(0, seconds, BATCH_S):
        times = min(BATCH_S, seconds - second)
        yield (
            second + times,
            [
                bench.seal(edge, ward.send(begin_us + second * SECOND_US, times, 1).encoded())
                for edge, ward in enumerate(senders)
            ],
        )


def copy_rows(database: str, senders: list[Ward], begin_us: int, seconds: int, on_progress: OnProgress) -> None:
    """What the wards sent before, as rows of batch 0. Their devices and channels are known already."""
    with open_store(database) as conn:
        known: dict[UUID, int] = dict(conn.execute("SELECT uuid, device FROM device").fetchall())
        numbers = [np.array([known[device_id(name)] for name in ward.names]) for ward in senders]
        sets = {bytes(channels): number for channels, number in conn.execute(_CHANNEL_SETS_SQL)}
        partitions = Partitions.of(conn)
        for turn in range(0, seconds // EVERY_S, ROWS_TURNS):
            times = min(ROWS_TURNS, seconds // EVERY_S - turn)
            stretches = [ward.send(begin_us + turn * EVERY_S * SECOND_US, times, EVERY_S) for ward in senders]
            device = np.concatenate([of[s.device] for of, s in zip(numbers, stretches, strict=True)])
            chunk = _chunk(stretches, device, sets)
            partitions.ensure(conn, chunk.observed_at_us)
            with conn.transaction():
                _copy(conn, "report", rows.report_rows(chunk))
                _copy(conn, "minute_touched", rows.touched_rows(chunk))
            on_progress(turn + times, seconds // EVERY_S)


_CHANNEL_SETS_SQL = "SELECT channels, channel_set FROM channel_set"


def _chunk(stretches: list[Stretch], device: np.ndarray, sets: dict[bytes, int]) -> Chunk:
    """All of these reports by their moment, as one chunk of rows."""
    joined = Stretch(
        np.concatenate([s.rows for s in stretches]), np.concatenate([s.records for s in stretches]), device
    )  # fmt: skip
    order = np.argsort(joined.table().observed_at_us, kind="stable")
    table = Stretch(joined.rows[order], joined.records[order], device[order]).table()
    validated = validate_table(table, np.zeros(len(table), bool))
    nothing = np.zeros(len(table), np.int64)
    return Chunk(table, validated.flags, validated.validation_results, validated.values, device[order], nothing,
               nothing, table.observed_at_us, sets.__getitem__)  # fmt: skip


def _copy(conn: psycopg.Connection, table: str, data: bytes) -> None:
    with conn.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copying:
        copying.write(data)


async def summarise_all(database: str, copied: Event, size: Size, on_progress: OnProgress) -> None:
    """Every minute that waits for its summary, until all rows are copied and none waits."""
    expected = DEVICES * (size.rows_s + size.sealed_s) // 60
    summarised = 0
    async with await open_store_async(database) as conn:
        while True:
            was_last = copied.is_set()
            touched = await summarise(conn)
            summarised += touched
            on_progress(min(summarised, expected), expected)
            if touched == 0:
                if was_last:
                    return
                await asyncio.sleep(0.2)


def main() -> None:
    """Make it, and say where it is."""
    size = QUICK if "--quick" in sys.argv else FULL
    before = kept(size)
    made = before or make(size)
    how = "is there already" if before else f"made in {made.took_s:.0f} s"
    print(f"{made.database}: {made.values:,} values, {how}")


if __name__ == "__main__":
    main()
