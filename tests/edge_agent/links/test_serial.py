"""Serial ports: a pseudo-terminal in place of the cable, a socket in place of a terminal server."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapters.devices import nonin
from adapters.driver import DeviceDriver, SerialFramer, SerialSettings, Source
from adapters.formats.hl7_ack import Outcome
from adapters.formats.lines import LINE_BYTES_MAX
from edge_agent.config import SerialConfig
from edge_agent.delivery import Delivery
from edge_agent.transports import serial
from edge_agent.transports.serial import SerialTransport, open_port, url_problem
from tests.edge_agent.transports.scene import LIMIT_S, eventually
from tests.making import T0_US

LINES = [b"SPO2=%03d HR=072" % n for n in range(90, 100)]


class Line:
    """A device's end of a serial line; its path is a link, so that it can be plugged in again elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "port"
        self.plug_in()

    def plug_in(self) -> None:
        self.theirs, self.ours = os.openpty()
        tty.setraw(self.ours)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self.ours))

    def say(self, data: bytes) -> None:
        os.write(self.theirs, data)

    def unplug(self) -> None:
        os.close(self.theirs)
        os.close(self.ours)
        self.path.unlink(missing_ok=True)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(serial, "REOPEN_FIRST_S", 0.02)
    monkeypatch.setattr(serial, "READ_TIMEOUT_S", 0.02)
    found = Line(tmp_path)
    yield found
    if found.path.is_symlink():
        found.unplug()


class Bed:
    """What came of a port."""

    def __init__(self, config: SerialConfig, driver: DeviceDriver) -> None:
        self.came: list[Delivery] = []
        self.events: list[tuple[str, str]] = []
        self.clock_us = T0_US
        self.opened = 0
        self.source = Source("bed")
        driver = replace(driver, framer=partial(self._framer, driver))
        self._transport = SerialTransport(config, driver, self.source, self._event, self._now_us)

    def _framer(self, driver: DeviceDriver) -> SerialFramer:
        """The port is open, and what was said before is flushed."""
        self.opened += 1
        assert driver.framer is not None
        return driver.framer()

    def _event(self, code: str, text: str) -> None:
        self.events.append((code, text))

    def _now_us(self) -> int:
        self.clock_us += 1
        return self.clock_us

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Future[None]]:
        task = asyncio.ensure_future(self._transport.run(self.came.append))
        try:
            yield task
            assert not task.done()  # whatever happened, it goes on
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def frames(self) -> list[tuple[bytes, str]]:
        return [(d.frame, d.reason) for d in self.came]


def bed_at(port: object, driver: DeviceDriver = nonin.ASCII) -> Bed:
    return Bed(SerialConfig("bed", driver.name, port=str(port)), driver)


def test_frames_come_whole_however_they_arrive(line: Line) -> None:
    async def run() -> None:
        bed = bed_at(line.path)
        async with bed.running():
            await eventually(lambda: bed.opened)
            stream = b"\r\n".join(LINES) + b"\r\n"
            for n, at in enumerate(range(0, len(stream), 7)):
                line.say(stream[at : at + 7])
                if n % 4 == 0:  # now and then it is read before the next comes
                    await asyncio.sleep(0)
            await eventually(lambda: len(bed.came) == len(LINES))
        assert bed.frames() == [(line, "") for line in LINES]
        assert {d.sender for d in bed.came} == {""}  # nobody who could send again
        times = [d.received_at_us for d in bed.came]
        assert times == sorted(set(times))
        bed.came[0].ack(Outcome.CANNOT_KEEP, "")  # there is nobody to tell

    asyncio.run(run())


def test_noise_is_kept_as_such_and_the_next_frame_is_found(line: Line) -> None:
    async def run() -> None:
        bed = bed_at(line.path)
        async with bed.running():
            await eventually(lambda: bed.opened)
            noise = b"\xff\x00\x1b" * LINE_BYTES_MAX
            line.say(noise)
            await eventually(lambda: len(bed.came) == 3)
            line.say(LINES[0] + b"\n")
            await eventually(lambda: len(bed.came) == 4)
        assert [d.reason for d in bed.came] == [*["line-too-long"] * 3, ""]
        assert b"".join(d.frame for d in bed.came) == noise + LINES[0]

    asyncio.run(run())


def test_a_port_that_was_gone_is_a_gap_with_its_times(line: Line) -> None:
    async def run() -> None:
        bed = bed_at(line.path)
        async with bed.running():
            await eventually(lambda: bed.opened)
            line.say(LINES[0] + b"\nhalf")
            await eventually(lambda: bed.came)
            bed.source.memory["alarms"] = {"SNSD": "x"}
            line.unplug()
            line.plug_in()
            await eventually(lambda: bed.opened == 2)
            line.say(b" of it\n" + LINES[1] + b"\n")
            await eventually(lambda: len(bed.came) == 3)
        assert bed.frames() == [(LINES[0], ""), (b" of it", ""), (LINES[1], "")]  # never half and half
        assert bed.source.memory == {}
        ((code, text),) = bed.events
        before, after = (int(word) for word in text.split() if word.isdecimal())
        assert code == "gap"
        assert bed.came[0].received_at_us < before < after < bed.came[1].received_at_us

    asyncio.run(run())


