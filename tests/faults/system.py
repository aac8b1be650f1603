"""The whole system as child processes on given servers: one edge agent, the processors, and the folder they lie in."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self

from emr_store import registry
from emr_store.connect import open_store
from emr_store.migrate import migrate
from runtime import keys
from vitalwire.embedded.services import free_port

ROOT = Path(__file__).parents[2]
STOP_S = 20
# Forks an agent a line, so that two hundred starts do not import everything two hundred times: `edge run`, without
# the reading of the command line. The agents are nobody's children to wait for, and end with this process.
NURSERY = """\
import ctypes, os, pathlib, signal, sys
from vitalwire.edge import run
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        run(pathlib.Path(line.strip()))
        os._exit(0)
    print(pid, file=answers, flush=True)
"""


class System:
    """`sources` is TOML for the edge, `extra` for the processors; both logs lie in `folder`."""

    def __init__(
        self, folder: Path, kafka: str, database: str, sources: Callable[[System], str], extra: str = ""
    ) -> None:
        self.folder, self.kafka, self.database = folder, kafka, database
        self.mllp = ("127.0.0.1", free_port())
        self.edge_id = uuid.uuid4()
        self.platform = keys.generate(folder / "platform.key", demo=True)
        self.key = keys.generate(folder / "edge.key", demo=True)
        migrate(database)
        with open_store(database) as conn:
            registry.add_edge(conn, self.edge_id, "faults", self.key.public_der)
        common = f'kafka = "{kafka}"\ndemo = true\nmetrics_port = 0\n'
        (folder / "processors.toml").write_text(f'database = "{database}"\n{common}{extra}')
        (folder / "edge.toml").write_text(f'edge = "{self.edge_id}"\n{common}{sources(self)}')
        self._edge: int | None = None
        self._nursery = self._child("edge.log", "-c", NURSERY)
        self._processors: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start_processors()
        self.start_edge()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_edge()
        self.stop_processors()
        self._nursery.communicate(timeout=STOP_S)

    def start_edge(self) -> None:
        """Start the agent; it may not serve yet."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{self.folder / 'edge.toml'}\n")
        self._nursery.stdin.flush()
        self._edge = int(self._nursery.stdout.readline())

    def stop_edge(self, number: int = signal.SIGTERM) -> None:
        """End the agent with this signal, if it runs."""
        if self._edge is not None:
            _end(self._edge, number)
        self._edge = None

    def start_processors(self) -> None:
        """Start the three workers under their supervisor."""
        config = str(self.folder / "processors.toml")
        self._processors = self._child("processors.log", "-m", "vitalwire", "processors", "run", "--config", config)

    def stop_processors(self) -> None:
        """In good order."""
        if self._processors is not None:
            self._processors.terminate()
            self._processors.communicate(timeout=STOP_S)
        self._processors = None

    @property
    def processes(self) -> dict[str, int]:
        """The pids of the agent and of the workers that run now."""
        found = {} if self._edge is None else {"edge": self._edge}
        pid = self._processors.pid if self._processors else 0
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found[Path(f"/proc/{child}/cmdline").read_text().split("\0")[3]] = int(child)
        return found

    def signal_workers(self, number: int) -> None:
        """Send a signal to each worker: SIGSTOP holds them, SIGCONT lets them go on."""
        for name, pid in self.processes.items():
            if name != "edge":
                os.kill(pid, number)

    def _child(self, log: str, *arguments: str) -> subprocess.Popen[str]:
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, text=True, stderr=output,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE if arguments[0] == "-c" else output,
            )  # fmt: skip


def _end(pid: int, number: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for ask in (number, signal.SIGKILL):
            signal.pidfd_send_signal(descriptor, ask)
            if select.select([descriptor], [], [], STOP_S)[0]:
                return
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)
