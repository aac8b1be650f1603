"""Checkpoints: what the hospital's log was each time that its signed word came with a receipt.

Kept beside the vital signs, outside the database: whoever puts the log back to yesterday, or shows this edge another
one than others, cannot take back what is written here. `vitalwire verify --checkpoint` takes each.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from evidence.checkpoint import Checkpoint
from schemas.errors import VitalwireError

SINCE_VERSION = 3  # of the spool
# Receipts come in any order, and one may be signed with the checkpoint of a moment ago: only a smaller checkpoint in a
# receipt for what was stored so much later says that the log shrank.
LAG_US = 60_000_000
HOUR_US = 3_600_000_000
NEWEST_KEPT = 100  # of a log; of those before them one an hour
KEPT_MAX = 2_000  # of all logs, contradictions apart
CONTRADICTIONS_MAX = 100
THIN_EVERY = 50  # new ones: it looks at all that are kept

SCHEMA = """
CREATE TABLE checkpoint (
    id INTEGER PRIMARY KEY, origin TEXT, size INTEGER, root BLOB, note BLOB, received_at INTEGER, stored_at INTEGER,
    contradiction TEXT DEFAULT ''
);
CREATE INDEX checkpoint_of_log ON checkpoint (origin, size)
"""
_FIELDS = "origin, size, root, note, received_at, contradiction"
_INSERT = (
    "INSERT INTO checkpoint (origin, size, root, note, received_at, stored_at, contradiction)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_LAST = "SELECT ifnull(max(id), 0) FROM checkpoint"
_NEWEST = "SELECT size, stored_at FROM checkpoint WHERE origin = ? AND contradiction = '' ORDER BY size DESC LIMIT 1"
# Of one log, what is neither among its newest nor the first of its hour.
_THIN = f"""
DELETE FROM checkpoint WHERE origin = ?1 AND contradiction = ''
AND size <= (SELECT size FROM checkpoint WHERE origin = ?1 AND contradiction = ''
    ORDER BY size DESC LIMIT 1 OFFSET {NEWEST_KEPT})
AND id NOT IN (SELECT min(id) FROM checkpoint WHERE origin = ?1 AND contradiction = ''
    GROUP BY received_at / {HOUR_US})
"""
# Of all logs the oldest; never the newest of a log, which says all that those before it say.
_BOUND = f"""
DELETE FROM checkpoint WHERE id IN (
    SELECT id FROM checkpoint AS c WHERE contradiction = ''
    AND size < (SELECT max(size) FROM checkpoint WHERE origin = c.origin AND contradiction = '')
    ORDER BY id LIMIT max(0, (SELECT count(*) FROM checkpoint WHERE contradiction = '') - {KEPT_MAX}))