def test_a_port_that_comes_late_is_a_gap_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    def opened(*args: Any) -> Any:
        nonlocal tries
        tries += 1
        return open_port(*args)

    monkeypatch.setattr(serial, "REOPEN_FIRST_S", 0.02)
    monkeypatch.setattr(serial, "open_port", opened)

    async def run() -> None:
        bed = bed_at(tmp_path / "port")
        with structlog.testing.capture_logs() as logs:
            async with bed.running():
                await eventually(lambda: tries > 3)
                line = Line(tmp_path)
                await eventually(lambda: bed.opened)
                line.say(LINES[0] + b"\n")
                await eventually(lambda: bed.came)
            line.unplug()
        assert [code for code, _ in bed.events] == ["gap"]
        assert len([entry for entry in logs if entry["event"] == "port not open"]) == 1  # not once an attempt
        assert "does not exist" in logs[0]["error"]

    asyncio.run(run())


def test_a_port_that_another_program_holds_is_said_to_be_held(line: Line) -> None:
    async def run() -> None:
        bed = bed_at(line.path)
        with line.path.open("rb", buffering=0) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with structlog.testing.capture_logs() as logs:
                async with bed.running():
                    await eventually(lambda: logs)
                    assert "is held by another program: sudo fuser -v" in logs[0]["error"]
                    fcntl.flock(other, fcntl.LOCK_UN)
                    await eventually(lambda: bed.events)
                    with line.path.open("rb", buffering=0) as third, pytest.raises(BlockingIOError):
                        fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)  # now it is ours alone

    asyncio.run(run())


@pytest.mark.parametrize("error", [TypeError("x"), ValueError("x"), OSError("x"), AttributeError("x"), KeyError("x")])
def test_whatever_pyserial_raises_the_port_is_tried_again(
    line: Line, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open, real_some = open_port, serial._some
    failures = iter([error, None])
    reads = iter([error])

    def opened(*args: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return real_open(*args)

    def some(port: Any) -> bytes:
        if (failure := next(reads, None)) is not None:
            raise failure
        return real_some(port)

    monkeypatch.setattr(serial, "open_port", opened)
    monkeypatch.setattr(serial, "_some", some)

    async def run() -> None:
        bed = bed_at(line.path)
        async with bed.running():
            await eventually(lambda: bed.opened == 2)
            line.say(LINES[0] + b"\n")
            await eventually(lambda: bed.came)
        assert [code for code, _ in bed.events] == ["gap", "gap"]

    asyncio.run(run())


def test_a_terminal_server_is_read_and_reached_again() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
            patch.setattr(serial, "REOPEN_FIRST_S", 0.02)
            server.setblocking(False)
            loop = asyncio.get_running_loop()
            bed = bed_at(f"socket://127.0.0.1:{server.getsockname()[1]}")
            async with bed.running():
                for n in (1, 2):
                    connection, _ = await asyncio.wait_for(loop.sock_accept(server), LIMIT_S)
                    with connection:
                        await eventually(lambda n=n: bed.opened == n)  # type: ignore[misc]
                        await loop.sock_sendall(connection, LINES[n] + b"\r\n")
                        await eventually(lambda n=n: len(bed.came) == n)  # type: ignore[misc]
            assert bed.frames() == [(LINES[1], ""), (LINES[2], "")]
            assert [code for code, _ in bed.events] == ["gap"]

    asyncio.run(run())


def test_a_terminal_server_without_power_is_noticed_by_the_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = SerialConfig("bed", "nonin_ascii", port=f"socket://127.0.0.1:{server.getsockname()[1]}")
        port = open_port(config, SerialSettings())
        assert port._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        port.close()


def test_a_port_is_set_as_the_device_says_unless_the_config_does(line: Line) -> None:
    settings = SerialSettings(19200, 7, "E", 2)
    port = open_port(SerialConfig("bed", "x", port=str(line.path)), settings)
    assert (port.baudrate, port.bytesize, port.parity, port.stopbits) == (19200, 7, "E", 2)
    port.close()
    port = open_port(SerialConfig("bed", "x", port=str(line.path), baud=1200, parity="O", stop_bits=1), settings)
    assert (port.baudrate, port.bytesize, port.parity, port.stopbits) == (1200, 7, "O", 1)
    port.close()


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ("", "no port is named"),
        ("spy:///dev/ttyS0?file=/etc/passwd", "spy:// is not supported"),
        ("loop://", "loop:// is not supported"),
        ("alt:///dev/ttyS0?class=PosixPollSerial", "alt:// is not supported"),
        ("hwgrep://0451", "hwgrep:// is not supported"),
        ("SPY://x?file=/etc/passwd", "SPY:// is not supported"),
        ("socket://10.0.0.7", "names no host and port"),
        ("socket://:4001", "names no host and port"),
        ("rfc2217://ts:99999", "names no host and port"),
        ("socket://ts:x", "names no host and port"),
    ],
)
def test_what_is_no_port_is_refused_before_anything_is_opened(port: str, words: str) -> None:
    assert words in url_problem(port)


@pytest.mark.parametrize("port", ["/dev/ttyUSB0", "COM3", "socket://10.0.0.7:4001", "rfc2217://ts.example:2217"])
def test_ports_that_are_some(port: str) -> None:
    assert url_problem(port) == ""
