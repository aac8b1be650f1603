"""A dead box as its mounted disk shows it: configuration, key and spool, and whether another box may send it."""

from __future__ import annotations

import fcntl
import sqlite3
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.config import EdgeConfig
from edge_agent.process import config_hash
from edge_agent.spool import schema
from edge_agent.spool.drained import DrainMark, mark_of
from runtime import config as configuration
from runtime import keys
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_UNREACHABLE, UserError
from schemas.batch import Header, read_header
from schemas.errors import LayoutError
from schemas.identity import SpoolId

QUIET_US = 600_000_000  # nothing was committed for so long: the owner is not at work
_PLACES = (Path("edge.toml"), Path("etc/vitalwire/edge.toml"))  # below the disk's root
_BATCHES = "SELECT count(*) FROM batch WHERE unreceipted"
_COMMITTED = (
    "SELECT max(at) FROM (SELECT max(received_at) AS at FROM chunk"
    " UNION ALL SELECT max(cut_at) FROM batch UNION ALL SELECT max(receipted_at) FROM batch)"
)
_NEWEST = "SELECT bytes FROM sealed ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True)
class SpoolOnDisk:
    """What a spool holds that no agent has open. `header`: of the batch that was cut last."""

    spool_id: SpoolId
    reports: int  # wait to be cut
    batches: int  # cut, without a receipt
    committed_at_us: int | None  # by the box's own clock; None: never
    header: Header | None
    mark: DrainMark | None


@dataclass(frozen=True)
class DeadBox:
    """Its configuration, with the paths of this machine, and its spool."""

    config: EdgeConfig
    spool: SpoolOnDisk

    @property
    def edge_id(self) -> uuid.UUID:
        """By which the hospital knows it."""
        return uuid.UUID(self.config.edge)

    @property
    def config_hash(self) -> bytes:
        """Of the configuration that made the reports: as the box itself said last."""
        return config_hash(self.config) if self.spool.header is None else self.spool.header.config_hash

    def require_dead(self, now_us: int, *, is_declared_dead: bool) -> None:
        """Raise UserError where something was committed of late; what an earlier drain committed does not count."""
        at_us = self.spool.committed_at_us
        if is_declared_dead or self.spool.mark is not None or at_us is None or at_us < now_us - QUIET_US:
            return
        ago = "in this machine's future" if at_us > now_us else f"{(now_us - at_us) / 1e6:.0f} s ago"
        raise UserError(
            f"the spool's last commit was {ago}: its box may be alive, and two that send as one are not told apart;"
            " switch it off and say who saw to it: --owner-is-dead --by NAME",
            EXIT_DOES_NOT_HOLD,
        )

    def signing_key(self) -> keys.SigningKey:
        """The key file on the disk; raises UserError where it is not there, is encrypted, or another one's."""
        path = self.config.key_file
        way_out = f"{self.spool.reports} reports are not signed yet and stay on the disk; --sealed-only sends the rest"
        if not path.is_file():
            raise UserError(f"{path} is not on the disk, as with a hardware key: {way_out}")
        try:
            key = keys.load(path, allow_demo=self.config.demo)
        except UserError as error:
            what = str(error).partition(": make one")[0]
            raise UserError(f"{what}: the box's own key is needed, without a password: {way_out}") from None
        header = self.spool.header
        if header is not None and header.key_id != key.key_id:
            raise UserError(f"{path} is not the key that signed this spool's batches: {way_out}")
        return key


def open_disk(disk: Path) -> DeadBox:
    """Find a dead box's files below `disk`: its root, or the folder of its edge.toml. Raises UserError."""
    root = disk.resolve()
    found = [root / place for place in _PLACES if (root / place).is_file()]
    if not found:
        places = " or ".join(str(disk / place) for place in _PLACES)
        raise UserError(f"there is no {places}: mount the box's disk, and name its root or the folder of its edge.toml")
    config = _on_disk(root, configuration.load(found[0], EdgeConfig))
    spool = read_spool(config.spool)
    header = spool.header
    try:
        edge = uuid.UUID(config.edge)
    except ValueError:
        raise UserError(f"{found[0]}: edge = {config.edge!r} is no id of a box") from None
    if header is not None and header.edge != edge.bytes:
        raise UserError(
            f"the spool {config.spool} is of edge {uuid.UUID(bytes=bytes(header.edge))}, and {found[0]} is of"
            f" {config.edge}: name the folder where the two belong together"
        )
    return DeadBox(config, spool)


def _on_disk(root: Path, config: EdgeConfig) -> EdgeConfig:
    """With its paths below `root`: never this machine's own files of the same name."""
    moved: dict[str, Any] = {}
    for name in config.__struct_fields__:
        path = getattr(config, name)
        if isinstance(path, Path):
            below = path if path.is_relative_to(root) else root / path.relative_to(path.anchor)
            if not below.resolve().is_relative_to(root):
                raise UserError(
                    f"{name} = {str(path)!r} of the box's edge.toml leads out of {root}: name its disk's root"
                )
            moved[name] = below
    return msgspec.structs.replace(config, **moved)


def read_spool(folder: Path) -> SpoolOnDisk:
    """What is in a spool that nobody uses; raises UserError, and changes nothing."""
    if not (folder / "spool.db").is_file():
        raise UserError(f"there is no spool in {folder}: is the disk mounted, and `spool` of its edge.toml there?")
    try:
        with (folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with closing(sqlite3.connect(f"file:{folder / 'spool.db'}?mode=rw", uri=True)) as db:
                return _read(db, folder)
    except BlockingIOError:
        raise UserError(
            f"the spool {folder} is in use by an agent, which sends it itself: end that one first", EXIT_UNREACHABLE
        ) from None
    except (OSError, sqlite3.Error, LayoutError) as error:
        raise UserError(
            f"the spool {folder} cannot be read ({error}): the disk must be mounted so that it can be written;"
            " copy it before anything else if it fails"
        ) from None


def _read(db: sqlite3.Connection, folder: Path) -> SpoolOnDisk:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not schema.OLDEST_VERSION <= version <= schema.VERSION:
        raise UserError(
            f"the spool {folder} is of version {version}, and this vitalwire reads {schema.OLDEST_VERSION} to"
            f" {schema.VERSION}: use one that is as new as the box's was"
        )
    spool_id, reports = db.execute("SELECT spool, reports FROM meta").fetchone()
    (batches,) = db.execute(_BATCHES).fetchone()
    (committed_at_us,) = db.execute(_COMMITTED).fetchone()
    newest: Sequence[bytes] | None = db.execute(_NEWEST).fetchone()
    return SpoolOnDisk(
        spool_id=SpoolId(spool_id),
        reports=reports,
        batches=batches,
        committed_at_us=committed_at_us,
        header=read_header(newest[0]) if newest else None,
        mark=mark_of(folder, SpoolId(spool_id)),
    )
