"""A service's process: it ends with its parent, does not hear the terminal's Ctrl-C, and is ended in bounded time."""

from __future__ import annotations

import importlib.util
import os
import platform
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from runtime.process import end_with_parent
from schemas.errors import VitalwireError

TCP_LISTEN = "0A"  # proc_pid_net(5), column `st`
ENDING_GRACE_S = 8.0  # after each signal, before the next harder one
POLL_S = 0.02
# Not the caller's: the services take options from variables (PGPORT, STORAGE_ENGINE, OTEL_EXPORTER_OTLP_ENDPOINT).
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "NO_COLOR": "1"}

Account = tuple[int, int]  # uid, gid
Endings = Sequence[signal.Signals]  # each harder than the one before


class Child:
    """A running process and its log; the folder `cwd` is entered first, then the user becomes `account`.

    The parent-death signal, `endings[0]`, belongs to the *thread* that starts it, which must live as long (prctl(2)).
    """

    def __init__(
        self, argv: Sequence[str | Path], log: Path, cwd: Path | None = None, account: Account | None = None,
        endings: Endings = (signal.SIGKILL,), stdin: int = subprocess.DEVNULL,
    ) -> None:  # fmt: skip
        self.log, self._endings = log, endings
        uid, gid = account or (None, None)
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                argv, cwd=cwd, env=ENVIRONMENT, stdin=stdin, stdout=output, stderr=output, start_new_session=True,
                umask=0o077, user=uid, group=gid, extra_groups=[] if account else None,
                preexec_fn=end_with_parent(endings[0]),
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        """False once it has ended, for whatever reason."""
        return self.process.poll() is None

    def rss_bytes(self) -> int:
        """Resident memory, proc_pid_statm(5)."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def listens(self, ports: Iterable[int]) -> bool:
        """True if this very process, and not somebody who was faster, listens on 127.0.0.1 at all of `ports`."""
        proc = Path(f"/proc/{self.process.pid}")
        with suppress(FileNotFoundError):  # it ends just now, or closes a descriptor
            rows = [row.split() for row in (proc / "net/tcp").read_text().splitlines()]
            inodes = {row[1]: row[9] for row in rows if row[3] == TCP_LISTEN}
            held = {os.readlink(descriptor) for descriptor in (proc / "fd").iterdir()}
            return all(f"socket:[{inodes.get(f'0100007F:{port:04X}')}]" in held for port in ports)
        return False

    def wait_until(self, ready: Callable[[], bool], limit_s: float) -> bool:
        """True once `ready()`; False if the process ends first or `limit_s` have passed."""
        give_up = time.monotonic() + limit_s
        while self.alive and time.monotonic() < give_up:
            if ready():
                return True
            time.sleep(POLL_S)
        return False

    def last_words(self) -> str:
        """Its exit code (negative: the signal that ended it), and the end of its log on one line."""
        lines = self.log.read_text(errors="replace").splitlines()[-3:]
        return f"exit code {self.process.poll()}, {' / '.join(lines) or 'without a word'} (see {self.log})"

    def end(self) -> None:
        """End the process and reap it."""
        if self.alive:
            pidfd = os.pidfd_open(self.process.pid)
            end_process(pidfd, self._endings)
            os.close(pidfd)
        self.process.wait(ENDING_GRACE_S)


def end_process(pidfd: int, endings: Endings) -> None:
    """Send each signal in turn until the process is gone."""
    for each in endings:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, each)
        if select.select([pidfd], [], [], ENDING_GRACE_S)[0]:
            return


def wheel_file(distribution: str, package: str, inside: str) -> Path:
    """The file `inside` an installed package, which is not imported for it; refused where its wheel was not built."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.is_file():
        raise VitalwireError(
            f"{distribution} is not installed with its {inside} (this is {platform.system()} {platform.machine()}): "
            "install its wheel, or use servers of your own if there is none for this machine"
        )
    return path
