"""The spool: what the edge keeps until the hospital's signed receipt for it has come back.

One SQLite file (WAL; synchronous=FULL, because NORMAL loses the last commits on power loss), written by one thread that
commits together what comes within a few milliseconds. Reports wait in `report` until they are cut into a sealed batch;
a batch is `wanted` until the store, as it is now, has sent a receipt for it. Nothing without a receipt is ever deleted.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from enum import Enum
from functools import partial, wraps
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Concatenate, ParamSpec, TypeVar

from edge_agent import repeats
from edge_agent.delivery import Delivery
from edge_agent.events import event
from edge_agent.repeats import Repeats, Sending
from evidence.seal import FIRST_PREVIOUS, batch_id
from evidence.statements import Receipt
from runtime.clock import now_us
from schemas.batch import encode_report, set_sequence
from schemas.errors import VitalwireError
from schemas.layout import CUT_BYTES
from schemas.report import Kind, Lane, Report

GROUP_S = 0.005  # what comes within it is committed together
GROUP_FRAMES = 500  # or so many frames
QUEUE_BYTES_MAX = 32 * 1024 * 1024  # waiting for a commit; beyond it frames are refused
BACKFILL_AFTER_US = 10_000_000  # what had waited longer when it was cut does not travel with live data
LEVELS = (0.70, 0.85, 0.95)  # of the quota, by what has no receipt; each is reported when it is reached
LEVEL_REST = 0.05  # and again only after the share has fallen so far below it
TIDY_US = 10_000_000
TIDY_BATCHES = 500  # let go at one time
CACHE_KIB = 16 * 1024
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}  # all other errors (disk full, I/O) may pass
CLAIM_CHARS_MAX = 1000  # of a report that does not fit

VERSION = 1
SCHEMA = f"""
BEGIN;
CREATE TABLE meta (
    spool BLOB, incarnation BLOB, incarnation_at INTEGER, reports INTEGER, report_bytes INTEGER,
    oldest_received_us INTEGER, open_batches INTEGER, open_bytes INTEGER, held_bytes INTEGER
);
CREATE TABLE report (id INTEGER PRIMARY KEY, bulk INTEGER, received_at INTEGER, leaf BLOB);
CREATE INDEX report_waiting ON report (bulk, received_at);
CREATE TABLE device (device BLOB PRIMARY KEY, sequence INTEGER) WITHOUT ROWID;
CREATE TABLE stream (lane INTEGER PRIMARY KEY, batch_no INTEGER, header_hash BLOB);
CREATE TABLE batch (
    id INTEGER PRIMARY KEY, lane INTEGER, batch_no INTEGER, batch_id BLOB, size INTEGER, cut_at INTEGER,
    wanted INTEGER DEFAULT 1, receipted_at INTEGER, incarnation BLOB, chain_position INTEGER, UNIQUE (lane, batch_no)
);
CREATE INDEX batch_wanted ON batch (lane, batch_no) WHERE wanted;
CREATE INDEX batch_held ON batch (receipted_at) WHERE receipted_at IS NOT NULL;
CREATE TABLE sealed (id INTEGER PRIMARY KEY, bytes BLOB);
{repeats.SCHEMA}
INSERT INTO meta VALUES (randomblob(16), NULL, 0, 0, 0, NULL, 0, 0, 0);
PRAGMA user_version = {VERSION};
COMMIT;
"""
_FIRST, _LAST = -(2**63), 2**63 - 1  # moments
_KEEP_REPORT = "INSERT INTO report (bulk, received_at, leaf) VALUES (?, ?, ?)"
_KEEP_BATCH = "INSERT INTO batch (lane, batch_no, batch_id, size, cut_at) VALUES (?, ?, ?, ?, ?)"
_OLDEST, _NEWEST = (
    " UNION ALL ".join(f"SELECT {end}(received_at) AS at FROM report WHERE bulk = {bulk}" for bulk in (0, 1))
    for end in ("min", "max")
)
_WAITING = (
    "SELECT id, received_at, leaf FROM report WHERE bulk = ? AND received_at BETWEEN ? AND ? ORDER BY received_at, id"
)
_WANTED = "SELECT batch_no, bytes FROM batch JOIN sealed USING (id) WHERE wanted AND lane = ? AND batch_no > ?"
_NAMED = "SELECT id, size, receipted_at IS NULL FROM batch WHERE lane = ? AND batch_no = ? AND batch_id = ?"
_RECEIPTED = "UPDATE batch SET wanted = ?, receipted_at = ?, incarnation = ?, chain_position = ? WHERE id = ?"
_HELD = "SELECT id, size FROM batch WHERE receipted_at IS NOT NULL AND receipted_at < ? ORDER BY receipted_at LIMIT ?"
# The newest traces of work: what is let go is always older.
_LAST_CUT = "SELECT max(cut_at) FROM stream CROSS JOIN batch USING (lane, batch_no)"  # CROSS: by the index of batches
_AT_WORK = f"SELECT max(at) FROM ({_NEWEST} UNION ALL {_LAST_CUT})"

_T = TypeVar("_T")
_P = ParamSpec("_P")
_Leaf = tuple[bool, int, bytearray]  # bulk, received_at, bytes


class Kept(Enum):
    """What became of a frame."""

    KEPT = "kept"
    REPEAT = "repeat"  # kept before
    FULL = "full"  # cannot be kept now; it must not be acknowledged


@dataclass
class Figures:
    """What the spool holds, as of its last transaction; bytes are plain while reports wait, then sealed."""

    reports: int = 0  # wait to be cut
    report_bytes: int = 0
    oldest_received_us: int | None = None
    open_batches: int = 0  # cut, without a receipt
    open_bytes: int = 0
    held_bytes: int = 0  # with a receipt, kept for `receipt_hold`


_FIGURES = tuple(field.name for field in fields(Figures))


@dataclass(frozen=True)
class _Frame:
    sending: Sending | None
    leaves: list[_Leaf]
    done: Callable[[Kept], object]
    size: int


def _by_the_writer(
    work: Callable[Concatenate[Spool, sqlite3.Connection, _P], _T],
) -> Callable[Concatenate[Spool, _P], _T]:
    """Done by the writer's thread in one transaction, whose COMMIT is waited for; raises VitalwireError."""

    @wraps(work)
    def wait(self: Spool, /, *args: _P.args, **named: _P.kwargs) -> _T:
        try:
            return self._writer.submit(self._in_transaction, lambda db: work(self, db, *args, **named)).result()
        except (sqlite3.Error, OSError, RuntimeError) as error:  # RuntimeError: it was closed
            raise VitalwireError(f"the spool cannot write: {error}") from error

    return wait


