"""Who holds a port of this machine, out of /proc (proc(5)); of other users' processes only root sees what is open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_LISTEN = "0A"  # TCP_LISTEN of the kernel's include/net/tcp_states.h


class Holder(NamedTuple):
    """A process that has a port open.

    `is_agent`: it is `vitalwire edge run`; `is_downtime`: it is `vitalwire edge downtime`.
    """

    pid: int
    name: str
    is_agent: bool
    is_downtime: bool = False

    def __str__(self) -> str:
        return f"the running agent (pid {self.pid})" if self.is_agent else f"{self.name} (pid {self.pid})"


def holder_of(device: str) -> Holder | None:
    """Who else has this device file open, as far as we may look; on a pty only an agent counts, its maker does not."""
    path = os.path.realpath(device)
    return next((h for h in _having(path) if h.is_agent or not path.startswith("/dev/pts/")), None)


def listener_on(port: int) -> Holder | None:
    """Who else listens on this TCP port."""
    rows = [line.split() for table in PROC.glob("net/tcp*") for line in table.read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port}
    return next((holder for inode in inodes for holder in _having(f"socket:[{inode}]")), None)


def runs(name: str) -> bool:
    """Whether a program of this name runs."""
    return any(holder.name == name for holder in _processes())


def _processes() -> Iterator[Holder]:
    for process in PROC.glob("[0-9]*"):
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            is_ours = b"edge" in arguments and any(b"vitalwire" in a for a in arguments)
            name = (process / "comm").read_text().strip()
            yield Holder(int(process.name), name, is_ours and b"run" in arguments, is_ours and b"downtime" in arguments)


def _having(link: str) -> Iterator[Holder]:
    for holder in _processes():
        with suppress(OSError):  # another user's, or it has ended
            if holder.pid != os.getpid() and link in map(_target, PROC.glob(f"{holder.pid}/fd/*")):
                yield holder


def _target(file: Path) -> str:
    with suppress(OSError):  # closed meanwhile
        return os.readlink(file)
    return ""
