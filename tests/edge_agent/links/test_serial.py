"""Serial ports: a pseudo-terminal in place of the cable, a socket in place of a terminal server."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serial as pyserial
from serial import rfc2217

from adapters.driver import SerialSettings
from adapters.session import Moment, Outcome, Step
from adapters.sessions.lines import LINE_BYTES_MAX, LineSession
from edge_agent.config import SerialLink
from edge_agent.links import serial
from edge_agent.links.owner import LinkError
from edge_agent.links.serial import SerialPort, open_port, url_problem
from runtime.errors import UserError
from tests.edge_agent.links.scene import LIMIT_S, Agent, eventually, running

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

    def emit(self, data: bytes) -> None:
        os.write(self.theirs, data)

    def unplug(self) -> None:
        os.close(self.theirs)
        os.close(self.ours)
        self.path.unlink(missing_ok=True)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    found = Line(tmp_path)
    yield found
    if found.path.is_symlink():
        found.unplug()


def at(port: object, **more: Any) -> SerialPort:
    return SerialPort(SerialLink(port=str(port), **more), SerialSettings())


def reading(**more: Any) -> Agent:
    return Agent(make_session=LineSession, **more)


def test_frames_come_whole_however_they_arrive(line: Line) -> None:
    async def run() -> None:
        bed = reading()
        async with running(at(line.path), bed):
            stream = b"\r\n".join(LINES) + b"\r\n"
            for n, begin in enumerate(range(0, len(stream), 7)):
                line.emit(stream[begin : begin + 7])
                if n % 4 == 0:  # now and then it is read before the next comes
                    await asyncio.sleep(0)
            await eventually(lambda: len(bed.came) == len(LINES))
        assert bed.frames() == [(each, "") for each in LINES]
        assert {d.sender for d in bed.came} == {""}  # nobody who could send again
        times = [d.received_at_us for d in bed.came]
        assert times == sorted(times)

    asyncio.run(run())


def test_noise_is_kept_as_such_and_the_next_frame_is_found(line: Line) -> None:
    async def run() -> None:
        bed = reading()
        async with running(at(line.path), bed):
            noise = b"\xff\x00\x1b" * LINE_BYTES_MAX
            line.emit(noise)
            await eventually(lambda: len(bed.came) == 3)
            line.emit(LINES[0] + b"\n")
            await eventually(lambda: len(bed.came) == 4)
        assert [d.reason for d in bed.came] == [*["line-too-long"] * 3, ""]
        assert b"".join(d.frame for d in bed.came) == noise + LINES[0]

    asyncio.run(run())


def test_a_port_that_goes_is_trouble_and_what_was_left_of_a_frame_is_kept(line: Line) -> None:
    async def run() -> None:
        bed = reading()
        task = asyncio.create_task(at(line.path).run(bed))
        await eventually(lambda: bed.stood)
        line.emit(LINES[0] + b"\nhalf")
        await eventually(lambda: bed.came)
        await eventually(lambda: bed.conversations[0].phase == "receiving")
        line.unplug()
        with pytest.raises(LinkError, match=r"was lost while it was read .*: plug, adapter or hub"):
            await asyncio.wait_for(task, LIMIT_S)
        assert bed.frames() == [(LINES[0], ""), (b"half", "cut-off")]

    asyncio.run(run())


def test_a_port_that_is_not_there_or_that_another_program_holds_is_said(line: Line) -> None:
    async def run() -> None:
        with line.path.open("rb", buffering=0) as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(LinkError, match=r"is held by another program: sudo fuser -v"):
                await at(line.path).run(reading())
        bed = reading()
        async with running(at(line.path), bed):
            with line.path.open("rb", buffering=0) as third, pytest.raises(BlockingIOError):
                fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)  # now it is ours alone
        with line.path.open("rb", buffering=0) as fourth:
            fcntl.flock(fourth, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and is given back
        with pytest.raises(LinkError, match="/dev/ttyNONE does not exist: plug it in"):
            await at("/dev/ttyNONE").run(reading())

    asyncio.run(run())


@pytest.mark.parametrize(
    "error", [TypeError("x"), ValueError("x"), OSError("x"), AttributeError("x"), termios.error(errno.EIO, "x")]
)
def test_whatever_pyserial_raises_is_the_ports_trouble(
    line: Line, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(serial, "open_port", fail)
    with pytest.raises(LinkError, match="cannot be opened"):
        asyncio.run(at(line.path).run(reading()))


class Polling:
    """Asks again whenever an answer came."""

    def _step(self, send: bytes) -> Step:
        return Step(send=send)

    def opened(self, now: Moment) -> Step:
        return self._step(b"poll\r")

    def feed(self, data: bytes, now: Moment) -> Step:
        return self._step(b"poll\r" * data.count(b"\r"))

    def tick(self, now: Moment) -> Step:
        return Step()

    def kept(self, token: int, outcome: Outcome, reason: str, now: Moment) -> Step:
        return Step()

    def closed(self, orderly: bool, now: Moment) -> Step:
        return Step()


def test_a_session_can_speak_on_a_serial_port(line: Line) -> None:
    async def run() -> None:
        bed = Agent(make_session=Polling)
        async with running(at(line.path), bed):
            for _ in range(3):
                assert await asyncio.to_thread(os.read, line.theirs, 5) == b"poll\r"
                line.emit(b"72\r")

    asyncio.run(run())


class Shouting(Polling):
    """Says more than a port takes at one time."""

    size = 40_000

    def opened(self, now: Moment) -> Step:
        return self._step(b"x" * self.size)


def test_what_a_device_does_not_take_at_once_is_written_later_and_too_much_is_a_fault(line: Line) -> None:
    async def run() -> None:
        async with running(at(line.path), Agent(make_session=Shouting)):
            got = 0
            while got < Shouting.size:
                got += len(await asyncio.to_thread(os.read, line.theirs, 4096))
        deaf = Agent(make_session=Shouting)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Shouting, "size", serial.UNWRITTEN_BYTES_MAX + 1)
            with pytest.raises(LinkError, match="takes nothing: is its flow control as configured"):
                await asyncio.wait_for(at(line.path).run(deaf), LIMIT_S)

    asyncio.run(run())


def test_a_terminal_server_is_read_on_the_event_loop() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            loop = asyncio.get_running_loop()
            bed = reading()
            task = asyncio.create_task(at(f"socket://127.0.0.1:{server.getsockname()[1]}").run(bed))
            connection, _ = await asyncio.wait_for(loop.sock_accept(server), LIMIT_S)
            with connection:
                await eventually(lambda: bed.stood)
                assert not [t for t in threading.enumerate() if t.name in ("link", "rfc2217")]
                await loop.sock_sendall(connection, LINES[1] + b"\r\n")
                await eventually(lambda: bed.came)
            with pytest.raises(LinkError, match="was closed by the terminal server"):
                await asyncio.wait_for(task, LIMIT_S)
            assert bed.frames() == [(LINES[1], "")]

    asyncio.run(run())


class Rfc2217Server:
    """A terminal server that agrees to everything (RFC 2217), on a thread of its own; `got` is what it was sent."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._server.getsockname()[1]}"
        self.got = b""
        self.connection: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        device = pyserial.serial_for_url("loop://", timeout=0)  # has modem lines, which a pseudo-terminal has not
        self.connection = connection
        manager = self._manager = rfc2217.PortManager(device, self)
        try:
            while data := connection.recv(4096):
                self.got += b"".join(manager.filter(data))
        except OSError:
            pass
        finally:
            device.close()

    def write(self, data: bytes) -> None:
        """Called by the port manager, to negotiate."""
        assert self.connection is not None
        self.connection.sendall(data)

    def emit(self, data: bytes) -> None:
        assert self.connection is not None
        self.connection.sendall(b"".join(self._manager.escape(data)))

    def close(self) -> None:
        if self.connection is not None:
            self.connection.shutdown(socket.SHUT_RDWR)
        self._server.close()


