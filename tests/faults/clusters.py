"""TimescaleDB servers of a case's own, beside the one that all share: a standby, a backup, a restore.

They run in the Debian root of deploy/services, with its configuration; only root may, as there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.faults.oracles import until
from tests.faults.system import ROOT
from vitalwire.backup.config import BackupConfig
from vitalwire.backup.receive import receive
from vitalwire.embedded.services import free_port

PROGRAMS = "/usr/lib/postgresql/17/bin"
START_S, STOP_S, COMMAND_S = 60, 30, 120
USER, DATABASE = "vitalwire", "vitalwire"
SETTINGS = {
    "archive_mode": "on",
    "archive_command": "test -f /mnt/archive/%f || cp %p /mnt/archive/%f",
    "shared_buffers": "64MB",
    "min_wal_size": "80MB",
    "max_wal_size": "1GB",
}
# FOLDER USER COMMAND...: as in deploy/services; every step is an exec, so the pid stays the same.
INSIDE = """\
root=$1 folder=$2 user=$3
mount --bind "$folder" "$root/mnt"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
exec chroot --userspec="$user:$user" "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "${@:4}"
"""


# The same with FOLDER under its own name. What is above it there is gone with the mounts.
INSIDE_BY_NAME = """\
root=$1 folder=$2 user=$3
umask 022
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
exec chroot --userspec="$user:$user" "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "${@:4}"
"""


class Server:
    """One server: its data is `folder`/`name`, and `folder` is shared with its standbys, backups and the archive."""

    def __init__(self, folder: Path, name: str, port: int = 0) -> None:
        self._folder, self._name, self.port = folder, name, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What libpq dials; there is no password, on this machine, for as long as the case runs."""
        return self._address_of(DATABASE)

    def make(self) -> None:
        """An empty cluster with our database."""
        self._folder.chmod(0o711)  # the server's own user passes through
        self._make_folder("archive")
        make = f"--pgdata=/mnt/{self._name} --username={USER} --auth=trust --encoding=UTF8 --data-checksums --no-sync"
        self._make_folder(self._name)
        self._inside("postgres", f"{PROGRAMS}/initdb", *make.split())
        self.start()
        with psycopg.connect(self._address_of("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def copy_to(self, name: str) -> None:
        """A base backup of this server as it runs, beside it."""
        self._make_folder(name)
        backup = f"--pgdata=/mnt/{name} --checkpoint=fast --wal-method=stream --no-sync"
        where = f"--host=127.0.0.1 --port={self.port} --username={USER}"
        self._inside("postgres", f"{PROGRAMS}/pg_basebackup", *backup.split(), *where.split())

    def follow(self, primary: Server) -> None:
        """Begin as a standby of `primary`, of which this is a copy; it streams when this returns."""
        where = f"host=127.0.0.1 port={primary.port} user={USER} application_name={self._name}"
        self._prepare("standby.signal", primary_conninfo=where)
        self.start()
        sql = (
            f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{self._name}' AND state = 'streaming'"
        )
        until(lambda: primary.ask(sql) == 1, START_S, "the standby streams")

    def backup_config(self) -> BackupConfig:
        """Backups of this server beside it, by the programs of the root that it runs in."""
        backups = self._folder / "backups"
        if not backups.exists():
            self._make_folder("backups")
        # The same folder by the same name inside: `vitalwire backup` names it to both sides.
        run_as = ("unshare", "--mount", "--propagation", "private", "bash", "-ec", INSIDE_BY_NAME, "inside",
                  os.environ["VITALWIRE_DEBIAN_ROOT"], str(self._folder), "postgres")  # fmt: skip
        return BackupConfig(folder=backups, database=self.address, programs=Path(PROGRAMS), run_as=run_as,
                            note_every_s=1.0)  # fmt: skip

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self._folder / self._name

    def leave(self) -> None:
        """A standby hears no more of its primary, as if the line were cut, and is not promoted yet."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
        until(lambda: self.ask("SELECT count(*) FROM pg_stat_wal_receiver") == 0, START_S, "the line is cut")

    def start(self) -> None:
        """Returns when it answers."""
        shutil.copyfile(ROOT / "deploy" / "services" / "timescaledb.conf", self._folder / "postgresql.conf")
        (self._folder / "postgresql.conf").chmod(0o644)
        chosen = SETTINGS | {"port": str(self.port), "unix_socket_directories": f"/mnt/{self._name}"}
        options = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        command = [f"{PROGRAMS}/postgres", "-D", f"/mnt/{self._name}", "-c", "config_file=/mnt/postgresql.conf"]
        with (self._folder / f"{self._name}.log").open("ab") as log:
            self._process = subprocess.Popen(self._argv("postgres", *command, *options), stdout=log, stderr=log)
        until(self._answers, START_S, f"{self._name} answers")

    def has_ended(self) -> bool:
        """By itself."""
        return self._process is not None and self._process.poll() is not None

    def can_be_asked(self) -> bool:
        """Now; for some seconds a server that ends by itself is neither here nor gone."""
        try:
            return self.ask("SELECT 1") == 1
        except psycopg.OperationalError:
            return False

    def resume(self) -> None:
        """Start it again where it has ended by itself; returns when it answers."""
        if self.has_ended():
            self.start()
        until(self._answers, START_S, f"{self._name} answers")

    def ask(self, sql: str) -> object:
        """The first value of the first row."""
        with psycopg.connect(self.address, autocommit=True, connect_timeout=5) as connection:
            row = connection.execute(sql.encode()).fetchone()
        return row[0] if row else None

    def kill(self) -> None:
        """SIGKILL to it and its children; held first, so that none is born in between."""
        assert self._process is not None
        pid = self._process.pid
        os.kill(pid, signal.SIGSTOP)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (*map(int, children), pid):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self._process.wait(STOP_S)
        self._process = None

    def stop(self) -> None:
        """At the end of a case; one that does not run is left alone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # immediate: nobody needs what it holds
            self._process.wait(STOP_S)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / f"{self._name}.log").read_text()[-2000:]
        return self.ask("SELECT 1") == 1 if self._has_database() else True

    def _address_of(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def _has_database(self) -> bool:
        with psycopg.connect(self._address_of("postgres"), connect_timeout=5) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        return found is not None

    def _prepare(self, signal_file: str, **settings: str) -> None:
        """A copy, for what it is to be; in its own file, so that it can be told otherwise later."""
        data = self._folder / self._name
        owner = data.stat()
        (data / signal_file).touch(0o600)
        os.chown(data / signal_file, owner.st_uid, owner.st_gid)
        with (data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _make_folder(self, name: str) -> None:
        self._inside("root", "install", "-d", "-o", "postgres", "-g", "postgres", "-m", "700", f"/mnt/{name}")

    def _inside(self, user: str, *command: str) -> None:
        done = subprocess.run(self._argv(user, *command), capture_output=True, text=True, timeout=COMMAND_S)
        assert done.returncode == 0, f"{command[0]}: {done.stderr[-2000:]}"

    def _argv(self, user: str, *command: str) -> list[str]:
        root = os.environ["VITALWIRE_DEBIAN_ROOT"]
        unshare = ["unshare", "--mount", "--propagation", "private", "bash", "-ec", INSIDE, "inside", root]
        return [*unshare, str(self._folder), user, *command]


@contextmanager
def received(config: BackupConfig) -> Iterator[None]:
    """`vitalwire backup wal` runs meanwhile."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(receive, config, stop)
        try:
            until(lambda: running.done() or _is_received(config), START_S, "the log is received")
            yield
        finally:
            stop.set()
            running.result(STOP_S)


def _is_received(config: BackupConfig) -> bool:
    with psycopg.connect(config.database, autocommit=True) as connection:
        return connection.execute("SELECT FROM pg_stat_replication WHERE state = 'streaming'").rowcount == 1


def silent(what: str, done: float | None) -> None:
    """Progress that nobody looks at."""


def both(first: Server, second: Server) -> str:
    """The address by which a client finds whichever of the two may be written."""
    hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
    return f"postgresql://{USER}@{hosts}/{DATABASE}?target_session_attrs=read-write"


def settled_wal(server: Server) -> str:
    """Where its log ends now."""
    return str(server.ask("SELECT pg_current_wal_lsn()"))


def caught_up(primary: Server, standby: Server) -> float:
    """Wait until the standby has all that the primary has written by now; the seconds that it took."""
    end = settled_wal(primary)
    began = time.monotonic()
    until(lambda: bool(standby.ask(f"SELECT pg_last_wal_replay_lsn() >= '{end}'")), START_S, "the standby has it all")
    return time.monotonic() - began
