"""The spool's tables, their version, and how a version becomes the next."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge_agent import duplicates
from edge_agent.spool import checkpoints, rejected
from edge_agent.spool.quota import FIGURES
from schemas.errors import VitalwireError

VERSION = 4
# An older one holds batches in a layout that nothing reads any more: it is set aside.
OLDEST_VERSION = 2
# From a version to the next: SQL. What it makes is new columns with defaults and new tables alone, and what is written
# into them is written only where `Spool.version` is that new: so a program can go on writing the version before its own
# until the upgrade is known to be well (`hold_version`), and the program before it can take the spool back.
MIGRATIONS: dict[int, str] = {2: checkpoints.SCHEMA, 3: rejected.SCHEMA}
# A file of this name in the spool's folder holds the version too: `vitalwire edge upgrade` puts it there before the new
# program starts, and takes it away once that is healthy.
HOLD_MARK = "hold-version"

SCHEMA = f"""
CREATE TABLE meta (
    spool BLOB, incarnation BLOB, incarnation_at INTEGER, sequence_floor INTEGER DEFAULT 0,
    {", ".join(f"{name} INTEGER" for name in FIGURES)}
);
CREATE TABLE chunk (id INTEGER PRIMARY KEY, lane INTEGER, received_at INTEGER, reports INTEGER, leaves BLOB);
CREATE INDEX chunk_waiting ON chunk (lane, received_at);
CREATE TABLE device (device BLOB PRIMARY KEY, sequence INTEGER, used_at INTEGER) WITHOUT ROWID;
CREATE TABLE sequence_given (id INTEGER PRIMARY KEY, given BLOB);
CREATE TABLE wave_gap (
    device BLOB PRIMARY KEY, claim TEXT, reports INTEGER, begin_at INTEGER, end_at INTEGER
) WITHOUT ROWID;
CREATE TABLE stream (lane INTEGER PRIMARY KEY, batch_no INTEGER, header_hash BLOB);
CREATE TABLE batch (
    id INTEGER PRIMARY KEY, lane INTEGER, batch_no INTEGER, batch_id BLOB, size INTEGER, cut_at INTEGER,
    unreceipted INTEGER DEFAULT 1, receipted_at INTEGER, incarnation BLOB,
    UNIQUE (lane, batch_no)
);
CREATE INDEX batch_unreceipted ON batch (lane, batch_no) WHERE unreceipted;
CREATE INDEX batch_held ON batch (lane, receipted_at) WHERE receipted_at IS NOT NULL;
CREATE TABLE sealed (id INTEGER PRIMARY KEY, bytes BLOB);
{duplicates.SCHEMA}
{checkpoints.SCHEMA};
{rejected.SCHEMA};
INSERT INTO meta (spool, incarnation_at, {", ".join(FIGURES)})
VALUES (randomblob(16), 0, {", ".join("NULL" if name == "oldest_received_us" else "0" for name in FIGURES)});
"""


class OutdatedError(Exception):
    """The file is of a version that nothing reads any more."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


def is_held(folder: Path) -> bool:
    """Whether an upgrade that is not yet known to be well holds the version of the spool in this folder."""
    return (folder / HOLD_MARK).exists()


def prepare(db: sqlite3.Connection, *, hold_version: bool) -> int:
    """Make the tables, or bring them to this version unless it is held; the version that is written from now on.

    Raises OutdatedError, and VitalwireError for a file of a later version.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        _run(db, SCHEMA, VERSION)
        return VERSION
    if version > VERSION:
        raise VitalwireError(
            f"it is of version {version} and was written by a newer vitalwire; this one knows {VERSION}:"
            " install the newer one again"
        )
    if version < OLDEST_VERSION:
        raise OutdatedError(version)
    while version < VERSION and not hold_version:
        _run(db, MIGRATIONS[version], version + 1)
        version += 1
    return int(version)


def _run(db: sqlite3.Connection, statements: str, version: int) -> None:
    """In one transaction, which leaves nothing behind where it fails."""
    try:
        db.executescript(f"BEGIN; {statements}; PRAGMA user_version = {version}; COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
