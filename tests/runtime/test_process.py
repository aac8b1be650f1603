import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.process import ARENAS_MAX, end_with_parent, stop_event

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_the_end_and_a_second_one_ends(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    async def main() -> None:
        stop = stop_event()
        assert signal.getsignal(number) != before
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 10)
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        assert signal.getsignal(number) == usual

    asyncio.run(main())


def test_a_child_ends_with_its_parent() -> None:
    inner = "import signal; print('up', flush=True); signal.pause()"
    outer = (
        "import subprocess, sys; from runtime.process import end_with_parent;"
        f"c = subprocess.Popen([sys.executable, '-c', {inner!r}], preexec_fn=end_with_parent()); c.wait()"
    )
    # The child holds the pipe: its end is seen when both have gone.
    parent = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    parent.kill()
    assert parent.communicate(timeout=20)[0] == b""


@pytest.mark.parametrize(("now", "ended"), [(1, False), (4711, True)])
def test_a_parent_that_is_gone_already_is_seen_and_number_one_may_be_the_parent(
    now: int, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr("runtime.process._prctl", lambda *_: 0)
    monkeypatch.setattr("runtime.process.os._exit", codes.append)
    monkeypatch.setattr("runtime.process.os.getpid", lambda: 1)
    monkeypatch.setattr("runtime.process.os.getppid", lambda: now)
    end_with_parent()()
    assert codes == ([1] if ended else [])


# Each of the threads allocates beside the others; malloc_info(3) lists the arenas.
ALLOCATING = """
import ctypes, threading
from runtime.process import share_arenas
{call}
libc, meeting = ctypes.CDLL(None), threading.Barrier(9)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
def allocate():
    meeting.wait()
    libc.malloc(ctypes.c_size_t(100_000))
    meeting.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
meeting.wait()
meeting.wait()
out = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
"""


@pytest.mark.parametrize(("call", "few"), [("share_arenas()", True), ("", False)])
def test_threads_share_few_arenas(call: str, few: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATING.format(call=call)], capture_output=True, text=True, check=True,
        cwd=ROOT,
    )  # fmt: skip
    assert (done.stdout.count("<heap nr=") <= ARENAS_MAX) is few


def test_what_was_loaded_is_not_looked_through_again() -> None:
    code = "import gc; from runtime.process import collect_seldom; collect_seldom(); "
    code += "print(gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000, gc.get_threshold()[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "True", "50000"]
