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
    """Who else has this device file open; None where nobody does, or nobody that we may look into."""
    return _having(os.path.realpath(device))


def listener_on(port: int) -> Holder | None:
    """Who else listens on this TCP port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for row in map(str.split, Path(table).read_text().splitlines()[1:]):
                listens = row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port
                if listens and (holder := _having(f"socket:[{row[9]}]")):
                    return holder
    return None


def runs(name: str) -> bool:
    """Whether a program of this name runs."""
    return any(holder.name == name for _, holder in _processes())


def _processes() -> Iterator[tuple[Path, Holder]]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            is_agent = {b"edge", b"run"} < set(arguments) and any(b"vitalwire" in a for a in arguments)
            yield process, Holder(int(process.name), (process / "comm").read_text().strip(), is_agent)


def _having(link: str) -> Holder | None:
    for process, holder in _processes():
        with suppress(OSError):
            for file in (process / "fd").iterdir() if holder.pid != os.getpid() else ():
                with suppress(OSError):  # closed meanwhile
                    if os.readlink(file) == link:
                        return holder
    return None
