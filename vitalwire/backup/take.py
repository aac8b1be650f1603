"""`vitalwire backup run`: a base backup beside the log, keys and configuration with it, checked before it counts."""

from __future__ import annotations

import fcntl
import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from emr_store.connect import open_store, split_password
from emr_store.store_counts import ServerFacts, StoreCounts, count_store, server_facts
from runtime.errors import UserError
from vitalwire.backup.config import BackupConfig, conninfo
from vitalwire.backup.folder import DATA, FORM, META, SEALED, UNFINISHED, BackupFolder, BaseBackup
from vitalwire.backup.programs import Programs, Progress
from vitalwire.backup.sealing import read_passphrase, read_recipient, seal
from vitalwire.backup.wal import parse_segment
from vitalwire.record import explained

VERSION_STEP = 10_000  # of server_version_num: a major version
SPARE_BYTES = 1 << 30  # beside the data: the log that is written meanwhile
KEYS_BYTES_MAX = 64 << 20
_WAL_RANGE = re.compile(r"^START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)", re.MULTILINE)


@contextmanager
def one_run(folder: Path) -> Iterator[None]:
    """Raises UserError while another run is at work in the folder: each removes what ended ones have left."""
    if not folder.is_dir():
        yield
        return
    with (folder / "lock").open("w") as lock:
        BackupFolder(folder).give_to_owner(folder / "lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another run of backup is at work in {folder}: wait for its end") from None
        yield


def take_backup(config: BackupConfig, progress: Progress) -> BaseBackup:
    """Make a base backup; it is there, whole and checked, when this returns. Raises UserError before it begins."""
    folder, programs, where = BackupFolder(config.folder), Programs.of(config), conninfo(config)
    with explained(where, insecure=config.insecure), open_store(where) as conn:
        facts, counts = server_facts(conn), count_store(conn)
    _check_place(config, folder, programs, facts)
    keys = _sealed_keys(config)
    shown, password = split_password(where)
    name = facts.now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    made = folder.base / f"{name}{UNFINISHED}"
    programs.as_owner("mkdir", "-p", "-m", "700", made, folder.wal)
    programs.watched(
        "pg_basebackup", f"--pgdata={made / DATA}", "--format=plain", "--checkpoint=fast", "--wal-method=stream",
        "--manifest-checksums=SHA256", "--progress", f"--label=vitalwire {name}", f"--dbname={shown}",
        password=password, what="base backup", progress=progress,
    )  # fmt: skip
    progress("checked against its manifest", None)
    programs.run("pg_verifybackup", "--quiet", made / DATA, mend="the disk changes what is written to it: look at it")
    with explained(where, insecure=config.insecure), open_store(where) as conn:
        after = server_facts(conn)
    if (after.system_identifier, after.timeline) != (facts.system_identifier, facts.timeline):
        raise UserError(f"another server took over while the backup was made: {made} is not kept; run it again", 1)
    backup = _describe(made / DATA, name, facts, after.now, counts, len(config.include))
    if keys:
        (made / SEALED).write_bytes(keys)
        folder.give_to_owner(made / SEALED)
    _keep_histories(programs, made / DATA, folder)
    # Last: without it the backup is not whole.
    (made / META).write_bytes(msgspec.json.format(msgspec.json.encode(backup)) + b"\n")
    folder.give_to_owner(made / META)
    os.sync()
    programs.as_owner("mv", made, folder.base / name)
    return backup


def prune(config: BackupConfig) -> list[str]:
    """Remove what more than `keep` newer base backups make useless, and the log before the oldest that stays.

    The names of the backups that went.
    """
    folder, programs = BackupFolder(config.folder), Programs.of(config)
    backups = folder.backups()
    stay = backups[-config.keep :]
    gone = backups[: -config.keep]
    for path in [*(folder.base / backup.name for backup in gone), *folder.unfinished()]:
        programs.remove(path)
    if stay and gone:
        first = min(backup.first_segment for backup in stay)
        size = stay[0].segment_bytes
        old = [file for file in folder.archive(size) if file.segment.number < first]
        for file in old:
            programs.as_owner("rm", "-f", folder.path_of(file, size))
    return [backup.name for backup in gone]


