"""A restored cluster, started for us alone: on a socket in its own folder, by nobody else's configuration."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC
from pathlib import Path

from emr_store.connect import StoreError, at_socket, open_store
from emr_store.store_counts import has_recovered
from runtime.errors import UserError
from vitalwire.backup.folder import BackupFolder
from vitalwire.backup.plan import RestorePlan
from vitalwire.backup.programs import Programs, Progress
from vitalwire.backup.wal import parse_lsn

OURS = "vitalwire-restore"  # a folder in the restored one: configuration, log, and the socket
SOCKET_PATH_MAX_BYTES = 107  # unix(7)
SOCKET_NAME = ".s.PGSQL.5432"
POLL_FIRST_S, POLL_MAX_S = 0.05, 1.0
STOP_LIMIT_S = 300.0
PROGRESS_EVERY = "1s"
_REDO_AT = re.compile(r"redo in progress.*current LSN: ([0-9A-F/]+)")
_WRONG = re.compile(r"(?:FATAL|PANIC): +(.*)")
# The folder is PostgreSQL's user's alone, and so is its socket.
HBA = "local all all trust\n"


def put_files(programs: Programs, target: Path) -> None:
    """The configuration of this start, in the restored folder; the cluster's own stays as it is."""
    ours = target / OURS
    programs.as_owner("mkdir", "-m", "700", ours)
    words = (("conf", "# vitalwire restore: all is said on the command line\n"), ("hba", HBA), ("ident", ""))
    for name, text in words:
        programs.as_owner("sh", "-c", 'cat >"$1"', "sh", ours / name, stdin=text)


def remove_files(programs: Programs, target: Path) -> None:
    """What was ours."""
    programs.as_owner("rm", "-r", target / OURS)


def settings(plan: RestorePlan, folder: BackupFolder, target: Path) -> dict[str, str]:
    """How it is started: no port, no archive, and the log along the planned timeline to the planned moment."""
    wal = _shell_quoted(folder.wal)
    found = {name: value for name, value in plan.backup.settings.items() if value}
    if "timescaledb" in found.get("shared_preload_libraries", ""):
        found["timescaledb.max_background_workers"] = "0"  # its jobs wait for the real start
        found["timescaledb.telemetry_level"] = "off"
    found |= {
        "config_file": str(target / OURS / "conf"),
        "hba_file": str(target / OURS / "hba"),
        "ident_file": str(target / OURS / "ident"),
        "listen_addresses": "",
        "unix_socket_directories": OURS,
        "port": "5432",
        "archive_mode": "off",
        "hot_standby": "off",
        "primary_conninfo": "",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_startup_progress_interval": PROGRESS_EVERY,
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",  # values of a failed statement may name a patient
        "restore_command": f"cp {wal}/%f %p 2>/dev/null || cp {wal}/%f.partial %p 2>/dev/null",
        "recovery_target_timeline": str(plan.line.timeline),
        "recovery_target_action": "promote",
    }
    if plan.until is not None:
        found["recovery_target_time"] = plan.until.astimezone(UTC).isoformat(sep=" ")
    return found


@contextmanager
def started(
    programs: Programs, target: Path, options: Mapping[str, str], database: str, plan: RestorePlan, progress: Progress
) -> Iterator[str]:
    """The conninfo of the restored cluster once it has replayed the log; it is stopped afterwards in good order.

    Raises UserError with PostgreSQL's own word where it does not come up.
    """
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    log = target / OURS / "log"
    with ExitStack() as at_end, log.open("wb") as output:
        server = subprocess.Popen(
            programs.argv("postgres", "-D", target, *words), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        at_end.callback(_stop, programs, target, server)
        where = at_socket(database, str(at_end.enter_context(_reachable_socket(target / OURS))))
        _await_recovery(server, where, log, plan, progress)
        yield where


def _await_recovery(
    server: subprocess.Popen[bytes], where: str, log: Path, plan: RestorePlan, progress: Progress
) -> None:  # fmt: skip
    """A log of days takes hours: it waits for as long as the server works."""
    first = plan.backup.first_segment * plan.backup.segment_bytes
    pause_s = POLL_FIRST_S
    while server.poll() is None:
        try:
            with open_store(where) as conn:
                if has_recovered(conn):
                    return
        except StoreError:
            pass
        at = _REDO_AT.findall(log.read_text("utf-8", errors="replace"))
        done = (parse_lsn(at[-1]) - first) / max(1, plan.wal_bytes) if at else None
        progress("the log is replayed", None if done is None else min(1.0, max(0.0, done)))
        time.sleep(pause_s)
        pause_s = min(POLL_MAX_S, pause_s * 1.5)
    reason = reason_of(log.read_text("utf-8", errors="replace")) or f"exit code {server.returncode}"
    raise UserError(
        f"the restored database does not come up: {reason} (see {log}): nothing but {log.parents[1]} was touched;"
        " remove it before the next attempt", 1,
    )  # fmt: skip


def reason_of(log: str) -> str:
    """Why a server ended, in its own words; "" where it does not say. That we came too early is no reason."""
    wrong = [words for words in _WRONG.findall(log) if not words.startswith("the database system is")]
    return wrong[-1] if wrong else ""


def _stop(programs: Programs, target: Path, server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        programs.tried("pg_ctl", "stop", "-D", target, "-m", "fast", "-t", str(int(STOP_LIMIT_S)))
    try:
        server.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


@contextmanager
def _reachable_socket(place: Path) -> Iterator[Path]:
    """The folder by which the socket is named: a short link to it where its path is too long for one."""
    if len(os.fsencode(place / SOCKET_NAME)) <= SOCKET_PATH_MAX_BYTES:
        yield place
        return
    folder = Path(tempfile.mkdtemp(prefix="vitalwire-"))
    try:
        (folder / "restored").symlink_to(place)
        yield folder / "restored"
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)


def _shell_quoted(path: Path) -> str:
    """For sh within a setting of PostgreSQL, which takes % as its own."""
    return "'" + str(path).replace("'", "'\\''").replace("%", "%%") + "'"