"""


@dataclass(frozen=True)
class WitnessedCheckpoint:
    """A verified checkpoint, its note, and when the newest batch of the receipt that brought it was stored."""

    checkpoint: Checkpoint
    note: bytes
    stored_at_us: int


@dataclass(frozen=True)
class Witnessed:
    """What people must know: a slug (log-began, log-forked, log-shrunk) and a line for them."""

    slug: str
    text: str


@dataclass(frozen=True)
class KeptCheckpoint:
    """A checkpoint that the edge holds; `contradiction` is the slug of what it says against another one, mostly ""."""

    origin: str
    size: int
    root: bytes
    note: bytes
    received_at_us: int
    contradiction: str = ""


def keep(db: sqlite3.Connection, arrived: Sequence[WitnessedCheckpoint], now_us: int) -> list[Witnessed]:
    """Keep checkpoints in the order in which they came; what about them people must know."""
    found: list[Witnessed] = []
    (before,) = db.execute(_LAST).fetchone()
    for each in arrived:
        finding = _keep(db, each, now_us)
        if finding is not None:
            found.append(finding)
    (after,) = db.execute(_LAST).fetchone()
    if after // THIN_EVERY > before // THIN_EVERY:
        for (origin,) in db.execute("SELECT DISTINCT origin FROM checkpoint").fetchall():
            db.execute(_THIN, (origin,))
        db.execute(_BOUND)
    return found


def kept(db: sqlite3.Connection) -> list[KeptCheckpoint]:
    """All, by log in the order in which the logs were met, the smallest first."""
    first_met = "(SELECT min(id) FROM checkpoint AS o WHERE o.origin = c.origin)"
    rows = db.execute(f"SELECT {_FIELDS} FROM checkpoint AS c ORDER BY {first_met}, size, id")
    return [KeptCheckpoint(*row) for row in rows]


def read_kept(folder: Path) -> list[KeptCheckpoint]:
    """What a spool holds that no agent uses now; raises VitalwireError for one that is in use, or cannot be read."""
    try:
        with ExitStack() as stack:
            lock = stack.enter_context((folder / "lock").open("r"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            db = sqlite3.connect(f"file:{folder / 'spool.db'}?mode=rw", uri=True)
            stack.callback(db.close)
            (version,) = db.execute("PRAGMA user_version").fetchone()
            return kept(db) if version >= SINCE_VERSION else []
    except BlockingIOError:
        raise VitalwireError(
            f"the spool {folder} is in use by an agent that does not answer: look at its log"
        ) from None
    except (OSError, sqlite3.Error) as error:
        raise VitalwireError(
            f"the spool {folder} cannot be read ({error}): is `spool` in the configuration right?"
        ) from None


def _keep(db: sqlite3.Connection, each: WitnessedCheckpoint, now_us: int) -> Witnessed | None:
    checkpoint = each.checkpoint
    roots = {root for (root,) in db.execute(
        "SELECT root FROM checkpoint WHERE origin = ? AND size = ?", (checkpoint.origin, checkpoint.size)
    )}  # fmt: skip
    newest = db.execute(_NEWEST, (checkpoint.origin,)).fetchone()
    if newest is None:
        others = db.execute("SELECT count(DISTINCT origin) FROM checkpoint").fetchone()[0]
        _insert(db, each, now_us, "")
        if not others:
            return None
        return Witnessed("log-began", f"the store began a new log, {checkpoint.origin}: those before it are kept here")
    size, stored_at_us = newest
    if roots and checkpoint.root not in roots:
        text = f"two different logs {checkpoint.origin} of {checkpoint.size} entries were signed"
        return _contradict(db, each, now_us, Witnessed("log-forked", text))
    if checkpoint.size > size:
        _insert(db, each, now_us, "")
    elif checkpoint.size == size:
        db.execute(
            "UPDATE checkpoint SET stored_at = max(stored_at, ?) WHERE origin = ? AND size = ? AND contradiction = ''",
            (each.stored_at_us, checkpoint.origin, size),
        )
    elif each.stored_at_us > stored_at_us + LAG_US:
        text = f"the log {checkpoint.origin} had {size} entries and now has {checkpoint.size}"
        return _contradict(db, each, now_us, Witnessed("log-shrunk", text))
    return None


def _contradict(db: sqlite3.Connection, each: WitnessedCheckpoint, now_us: int, finding: Witnessed) -> Witnessed | None:
    """Both are kept as evidence; it is said once of each checkpoint."""
    known = db.execute("SELECT 1 FROM checkpoint WHERE note = ? AND contradiction != ''", (each.note,)).fetchone()
    (count,) = db.execute("SELECT count(*) FROM checkpoint WHERE contradiction != ''").fetchone()
    if known or count >= CONTRADICTIONS_MAX:
        return None
    _insert(db, each, now_us, finding.slug)
    remedy = "nothing is held back; look at both, `vitalwire edge witness`, and prove the log, `vitalwire verify`"
    return Witnessed(finding.slug, f"{finding.text}: {remedy}")


def _insert(db: sqlite3.Connection, each: WitnessedCheckpoint, now_us: int, contradiction: str) -> None:
    c = each.checkpoint
    db.execute(_INSERT, (c.origin, c.size, c.root, each.note, now_us, each.stored_at_us, contradiction))
