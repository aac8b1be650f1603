"""How a process ends, when it is asked to and with its parent; and how much memory it holds on to."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
from collections.abc import Callable
from contextlib import suppress

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ARENAS_MAX = 2
COLLECT_AFTER = 50_000  # objects; a chart of a day makes some thousands of tuples and lists
_PR_SET_PDEATHSIG = 1
_M_ARENA_MAX = -8
_libc = ctypes.CDLL(None)
_prctl = _libc.prctl


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


async def stops_within(stop: asyncio.Event, limit_s: float) -> bool:
    """Wait for so long; whether it was asked to stop meanwhile, which ends the waiting."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), limit_s)
    return stop.is_set()


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: this signal when the parent's *thread* that started the child is gone (prctl(2); Linux)."""
    parent = os.getpid()

    def before_exec() -> None:
        _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(by))  # here: a change of user clears it
        if os.getppid() != parent:  # which was gone before it could be asked for
            os._exit(1)

    return before_exec


def share_arenas() -> None:
    """Few arenas of the allocator for all threads (mallopt(3), M_ARENA_MAX; glibc alone has it).

    By default each of the threads that COPY and decompress gets its own, up to eight a core, and none gives back what a
    burst once needed. Called before threads are started.
    """
    with suppress(AttributeError):
        _libc.mallopt(_M_ARENA_MAX, ARENAS_MAX)


def collect_seldom() -> None:
    """Let no answer of some thousand rows wait for a search through all that the program has loaded.

    What there is now is no garbage and is not looked at again (gc.freeze); for the rest the garbage collector begins
    later than after each 700 objects. Called once all modules are loaded.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