def test_an_rfc_2217_server_has_threads_of_its_own() -> None:
    async def run() -> None:
        server, bed = Rfc2217Server(), Agent(make_session=Polling)
        task = asyncio.create_task(at(server.url).run(bed))
        await eventually(lambda: bed.stood and server.got.endswith(b"poll\r"))
        server.emit(b"72\r")
        await eventually(lambda: server.got.endswith(b"poll\rpoll\r"))
        server.close()
        with pytest.raises(LinkError, match="was lost while it was read"):
            await asyncio.wait_for(task, LIMIT_S)

    asyncio.run(run())


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_a_terminal_server_beyond_loopback_is_reached_in_plaintext_by_name_alone(scheme: str) -> None:
    port = at(f"{scheme}://192.0.2.1:4001")
    with pytest.raises(UserError, match=r"a terminal server has no TLS: .*insecure = true"):
        asyncio.run(port.run(reading()))


def test_a_port_that_takes_long_to_open_holds_up_nothing(monkeypatch: pytest.MonkeyPatch, line: Line) -> None:
    """Sixteen dead ones beside a live one: the shared pool has fewer threads than that."""
    hang = threading.Event()
    real = open_port

    def opened(config: SerialLink, settings: SerialSettings) -> Any:
        if config.port == "/dev/dead":
            hang.wait(LIMIT_S)
            raise OSError("dead_letter")
        return real(config, settings)

    monkeypatch.setattr(serial, "open_port", opened)

    async def run() -> None:
        dead = [asyncio.create_task(at("/dev/dead").run(reading())) for _ in range(16)]
        await asyncio.sleep(0)
        bed = reading()
        async with running(at(line.path), bed):
            line.emit(LINES[0] + b"\n")
            await eventually(lambda: bed.came)
            assert not any(task.done() for task in dead)
        hang.set()
        assert {type(e) for e in await asyncio.gather(*dead, return_exceptions=True)} == {LinkError}

    asyncio.run(run())


