"""The spool as the agent sees it: one thread, and a transaction for each thing that is done."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from msgspec.structs import astuple, replace

from edge_agent.delivery import Delivery
from edge_agent.duplicates import Duplicates, Sending
from edge_agent.spool import checkpoints, cut, receipts, rejected, schema
from edge_agent.spool.checkpoints import KeptCheckpoint, Witnessed, WitnessedCheckpoint
from edge_agent.spool.encoded_reports import ReportEncoder
from edge_agent.spool.group import GroupWriter
from edge_agent.spool.new_id import give_new_id
from edge_agent.spool.queue import Done, Frame, Kept, Proof, Queue
from edge_agent.spool.quota import FIGURES, Figures, LevelWatch, Quota
from edge_agent.spool.receipts import ReceiptsTaken
from edge_agent.spool.repair import is_damage, set_aside
from edge_agent.spool.sequences import Sequences
from evidence.receipt import Receipt
from runtime.clock import now_us
from schemas.errors import VitalwireError
from schemas.identity import SpoolId
from schemas.layout import CUT_BYTES
from schemas.report import Lane, Report

GROUP_S = 0.01  # what comes within it is committed together, unless there is enough before
TIDY_US = 10_000_000
TIDY_BATCHES = 500  # evicted at one time
CACHE_KIB = 16 * 1024
CHECKPOINT_PAGES = 4_000  # 16 MB of log: a page that changes with every commit is written back once for many
_PRAGMAS = (
    "locking_mode = EXCLUSIVE",  # keeps the index of the log out of a file, and other programs' hands off the spool
    "journal_mode = WAL",
    "synchronous = FULL",
    f"cache_size = -{CACHE_KIB}",
    f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
    "secure_delete = FAST",  # Debian's default writes zeros over every page that is freed
)
# The newest traces of work: what is evicted is always older.
_LAST_CUT = "SELECT max(cut_at) FROM stream CROSS JOIN batch USING (lane, batch_no)"  # CROSS: by the index of batches
_AT_WORK = f"SELECT max(at) FROM ({cut.NEWEST} UNION ALL {_LAST_CUT})"

_KEEP_FIGURES = f"UPDATE meta SET {', '.join(f'{name} = ?' for name in FIGURES)}"
_T = TypeVar("_T")
_P = ParamSpec("_P")
OnSettled = Callable[[list[tuple[Done, Kept]]], object]


def _by_the_writer(
    work: Callable[Concatenate[Spool, sqlite3.Connection, _P], _T], *, is_synced: bool = True
) -> Callable[Concatenate[Spool, _P], _T]:
    """Done by the writer's thread in one transaction, whose COMMIT is waited for; raises VitalwireError."""

    @wraps(work)
    def wait(self: Spool, /, *args: _P.args, **named: _P.kwargs) -> _T:
        def alone(db: sqlite3.Connection) -> _T:
            return work(self, db, *args, **named)

        whole = partial(self._in_transaction, alone, takes_reports_away=True)
        try:
            return self._writer.submit(whole if is_synced else partial(self._unsynced, whole)).result()
        except (sqlite3.Error, OSError, RuntimeError) as error:  # RuntimeError: it was closed
            raise VitalwireError(f"the spool cannot write: {error}") from error

    return wait


# What the hospital says again where it was lost: with the next COMMIT it is on the disk.
_by_the_writer_unsynced = partial(_by_the_writer, is_synced=False)


