"""How a process ends when it is asked to, and what it tells systemd."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
from contextlib import suppress

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1
_PID = os.getpid()  # in a child that was forked: its parent's
_prctl = ctypes.CDLL(None).prctl


def stop_event() -> asyncio.Event:
    """An event of the running loop that SIGINT or SIGTERM sets; the next such signal ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def asked() -> None:
        stop.set()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, asked)
    return stop


def notify(state: str) -> None:
    """Tell systemd READY=1, WATCHDOG=1 or STOPPING=1 (sd_notify(3)); nothing where it did not start us."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:  # it will find out by itself
        if address:
            unix.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def end_with_parent() -> None:
    """For `preexec_fn`: SIGKILL when the parent's thread that started us is gone (prctl(2); Linux)."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() == 1 != _PID:  # it had gone before we could ask (as a container's first process it is 1 itself)
        os._exit(1)
