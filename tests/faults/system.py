"""The whole wire with an agent that can be killed and started again in a moment, and workers that can be held."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from runtime import keys
from tests.wire import Wire

ROOT = Path(__file__).parents[2]
STOP_S = 20
# Forks an agent a line, so that two hundred starts do not import everything two hundred times: `edge run`, without
# the reading of the command line. The agents are nobody's children to wait for, and end with this process.
NURSERY = """\
import ctypes, os, pathlib, signal, sys
from vitalwire.edge_run import run
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


class System(Wire):
    """As `Wire`; `processes` has the pids of the agent and of the workers that run now."""

    def __init__(self, folder: Path, kafka: str, database: str, sources: str, limits: str, broker: str = "") -> None:
        super().__init__(folder, kafka, database, sources, limits, broker)
        self.key = keys.load(folder / "edge.key", allow_demo=True)
        self.platform_der = keys.read_public(folder / "platform.pub")
        self.footprint: dict[str, tuple[int, int]] = {}  # of each process when it was at work: bytes and descriptors
        self._edge = 0

    def __enter__(self) -> Self:
        with (self.folder / "edge.log").open("ab") as log:
            self._nursery = subprocess.Popen(
                [sys.executable, "-c", NURSERY], cwd=ROOT, text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        self.stop("edge")
        self._nursery.communicate(timeout=STOP_S)
        super().__exit__()

    def start(self, name: str) -> None:
        """The agent may not serve yet when this returns."""
        if name != "edge":
            return super().start(name)
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(f"{self.folder / 'edge.toml'}\n")
        self._edge = int(self._nursery.stdout.readline())
        return None

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """Returns when it has ended; an agent that does not run is left alone."""
        if name != "edge":
            return super().stop(name, how)
        if not self._edge:
            return None
        ending = os.pidfd_open(self._edge)  # it is our child's child
        signal.pidfd_send_signal(ending, how)
        assert select.select([ending], [], [], STOP_S)[0], "the agent does not end"
        os.close(ending)
        self._edge = 0
        return None

    @property
    def processes(self) -> dict[str, int]:
        found = {"edge": self._edge} if self._edge else {}
        pid = self.running["processors"].pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found[Path(f"/proc/{child}/cmdline").read_text().split("\0")[3]] = int(child)
        return found

    def signal_workers(self, number: int) -> None:
        """SIGSTOP holds them, SIGCONT lets them go on."""
        for name, pid in self.processes.items():
            if name != "edge":
                os.kill(pid, number)
