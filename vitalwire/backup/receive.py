"""`vitalwire backup wal`: the log as it is written, by `pg_receivewal`, and beside it how much the store holds.

The counts are what a restore is held against: acts and chart entries come from nowhere else than the log, and what of
them is missing can only be known by who noted how many there were.
"""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import msgspec
import structlog

from emr_store.connect import StoreError, open_store, split_password
from emr_store.replication import ensure_slot, timeline_history
from emr_store.store_counts import StoreCounts, count_store, server_facts
from runtime.errors import UserError
from schemas.errors import VitalwireError
from vitalwire.backup.config import BackupConfig, conninfo
from vitalwire.backup.folder import BackupFolder
from vitalwire.backup.programs import Programs, environment
from vitalwire.backup.wal import ArchivedFile, Line, parse_history
from vitalwire.record import explained

SLOT = "vitalwire_backup"  # the server keeps what this one has not received yet
RETRY_S = 2.0
POLL_S = 0.2
NOTES_BYTES_MAX = 8 << 20  # then the older half goes: some 15 days stay
GIVEN_UP = "given-up"
_log = structlog.get_logger("backup")


def receive(config: BackupConfig, stop: threading.Event) -> None:
    """Until `stop`; a server that is away, or another that took over, is waited for and followed.

    Raises UserError for what does not mend itself: the folder is another system's, a right is missing.
    """
    where = conninfo(config)
    with explained(where, insecure=config.insecure), open_store(where) as conn:
        prepare(config, where)
        note(config.folder, count_store(conn))
    while not stop.is_set():
        try:
            prepare(config, where)
            _receive_once(config, where, stop)
        except (StoreError, UserError, VitalwireError) as error:
            _log.error("the log is not received", reason=str(error).strip(), retry_in_s=RETRY_S)
        stop.wait(RETRY_S)


def prepare(config: BackupConfig, where: str) -> None:
    """Make the folder of the log, its slot at the server, and follow the server's timeline."""
    folder, programs = BackupFolder(config.folder), Programs.of(config)
    if not folder.path.is_dir():
        raise UserError(f"{folder.path} is no folder: install -d -o postgres -g postgres -m 700 {folder.path}")
    with open_store(where) as conn:
        facts = server_facts(conn)
        ensure_slot(conn, SLOT)
    for backup in folder.backups():
        if backup.system_identifier != facts.system_identifier:
            raise UserError(f"{folder.path} has backups of another system: name another `folder`")
    programs.as_owner("mkdir", "-p", "-m", "700", folder.wal)
    history = timeline_history(where, facts.timeline)
    name = f"{facts.timeline:08X}.history"
    if history and not (folder.wal / name).exists():
        programs.as_owner("sh", "-c", 'cat >"$1"', "sh", folder.wal / name, stdin=history)
    line = Line(facts.timeline, tuple(parse_history(history)), facts.segment_bytes)
    for file in given_up(line, folder.archive(facts.segment_bytes)):
        programs.as_owner("mkdir", "-p", "-m", "700", folder.wal / GIVEN_UP)
        programs.as_owner("mv", folder.path_of(file, facts.segment_bytes), folder.wal / GIVEN_UP)


def given_up(line: Line, archive: set[ArchivedFile]) -> list[ArchivedFile]:
    """What was received of a timeline after the server that is written to now had left it: `pg_receivewal` would go on
    from there, and no server has what follows.
    """
    own = [file for file in archive if file.segment.timeline in line.timelines]
    found = [file for file in own if line.timeline_of(file.segment.number) != file.segment.timeline]
    return sorted(found, key=lambda file: file.segment)


def _receive_once(config: BackupConfig, where: str, stop: threading.Event) -> None:
    folder, programs = BackupFolder(config.folder), Programs.of(config)
    shown, password = split_password(where)
    argv = programs.argv(
        "pg_receivewal", f"--directory={folder.wal}", f"--slot={SLOT}", "--no-loop", "--status-interval=1",
        f"--dbname={shown}",
    )  # fmt: skip
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=environment(password), start_new_session=True,
    ) as receiver:  # fmt: skip
        _log.info("the log is received", folder=str(folder.wal))
        next_note_s = time.monotonic() + config.note_every_s
        while receiver.poll() is None and not stop.wait(POLL_S):
            if time.monotonic() >= next_note_s:
                next_note_s = time.monotonic() + config.note_every_s
                _note_now(config.folder, where)
        receiver.terminate()
        _, words = receiver.communicate()
    if not stop.is_set():
        raise UserError(f"pg_receivewal ended: {words.strip()[-300:]}")


def _note_now(folder: Path, where: str) -> None:
    try:
        with open_store(where) as conn:
            note(folder, count_store(conn))
    except StoreError as error:
        _log.warning("how much the store holds is not noted", reason=str(error).strip())


def note(folder: Path, counts: StoreCounts) -> None:
    """Keep a line of how much the store holds."""
    path = folder / "counts.jsonl"
    if path.is_file() and path.stat().st_size > NOTES_BYTES_MAX:
        lines = path.read_bytes().splitlines(keepends=True)
        shorter = path.with_suffix(".new")
        shorter.write_bytes(b"".join(lines[len(lines) // 2 :]))
        shorter.replace(path)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(counts) + b"\n")
    BackupFolder(folder).give_to_owner(path)