def test_a_port_that_opens_when_nobody_waits_any_more_is_closed(monkeypatch: pytest.MonkeyPatch, line: Line) -> None:
    go, closed = threading.Event(), threading.Event()
    real = open_port

    def opened(config: SerialLink, settings: SerialSettings) -> Any:
        go.wait(LIMIT_S)
        port = real(config, settings)
        real_close = port.close

        def close() -> None:
            real_close()
            closed.set()

        port.close = close
        return port

    monkeypatch.setattr(serial, "open_port", opened)

    async def run() -> None:
        task = asyncio.create_task(at(line.path).run(reading()))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go.set()
        await eventually(closed.is_set)

    asyncio.run(run())


def test_a_port_is_set_as_the_device_says_unless_the_config_does(line: Line) -> None:
    settings = SerialSettings(19200, 7, "E", 2)
    port = open_port(SerialLink(port=str(line.path)), settings)
    assert (port.baudrate, port.bytesize, port.parity, port.stopbits) == (19200, 7, "E", 2)
    assert (port.xonxoff, port.rtscts, port.dsrdtr) == (False, False, False)
    port.close()
    port = open_port(SerialLink(port=str(line.path)), SerialSettings(19200, 8, "E", 1, "rts-cts"))
    assert (port.xonxoff, port.rtscts, port.dsrdtr) == (False, True, False)
    port.close()
    port = open_port(SerialLink(port=str(line.path), flow_control="none"), SerialSettings(flow_control="rts-cts"))
    assert (port.xonxoff, port.rtscts, port.dsrdtr) == (False, False, False)
    port.close()
    config = SerialLink(port=str(line.path), baud=1200, data_bits=8, parity="O", stop_bits=1, flow_control="xon-xoff")
    port = open_port(config, settings)
    assert (port.baudrate, port.bytesize, port.parity, port.stopbits) == (1200, 8, "O", 1)
    assert (port.xonxoff, port.rtscts, port.dsrdtr) == (True, False, False)
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