class Spool:
    """Opens the spool in `folder`, or begins one; raises VitalwireError where another agent uses it or it cannot be.

    A damaged file, and one of a version that nothing reads any more, is set aside under a new name, and a fresh spool
    with an id of its own begins; damage is met while running, too. With `hold_version`, or where an upgrade's mark lies
    in the folder, a file of an earlier version is not brought to this one. Waves without a receipt fill at most
    `wave_share` of `bytes_max`; beyond it they become counted gaps. `on_event` gets a slug and a line for people after
    a `put`, on the spool's thread. `on_settled` gets
    what became of all frames of a commit at one time, on the spool's thread (of a frame that is refused at once on the
    caller's); without it each frame's `done` is called there. All methods are thread-safe; all but `put` and `prove`
    wait.
    """

    spool_id: SpoolId
    last_at_work_us: int | None  # before it was opened; None: never

    def __init__(
        self, folder: Path, *, bytes_max: int, receipt_hold_s: float, cut_after_s: float = 0.4,
        wave_share: float = 0.5, hold_version: bool = False,
        on_event: Callable[[str, str], object] = lambda _, __: None, on_settled: OnSettled | None = None,
        now_us: Callable[[], int] = now_us,
    ) -> None:  # fmt: skip
        self._path, self._quota = folder / "spool.db", Quota(bytes_max, wave_share)
        self._hold_us, self._cut_after_us = int(receipt_hold_s * 1e6), int(cut_after_s * 1e6)
        self._hold_version = hold_version or schema.is_held(folder)
        self._on_event, self._now_us = on_event, now_us
        self._on_settled = on_settled or _notify_each
        self._queue = Queue(self._schedule_flush)
        self._encoder, self._levels = ReportEncoder(), LevelWatch()
        self._refused, self._tidied_us = 0, 0
        self.commits = 0  # since it was opened
        self._sequences: Sequences | None = None
        self._is_losing_waves, self._waves_lost = False, 0
        self._set_aside: tuple[str, str] | None = None  # slug and line for people, until they are told
        self.figures = Figures()
        self.kept_bytes = 0  # of reports that came since the start; only the writer's thread adds to it
        try:
            folder.mkdir(0o700, parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VitalwireError(f"the spool {folder} is in use by another agent: end that one first") from None
        except OSError as error:
            raise VitalwireError(f"the spool {folder} cannot be opened: {error}") from error
        try:
            self.is_new = not self._path.exists()  # there was none, a damaged one neither
            self._db: sqlite3.Connection | None = self._open()
        except (OSError, sqlite3.Error, VitalwireError) as error:
            self._lock.close()
            raise VitalwireError(f"the spool {folder} cannot be opened: {error}") from error
        self._waves_lost = self.figures.waves_lost
        self._writer = ThreadPoolExecutor(1, "spool")

    def put(self, reports: Sequence[Report], delivery: Delivery | None = None, done: Done = lambda _: None) -> None:
        """Keep what a delivery's frame says, or without one the edge's own words, which are never a duplicate.

        `done` is told after the COMMIT that holds them.
        """
        if not self._queue.put(Frame(reports, delivery, done)):
            self._on_settled([(done, Kept.FULL)])

    def put_once(self, key: bytes, reports: Sequence[Report], delivery: Delivery, done: Done) -> None:
        """As `put`, of a rejected frame that is read again: of what has the same key the first is kept.

        Raises VitalwireError where the file is held in a version that cannot remember it.
        """
        if self.version < rejected.SINCE_VERSION:
            raise VitalwireError(
                "the spool is held in its old version until the upgrade is known to be well: ask later"
            )
        if not self._queue.put(Frame(reports, delivery, done, key)):
            self._on_settled([(done, Kept.FULL)])

    def prove(self, connection: int, tokens: range) -> None:
        """The answers to these tokens are known to have arrived: whatever comes again of them is no resend."""
        self._queue.prove(Proof(connection, tokens))

    def cut(self, lane: Lane, seal: Callable[..., bytes], now_us: int) -> tuple[int, bytes] | None:
        """Cut a batch of the lane if one is due: its number and bytes, committed, signature and all.

        `seal` is `evidence.seal.seal` with what is the edge's own (edge, config_hash, key_id, sign).
        """
        f = self.figures
        is_young = f.oldest_received_us is None or 0 <= now_us - f.oldest_received_us < self._cut_after_us
        if is_young and f.report_bytes < CUT_BYTES:
            return None
        return self._cut(lane, seal, now_us)

    @_by_the_writer
    def _cut(
        self, db: sqlite3.Connection, lane: Lane, seal: Callable[..., bytes], now_us: int
    ) -> tuple[int, bytes] | None:
        own = partial(seal, spool=self.spool_id)
        return cut.cut(db, self.figures, lane, self._cut_after_us, own, now_us)

    @_by_the_writer
    def unreceipted(self, db: sqlite3.Connection, lane: Lane, after: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Numbers and bytes of the batches after `after` for which the store has sent no receipt, in order.

        Up to `bytes_max`, and at least one if there is any.
        """
        return receipts.unreceipted(db, lane, after, bytes_max)

    @_by_the_writer
    def unreceipted_before(
        self, db: sqlite3.Connection, lane: Lane, before: int, bytes_max: int
    ) -> list[tuple[int, bytes]]:
        """The same of the batches before `before`, the newest first."""
        return receipts.unreceipted_before(db, lane, before, bytes_max)

    @_by_the_writer
    def unreceipted_by_lane(self, db: sqlite3.Connection) -> dict[Lane, int]:
        """How many batches of each lane have no receipt."""
        return receipts.unreceipted_by_lane(db)

    @_by_the_writer_unsynced
    def receipted(self, db: sqlite3.Connection, arrived: Sequence[Receipt]) -> ReceiptsTaken:
        """Release what these (verified) receipts are for; what is refused stays as it is."""
        return receipts.receipted(db, self.figures, self.spool_id, arrived, self._now_us())

    @_by_the_writer_unsynced
    def witness(self, db: sqlite3.Connection, arrived: Sequence[WitnessedCheckpoint]) -> list[Witnessed]:
        """Keep these (verified) checkpoints of the hospital's log; what about them people must know.

        A spool that is held in the version before keeps none.
        """
        if self.version < checkpoints.SINCE_VERSION:
            return []
        return checkpoints.keep(db, arrived, self._now_us())

    @_by_the_writer
    def checkpoints(self, db: sqlite3.Connection) -> list[KeptCheckpoint]:
        """The checkpoints that are kept, by log, the smallest first."""
        return checkpoints.kept(db) if self.version >= checkpoints.SINCE_VERSION else []

    @_by_the_writer
    def sealed_after(self, db: sqlite3.Connection, after: int, since_us: int, count: int) -> rejected.Stretch:
        """The next batches that were cut since `since_us` and are still held, with a receipt or without."""
        return rejected.sealed_after(db, after, since_us, count)

    @_by_the_writer
    def forget_reread(self, db: sqlite3.Connection) -> None:
        """Forget which frames were read again whose bytes are nowhere on this disk any more."""
        if self.version >= rejected.SINCE_VERSION:
            rejected.forget_old(db, self._now_us())

    @_by_the_writer
    def waiting_after(self, db: sqlite3.Connection, after: int, count: int) -> rejected.Stretch:
        """The next chunks of reports that are not cut yet."""
        return rejected.waiting_after(db, after, count)

    @_by_the_writer
    def renew_id(self, db: sqlite3.Connection) -> None:
        """Go on under a new id: another box uses this one. What was cut keeps the old one, and is still sent."""
        self.spool_id, self._sequences = give_new_id(db), None

    def close(self) -> None:
        """Commit what waits, and let go of the file."""
        with suppress(RuntimeError):  # it was closed before
            self._schedule_flush()  # proofs may wait without a frame
        self._writer.shutdown()
        while len(self._queue):  # what was more than one commit takes
            self._flush()
        if self._db is not None:
            self._db.close()
        self._lock.close()

    # --- the writer's thread ------------------------------------------------------------------------------------------

    def _schedule_flush(self) -> None:
        # A bug that ends the writer's work is logged, not swallowed.
        self._writer.submit(self._flush).add_done_callback(Future.result)

    def _flush(self) -> None:
        self._queue.wait(GROUP_S)
        entries = self._queue.take()
        if not entries:
            return
        frames = [entry for entry in entries if isinstance(entry, Frame)]
        outcomes = [Kept.FULL] * len(frames)
        before_bytes = self.figures.report_bytes
        try:
            outcomes = self._in_transaction(partial(self._keep, entries))
            self.kept_bytes += self.figures.report_bytes - before_bytes
            self._duplicates.committed()
            reason = f"its quota of {self._quota.bytes_max} bytes is used up by what has no receipt"
        except (sqlite3.Error, OSError) as error:
            reason = str(error)
        finally:
            with suppress(RuntimeError):  # the event loop that wanted to know has ended
                self._on_settled([(frame.done, outcome) for frame, outcome in zip(frames, outcomes, strict=True)])
        self._emit_changes(outcomes.count(Kept.FULL), reason)

    def _in_transaction(
        self, work: Callable[[sqlite3.Connection], _T], *, takes_reports_away: bool = False
    ) -> _T:  # fmt: skip
        """Each statement gives the interpreter's lock away and waits for it: as few of them as can be."""
        db = self._db = self._db or self._open()
        before, self.figures = self.figures, replace(self.figures)
        id_before = self.spool_id
        try:
            db.execute("BEGIN IMMEDIATE")
            result = work(db)
            if self.figures != before:
                if takes_reports_away:
                    (self.figures.oldest_received_us,) = db.execute(f"SELECT min(at) FROM ({cut.OLDEST})").fetchone()
                db.execute(_KEEP_FIGURES, astuple(self.figures))
            db.execute("COMMIT")
            self.commits += 1
        except BaseException as error:
            # Whatever the disk says later, nothing of this transaction counts.
            self.figures, self.spool_id = before, id_before
            with suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
            self._sequences = None
            if is_damage(error):
                db.close()
                self._db = None
                self._put_aside("spool-damaged", "damaged", f"damaged ({error})")
            raise
        return result

    def _unsynced(self, whole: Callable[[], _T]) -> _T:
        """Without waiting for the disk, which keeps the order of all transactions: frames wait for it already."""
        db = self._db = self._db or self._open()
        db.execute("PRAGMA synchronous = NORMAL")
        try:
            return whole()
        finally:
            if self._db is db:  # otherwise it was damaged, and is closed
                db.execute("PRAGMA synchronous = FULL")

    def _keep(self, entries: Sequence[Frame | Proof], db: sqlite3.Connection) -> list[Kept]:
        now_us = self._now_us()
        sequences = self._sequences = self._sequences or Sequences(db)
        group = GroupWriter(db, self.figures, self._quota, self._encoder, self._duplicates, sequences, now_us)
        sendings = []
        for entry in entries:
            if isinstance(entry, Frame) and entry.delivery is not None and entry.delivery.sender:
                entry.sending = Sending.of(entry.delivery, entry.reports)
                sendings.append(entry.sending)
        self._duplicates.begin(sendings, now_us)
        if abs(now_us - self._tidied_us) > TIDY_US:
            self._tidied_us = now_us
            self._duplicates.tidy(now_us)
            sequences.fold(now_us)
            receipts.evict(db, self.figures, now_us - self._hold_us, TIDY_BATCHES, tuple(Lane))
            group.emit_gaps()
        outcomes = group.keep(entries)
        group.write()
        return outcomes

    def _emit_changes(self, refused: int, reason: str) -> None:
        """What people are to know of the group that was just written."""
        if self._set_aside:
            self._on_event(*self._set_aside)
            self._set_aside = None
        if refused and not self._refused:
            self._on_event("spool-full", f"the spool keeps nothing more and nothing is acknowledged: {reason}")
        if self._refused and not refused:
            self._on_event("spool-keeps-again", f"the spool keeps frames again; {self._refused} were refused")
        self._refused = self._refused + refused if refused else 0
        self._emit_waves()
        share = self.figures.unreceipted_bytes / self._quota.bytes_max
        for level in self._levels.reached(share):
            self._on_event("spool-level", f"{level:.0%} of the spool hold what has no receipt")

    def _emit_waves(self) -> None:
        lost, self._waves_lost = self.figures.waves_lost - self._waves_lost, self.figures.waves_lost
        if lost > 0 and not self._is_losing_waves:
            self._is_losing_waves = True
            self._on_event("waves-full", "the spool keeps no more waves: they become counted gaps until receipts come")
        elif self._is_losing_waves and lost <= 0 and self._quota.is_low_on_waves(self.figures):
            self._is_losing_waves = False
            self._on_event("waves-keep-again", f"the spool keeps waves again; {self._waves_lost} were lost in all")

    # --- the file ----------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except schema.OutdatedError as error:
            why = f"of version {error.version}, which nothing reads any more"
            self._put_aside("spool-set-aside", f"version-{error.version}", why)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._put_aside("spool-damaged", "damaged", f"damaged ({error})")
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
            self.version = schema.prepare(db, hold_version=self._hold_version)
            self.spool_id, *figures = db.execute(f"SELECT spool, {', '.join(FIGURES)} FROM meta").fetchone()
            self.figures = Figures(*figures)
            (self.last_at_work_us,) = db.execute(_AT_WORK).fetchone()
            self._duplicates, self._sequences = Duplicates(db), None
        except BaseException:
            db.close()
            raise
        return db

    def _put_aside(self, slug: str, what: str, why: str) -> None:
        name = set_aside(self._path, what, self._now_us())
        self._set_aside = (slug, f"the spool is {why}: kept as {name}, a fresh one begins")


def _notify_each(settled: list[tuple[Done, Kept]]) -> None:
    for done, kept in settled:
        with suppress(RuntimeError):  # the event loop that wanted to know has ended
            done(kept)
