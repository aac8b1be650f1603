"""Who holds a port of this machine, out of /proc (proc(5)); of other users' processes only root sees what is open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_LISTEN = "0A"  # TCP_LISTEN of the kernel's include/net/tcp_states.h


class Holder(NamedTuple):
    """A process that has a port open; `is_agent`: it is `vitalwire edge run`."""

    pid: int
    name: str
    is_agent: bool

    def __str__(self) -> str:
        return f"the running agent (pid {self.pid})" if self.is_agent else f"{self.name} (pid {self.pid})"


def holder_of(device: str) -> Holder | None:
    """Who else has this device file open, as far as we may look; on a pty only an agent counts, its maker does not."""
    path = os.path.realpath(device)
    return next((h for h in _having(path) if h.is_agent or not path.startswith("/dev/pts/")), None)


def listener_on(port: int) -> Holder | None:
    """Who else listens on this TCP port."""
    rows = [line.split() for t in ("tcp", "tcp6") for line in Path("/proc/net", t).read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port}
    return next((holder for inode in inodes for holder in _having(f"socket:[{inode}]")), None)


def runs(name: str) -> bool:
    """Whether a program of this name runs."""
    return any(holder.name == name for holder in _processes())


def _processes() -> Iterator[Holder]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            is_agent = {b"edge", b"run"} < set(arguments) and any(b"vitalwire" in a for a in arguments)
            yield Holder(int(process.name), (process / "comm").read_text().strip(), is_agent)


def _having(link: str) -> list[Holder]:
    others = (holder for holder in _processes() if holder.pid != os.getpid())
    return [holder for holder in others if link in _links(holder.pid)]


def _links(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                yield os.readlink(file)