class Spool:
    """Opens the spool in `folder`, or begins one; raises VitalwireError where another agent uses it or it cannot be.

    A damaged file is set aside under a new name, and a fresh spool with an id of its own begins, also while running.
    `on_event` gets a slug and a line for people after a `put`, on the spool's thread. All methods are thread-safe; all
    but `put` wait.
    """

    def __init__(
        self, folder: Path, *, bytes_max: int, receipt_hold_s: float, cut_after_s: float = 0.4,
        on_event: Callable[[str, str], object] = lambda _, __: None, now_us: Callable[[], int] = now_us,
    ) -> None:  # fmt: skip
        self._path, self._bytes_max = folder / "spool.db", bytes_max
        self._hold_us, self._cut_after_us = int(receipt_hold_s * 1e6), int(cut_after_s * 1e6)
        self._on_event, self._now_us = on_event, now_us
        self._waiting: list[_Frame] = []
        self._waiting_bytes = 0
        self._waiting_lock = Lock()
        self._level, self._refused, self._tidied_us, self._damage = 0, 0, 0, ""
        self.figures = Figures()
        try:
            folder.mkdir(0o700, parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._db: sqlite3.Connection | None = self._open()
        except BlockingIOError:
            raise VitalwireError(f"the spool {folder} is in use by another agent: end that one first") from None
        except (OSError, sqlite3.Error) as error:
            raise VitalwireError(f"the spool {folder} cannot be opened: {error}") from error
        self._writer = ThreadPoolExecutor(1, "spool")

    def put(
        self,
        reports: Sequence[Report],
        delivery: Delivery | None = None,
        done: Callable[[Kept], object] = lambda _: None,
    ) -> None:
        """Keep what a delivery's frame says, or without one the edge's own words, which are never a repeat.

        `done` runs on the spool's thread, after the COMMIT that holds them.
        """
        frame, sending = b"", None
        if delivery is not None:
            frame = delivery.frame
            if delivery.sender:
                own_time, claims = any(r.own_time for r in reports), frozenset(r.claim for r in reports)
                sending = Sending(delivery, own_time, claims)
        leaves = _encode(reports, frame)
        size = sum(len(leaf) for *_, leaf in leaves)
        with self._waiting_lock, suppress(RuntimeError):  # closed
            if self._waiting_bytes + len(frame) + size <= QUEUE_BYTES_MAX:
                if not self._waiting:
                    # A bug that ends the writer's work is logged, not swallowed.
                    self._writer.submit(self._flush).add_done_callback(Future.result)
                self._waiting.append(_Frame(sending, leaves, done, size))
                self._waiting_bytes += len(frame) + size
                return
        done(Kept.FULL)

    @_by_the_writer
    def cut(
        self, db: sqlite3.Connection, lane: Lane, seal: Callable[..., bytes], now_us: int
    ) -> tuple[int, bytes] | None:
        """Cut a batch of the lane if one is due: its number and bytes, committed, signature and all.

        `seal` is `evidence.seal.seal` with what is the edge's own (edge, config_hash, key_id, sign).
        """
        border = now_us - BACKFILL_AFTER_US
        live, backfill, waveform = (0, border, _LAST), (0, _FIRST, border - 1), (1, _FIRST, _LAST)
        span = {Lane.LIVE: live, Lane.BACKFILL: backfill, Lane.WAVEFORM: waveform}[lane]
        ids: list[tuple[int]] = []
        leaves: list[bytes] = []
        size, due = 0, False
        for ident, received_us, leaf in db.execute(_WAITING, span):  # the oldest first
            due = due or not 0 <= now_us - received_us < self._cut_after_us  # an age below 0: the clock was set back
            if not due and self.figures.report_bytes < CUT_BYTES:
                return None
            ids.append((ident,))
            leaves.append(leaf)
            size += len(leaf)
            if size >= CUT_BYTES:
                due = True
                break
        if not due:
            return None
        row = db.execute("SELECT batch_no, header_hash FROM stream WHERE lane = ?", (lane,)).fetchone()
        last, previous = row or (0, FIRST_PREVIOUS)
        number = last + 1
        sealed = seal(leaves, lane=lane, spool=self.spool_id, batch_no=number, previous=previous, created_at_us=now_us)
        db.execute("INSERT OR REPLACE INTO stream VALUES (?, ?, ?)", (lane, number, batch_id(sealed)))
        kept = db.execute(_KEEP_BATCH, (lane, number, batch_id(sealed), len(sealed), now_us))
        db.execute("INSERT INTO sealed VALUES (?, ?)", (kept.lastrowid, sealed))
        db.executemany("DELETE FROM report WHERE id = ?", ids)
        self.figures.reports -= len(ids)
        self.figures.report_bytes -= size
        self.figures.open_batches += 1
        self.figures.open_bytes += len(sealed)
        return number, sealed

    @_by_the_writer
    def wanted(self, db: sqlite3.Connection, lane: Lane, after: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Numbers and bytes of the batches after `after` that the store is to have, in order.

        Up to `bytes_max`, and at least one if there is any.
        """
        found: list[tuple[int, bytes]] = []
        size = 0
        for number, sealed in db.execute(_WANTED + " ORDER BY batch_no", (lane, after)):
            size += len(sealed)
            if found and size > bytes_max:
                break
            found.append((number, sealed))
        return found

    @_by_the_writer
    def receipted(self, db: sqlite3.Connection, receipts: Sequence[Receipt]) -> tuple[list[Receipt], bool]:
        """Release what these (verified) receipts are for; those that settled a batch of this spool.

        True: the store is not the one that sent the receipts before, and everything held is wanted again.
        """
        now_us, settled, changed = self._now_us(), [], False
        current, since_us = db.execute("SELECT incarnation, incarnation_at FROM meta").fetchone()
        for r in receipts:
            # Receipts come in any order: only a younger one may speak of a new store.
            if r.incarnation != current and r.stored_at_us > since_us:
                changed |= current is not None
                db.execute("UPDATE batch SET wanted = 1 WHERE incarnation IS NOT ?", (r.incarnation,))
                current = r.incarnation
            since_us = max(since_us, r.stored_at_us)
            name = (r.lane, r.batch_no, r.batch_id)
            row = db.execute(_NAMED, name).fetchone() if r.spool == self.spool_id else None
            if row is None:
                continue
            ident, size, first = row
            settles = r.incarnation == current
            if settles or first:
                db.execute(_RECEIPTED, (not settles, now_us, r.incarnation, r.chain_position, ident))
            if first:
                self.figures.open_batches -= 1
                self.figures.open_bytes -= size
                self.figures.held_bytes += size
            if settles:
                settled.append(r)
        db.execute("UPDATE meta SET incarnation = ?, incarnation_at = ?", (current, since_us))
        return settled, changed

    def close(self) -> None:
        """Commit what waits, and let go of the file."""
        self._writer.shutdown()
        if self._db is not None:
            self._db.close()
        self._lock.close()

    # --- the writer's thread ------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if len(self._waiting) < GROUP_FRAMES:
            time.sleep(GROUP_S)
        with self._waiting_lock:
            frames, self._waiting, self._waiting_bytes = self._waiting, [], 0
        outcomes = [Kept.FULL] * len(frames)
        try:
            outcomes = self._in_transaction(partial(self._keep, frames))
            reason = f"its quota of {self._bytes_max} bytes is used up by what has no receipt"
        except (sqlite3.Error, OSError) as error:
            reason = str(error)
        finally:
            for frame, outcome in zip(frames, outcomes, strict=True):
                with suppress(RuntimeError):  # the event loop that wanted to know has ended
                    frame.done(outcome)
        self._report(outcomes.count(Kept.FULL), reason)

    def _in_transaction(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        db = self._db = self._db or self._open()
        before, self.figures = self.figures, replace(self.figures)
        try:
            db.execute("BEGIN IMMEDIATE")
            result = work(db)
            if self.figures != before:
                (self.figures.oldest_received_us,) = db.execute(f"SELECT min(at) FROM ({_OLDEST})").fetchone()
                columns = ", ".join(f"{name} = ?" for name in _FIGURES)
                db.execute(f"UPDATE meta SET {columns}", astuple(self.figures))
            db.execute("COMMIT")
        except BaseException as error:
            # Whatever the disk says later, nothing of this transaction counts.
            self.figures = before
            with suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
            if _is_damage(error):
                db.close()
                self._db = None
                self._set_aside(error)
            raise
        return result

    def _keep(self, frames: Sequence[_Frame], db: sqlite3.Connection) -> list[Kept]:
        now_us = self._now_us()
        self._tidy(db, now_us)
        outcomes: list[Kept] = []
        rows: list[_Leaf] = []
        sequences: dict[bytes, int] = {}
        for frame in frames:
            repeat = frame.sending is not None and self._repeats.is_repeat(frame.sending, now_us)
            if not repeat and not self._make_room(db, frame.size):
                outcomes.append(Kept.FULL)
                continue
            if frame.sending is not None:
                self._repeats.remember(frame.sending, now_us)
            outcomes.append(Kept.REPEAT if repeat else Kept.KEPT)
            for row in () if repeat else frame.leaves:
                leaf = row[2]
                device = bytes(leaf[:16])
                sequences[device] = (sequences.get(device) or _last_sequence(db, device)) + 1
                set_sequence(leaf, sequences[device])
                rows.append(row)
                self.figures.reports += 1
                self.figures.report_bytes += len(leaf)
        db.executemany(_KEEP_REPORT, rows)
        db.executemany("INSERT OR REPLACE INTO device VALUES (?, ?)", sequences.items())
        return outcomes

    def _make_room(self, db: sqlite3.Connection, size: int) -> bool:
        """Room for `size` bytes within the quota: batches with a receipt go, the oldest first, and nothing else."""
        f = self.figures
        if f.report_bytes + f.open_bytes + size > self._bytes_max:
            return False
        while f.report_bytes + f.open_bytes + f.held_bytes + size > self._bytes_max and self._let_go(db, _LAST, 1):
            pass
        return True

    def _tidy(self, db: sqlite3.Connection, now_us: int) -> None:
        if abs(now_us - self._tidied_us) > TIDY_US:
            self._tidied_us = now_us
            self._repeats.tidy(now_us)
            self._let_go(db, now_us - self._hold_us, TIDY_BATCHES)

    def _let_go(self, db: sqlite3.Connection, before_us: int, count: int) -> bool:
        held = db.execute(_HELD, (before_us, count)).fetchall()
        for ident, size in held:
            db.execute("DELETE FROM batch WHERE id = ?", (ident,))
            db.execute("DELETE FROM sealed WHERE id = ?", (ident,))
            self.figures.held_bytes -= size
        return bool(held)

    def _report(self, refused: int, reason: str) -> None:
        if self._damage:
            self._on_event("spool-damaged", self._damage)
            self._damage = ""
        if refused and not self._refused:
            self._on_event("spool-full", f"the spool keeps nothing more and nothing is acknowledged: {reason}")
        if self._refused and not refused:
            self._on_event("spool-keeps-again", f"the spool keeps frames again; {self._refused} were refused")
        self._refused = self._refused + refused if refused else 0
        share = (self.figures.report_bytes + self.figures.open_bytes) / self._bytes_max
        while self._level < len(LEVELS) and share >= LEVELS[self._level]:
            self._on_event("spool-level", f"{LEVELS[self._level]:.0%} of the spool hold what has no receipt")
            self._level += 1
        while self._level and share < LEVELS[self._level - 1] - LEVEL_REST:
            self._level -= 1

    # --- the file ----------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._set_aside(error)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            # EXCLUSIVE keeps the index of the WAL out of a file, and other programs' hands off the spool.
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL",
                           f"cache_size = -{CACHE_KIB}"):  # fmt: skip
                db.execute(f"PRAGMA {pragma}")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise VitalwireError(f"{self._path} was written by a newer vitalwire: install that one again")
            if version == 0:
                db.executescript(SCHEMA)
            self.spool_id, *figures = db.execute(f"SELECT spool, {', '.join(_FIGURES)} FROM meta").fetchone()
            self.figures = Figures(*figures)
            (self.last_at_work_us,) = db.execute(_AT_WORK).fetchone()  # before it was opened; None: never
        except BaseException:
            db.close()
            raise
        self._repeats = Repeats(db)
        return db

    def _set_aside(self, error: BaseException) -> None:
        at = datetime.fromtimestamp(self._now_us() / 1e6, UTC)
        aside = self._path.with_name(f"spool-damaged-{at:%Y%m%dT%H%M%SZ}-{os.urandom(2).hex()}.db")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(f"{self._path}{suffix}", f"{aside}{suffix}")
        self._damage = f"the spool is damaged ({error}): kept as {aside.name}, a fresh one begins"


def _is_damage(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def _last_sequence(db: sqlite3.Connection, device: bytes) -> int:
    row = db.execute("SELECT sequence FROM device WHERE device = ?", (device,)).fetchone()
    return int(row[0]) if row else 0


def _encode(reports: Sequence[Report], frame: bytes) -> list[_Leaf]:
    """Each report as its leaf; those that do not fit the layout become one `rejected` report together."""
    leaves: list[_Leaf] = []
    failed: list[tuple[Report, str]] = []
    for report in reports:
        try:
            leaves.append(_leaf(report, frame))
        except (VitalwireError, struct.error, ValueError, OverflowError) as error:
            failed.append((report, str(getattr(error, "reason", "does-not-fit"))))
    if failed:
        first, reason = failed[0]
        text = f"{len(failed)} of {len(reports)} reports do not fit the layout"
        claim = first.claim.encode("utf-8", "replace").decode()[:CLAIM_CHARS_MAX]
        leaves.append(_leaf(event(claim, reason, text, first.received_at_us, Kind.REJECTED, frame), frame))
    return leaves


def _leaf(report: Report, frame: bytes) -> _Leaf:
    salt = os.urandom(16)
    leaf = encode_report(report, salt, sha256(salt + frame).digest())
    return report.kind is Kind.WAVEFORM, report.received_at_us, leaf