def _check_place(config: BackupConfig, folder: BackupFolder, programs: Programs, facts: ServerFacts) -> None:
    """Raises UserError: of another system, of another version, folders beside the data, no room."""
    if not folder.path.is_dir():
        raise UserError(
            f"{folder.path} is no folder: make it on another disk than the database's, for PostgreSQL's user:"
            f" install -d -o postgres -g postgres -m 700 {folder.path}"
        )
    for backup in folder.backups():
        if backup.system_identifier != facts.system_identifier:
            raise UserError(
                f"{folder.path} has backups of another system ({backup.system_identifier}; this one is"
                f" {facts.system_identifier}): name another `folder`"
            )
    if (major := programs.major_version()) != facts.version // VERSION_STEP:
        raise UserError(
            f"the server is PostgreSQL {facts.version // VERSION_STEP}, and {config.programs} has the programs of"
            f" {major}: name those of the server with `programs`"
        )
    if facts.tablespaces:
        raise UserError("the database has tablespaces, which this backup does not take: use PostgreSQL's own tools")
    free = shutil.disk_usage(folder.path).free
    if free < facts.bytes + SPARE_BYTES:
        raise UserError(
            f"{folder.path} has {_gb(free)} free, and a base backup takes {_gb(facts.bytes + SPARE_BYTES)}: make room,"
            " or lower `keep`"
        )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _sealed_keys(config: BackupConfig) -> bytes:
    """Keys and configuration, encrypted; empty where none are included. Raises UserError before a backup is begun."""
    if not config.include:
        return b""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        for path in config.include:
            try:
                packed.add(path, arcname=str(path.resolve()).lstrip("/"))
            except OSError as error:
                raise UserError(
                    f"include: {error.filename or path} cannot be read: {error.strerror}: correct its name, or run this"
                    " as a user who may read it"
                ) from None
    if archive.tell() > KEYS_BYTES_MAX:
        raise UserError(f"include: keys and configuration have over {KEYS_BYTES_MAX >> 20} MiB: name the files alone")
    if config.passphrase_file is not None:
        return seal(archive.getvalue(), read_passphrase(config.passphrase_file))
    assert config.recipient is not None
    return seal(archive.getvalue(), read_recipient(config.recipient))


def _describe(
    data: Path, name: str, facts: ServerFacts, ended_at: datetime, counts: StoreCounts, sealed: int
) -> BaseBackup:  # fmt: skip
    found = _WAL_RANGE.search((data / "backup_label").read_text("utf-8"))
    if found is None:
        raise UserError(f"{data / 'backup_label'} does not say where the log begins: run it again", 1)
    own = [parse_segment(path.name, facts.segment_bytes) for path in (data / "pg_wal").glob("*")]
    first = parse_segment(found[1], facts.segment_bytes)
    assert first is not None
    return BaseBackup(
        form=FORM, name=name, system_identifier=facts.system_identifier, timeline=facts.timeline, began_at=facts.now,
        ended_at=ended_at, first_segment=first.segment.number,
        last_segment=max((file.segment.number for file in own if file is not None), default=first.segment.number),
        segment_bytes=facts.segment_bytes, version=facts.version, bytes=_size(data), settings=facts.settings,
        counts=counts, sealed_files=sealed, program=version("vitalwire"),
    )  # fmt: skip


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _keep_histories(programs: Programs, data: Path, folder: BackupFolder) -> None:
    """The history of each timeline belongs to the log: `archive_command` may not have been at work when it began."""
    new: Sequence[Path] = [p for p in (data / "pg_wal").glob("*.history") if not (folder.wal / p.name).exists()]
    for path in new:
        programs.as_owner("cp", path, folder.wal / path.name)
