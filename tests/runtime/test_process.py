import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from runtime.process import notify, stop_event


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


@pytest.mark.parametrize("name", ["notify", "@vitalwire-test"])
def test_systemd_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"{name}-{os.getpid()}" if name.startswith("@") else str(tmp_path / name)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")  # nobody is there: no matter
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address.replace("@", "\0"))
        systemd.settimeout(10)
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"
        monkeypatch.delenv("NOTIFY_SOCKET")
        notify("WATCHDOG=1")
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)
