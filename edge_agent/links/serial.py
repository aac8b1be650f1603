"""Serial ports, also behind terminal servers: exclusive, opened again after an unplug.

A port is opened in a thread of its own, then read and written by the event loop, which never waits for it. Bytes that
never reached the port cannot be asked for again: that a port was gone is an event with its times.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from urllib.parse import urlsplit

import serial
import structlog

from adapters.driver import SerialSettings
from edge_agent.config import SerialLink
from edge_agent.conversation import Conversation
from edge_agent.holders import holder_of, runs
from edge_agent.links.owner import LinkError, LinkOwner
from edge_agent.links.tcp import TcpDialler, keep_alive
from edge_agent.links.threads import in_own_thread
from runtime.tls import check_client

READ_BYTES = 4096
UNWRITTEN_BYTES_MAX = 64 * 1024  # a device that takes nothing (flow control) is a fault
LAST_FRAMES_S = 5.0  # at a port's end, for what is on its way to the disk
RFC2217_READ_S = 0.2  # how soon its thread sees that we end
SCHEMES = ("socket://", "rfc2217://")  # pyserial has more; one of them writes to any file it is told to
NO_TLS = "a terminal server has no TLS: put it on a network of its own"
_log = structlog.get_logger("serial")


def url_problem(port: str) -> str:
    """Why this port cannot be used, in plain words; "" where it can."""
    if not port:
        return 'no port is named: port = "/dev/serial/by-id/..."'
    if "://" in port and not port.startswith(SCHEMES):
        return (
            f"{port.split('://')[0]}:// is not supported: use a device path, socket://host:port or rfc2217://host:port"
        )
    with contextlib.suppress(ValueError):
        if "://" not in port or (urlsplit(port).hostname and urlsplit(port).port):
            return ""
    return f"{port} names no host and port: socket://10.0.0.7:4001"


def open_port(config: SerialLink, settings: SerialSettings) -> serial.SerialBase:
    """The port as configured, ours alone; raises serial.SerialException, and others: pyserial does not say which."""
    flow_control = config.flow_control or settings.flow_control
    port = serial.serial_for_url(
        config.port,
        do_not_open=True,
        baudrate=config.baud or settings.baud,
        bytesize=config.data_bits or settings.data_bits,
        parity=config.parity or settings.parity,
        stopbits=config.stop_bits or settings.stop_bits,
        xonxoff=flow_control == "xon-xoff",
        rtscts=flow_control == "rts-cts",
        dsrdtr=flow_control == "dsr-dtr",
        timeout=RFC2217_READ_S,
    )
    if "://" not in config.port:
        port.exclusive = True
    port.open()
    if "://" in config.port:  # a terminal server that lost its power says no goodbye
        keep_alive(port._socket)
    return port


def trouble(path: str, error: Exception) -> str:
    """Why a port does not open, and what to do."""
    match getattr(error, "errno", None):
        case _ if "://" in path:
            return f"{path} is not reached: is the terminal server on, and its port free? ({error})"
        case errno.ENOENT if runs("brltty"):
            return f"{path} does not exist, and brltty runs, which takes USB adapters away: apt remove brltty"
        case errno.ENOENT:
            return f"{path} does not exist: plug it in, and see ls /dev/serial/by-id"
        case errno.EACCES:
            with contextlib.suppress(OSError, KeyError):  # a group without a name
                group = grp.getgrgid(os.stat(path).st_gid).gr_name
                return f"{path} may be opened by the group {group} alone: sudo usermod -aG {group} $USER, then log in"
        case errno.EAGAIN | errno.EBUSY:
            return f"{path} is held by {holder_of(path) or 'another program'}: sudo fuser -v {path} names it"
    return f"{path} cannot be opened: {error}"


class SerialPort:
    """One port, as its driver or the configuration sets it."""

    def __init__(self, config: SerialLink, settings: SerialSettings) -> None:
        self._config, self._settings = config, settings

    async def run(self, owner: LinkOwner) -> None:
        """From opening the port until it is lost, which raises LinkError."""
        path = self._config.port
        if path.startswith("socket://"):
            address = urlsplit(path).netloc
            dialler = TcpDialler(address, "terminal server", insecure=self._config.insecure, may_end=False, mend=NO_TLS)
            await dialler.run(owner)
            return
        if path.startswith("rfc2217://"):
            check_client(urlsplit(path).hostname or "", tls=False, insecure=self._config.insecure, mend=NO_TLS)
        port = await in_own_thread(self._open, _close)
        line: _PortLine = _ThreadLine(port) if "://" in path else _FileLine(port)
        conversation = owner.converse(line, path)
        owner.stands()
        line.start(conversation)
        conversation.opened()
        try:
            error = await asyncio.shield(line.ended)
        finally:
            conversation.closed(orderly=False)  # its session may have a last word
            line.stop()
            await _settled(conversation)
        raise LinkError(f"{path} was lost while it was read ({error}): plug, adapter or hub")

    def _open(self) -> serial.SerialBase:
        try:
            return open_port(self._config, self._settings)
        except Exception as error:
            raise LinkError(trouble(self._config.port, error)) from error


def _close(port: serial.SerialBase) -> None:
    with contextlib.suppress(OSError):
        port.close()


async def _settled(conversation: Conversation) -> None:
    """Wait until what came is kept, or for a while."""
    settled = asyncio.Event()
    conversation.when_settled(settled.set)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_FRAMES_S):
            await settled.wait()


class _PortLine(ABC):
    """A port that is open; the `Line` of its conversation. `ended` is resolved with what ended it."""

    def __init__(self, port: serial.SerialBase) -> None:
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._conversation: Conversation | None = None
        self.ended: asyncio.Future[str] = self._loop.create_future()

    def start(self, conversation: Conversation) -> None:
        """Give what comes to this conversation."""
        self._conversation = conversation
        self.resume_reading()

    @abstractmethod
    def stop(self) -> None:
        """Give the port back."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send."""

    def close(self) -> None:
        """The session wants it: the port is opened anew."""
        self._end("the session gave it up")

    @abstractmethod
    def pause_reading(self) -> None:
        """Enough waits for the spool."""

    @abstractmethod
    def resume_reading(self) -> None:
        """The spool has caught up."""

    def _received(self, data: bytes) -> None:
        if self._conversation is not None and not self.ended.done():
            self._conversation.received(data)

    def _end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)


class _FileLine(_PortLine):
    """A port of this machine: its file, without waiting for it."""

    def __init__(self, port: serial.SerialBase) -> None:
        super().__init__(port)
        self._file = port.fileno()
        os.set_blocking(self._file, False)
        self._unwritten = bytearray()

    def stop(self) -> None:
        self._loop.remove_reader(self._file)
        self._loop.remove_writer(self._file)
        _close(self._port)

    def write(self, data: bytes) -> None:
        if self.ended.done():
            return
        is_first = not self._unwritten
        self._unwritten += data
        if len(self._unwritten) > UNWRITTEN_BYTES_MAX:
            self._end("the device takes nothing: is its flow control as configured?")
        elif is_first:
            self._write_more()

    def pause_reading(self) -> None:
        self._loop.remove_reader(self._file)

    def resume_reading(self) -> None:
        if not self.ended.done():
            self._loop.add_reader(self._file, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._file, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        if data:
            self._received(data)
        else:  # ready to be read, and nothing there: unplugged, or another program reads it too
            self._lost(OSError("it gives nothing more"))

    def _write_more(self) -> None:
        try:
            count = os.write(self._file, self._unwritten)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._lost(error)
            return
        del self._unwritten[:count]
        if self._unwritten:
            self._loop.add_writer(self._file, self._write_more)
        else:
            self._loop.remove_writer(self._file)

    def _lost(self, error: OSError) -> None:
        self._loop.remove_reader(self._file)  # it would be ready for ever
        self._loop.remove_writer(self._file)
        self._end(error.strerror or str(error))


class _ThreadLine(_PortLine):
    """A port behind an RFC 2217 server: pyserial's, which knows no event loop, read and written by two threads."""

    def __init__(self, port: serial.SerialBase) -> None:
        super().__init__(port)
        self._is_stopped = False
        self._may_read = Event()
        self._reader = Thread(target=self._read, name="rfc2217", daemon=True)
        self._writer = ThreadPoolExecutor(1, "rfc2217")
        self._unwritten = 0

    def start(self, conversation: Conversation) -> None:
        super().start(conversation)
        self._reader.start()

    def stop(self) -> None:
        self._is_stopped = True
        self._may_read.set()
        self._writer.shutdown(wait=False, cancel_futures=True)
        # Closing it tells the other side, and may wait for it.
        Thread(target=_close, args=(self._port,), name="rfc2217", daemon=True).start()

    def write(self, data: bytes) -> None:
        self._unwritten += len(data)
        if self._unwritten > UNWRITTEN_BYTES_MAX:
            self._end("the terminal server takes nothing")
        if not self.ended.done() and not self._is_stopped:
            self._writer.submit(self._write, data)

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def _write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except Exception as error:  # noqa: BLE001 - see open_port
            self._in_loop(self._end, str(error))
        else:
            self._in_loop(self._written, len(data))

    def _written(self, count: int) -> None:
        self._unwritten -= count

    def _read(self) -> None:
        while not self._is_stopped:
            self._may_read.wait()
            try:
                data = self._port.read(1)
                waiting = min(self._port.in_waiting, READ_BYTES) if data else 0
                data += self._port.read(waiting) if waiting else b""
            except Exception as error:  # noqa: BLE001 - see open_port
                self._in_loop(self._end, str(error))
                return
            if data and not self._is_stopped:
                self._in_loop(self._received, data)

    def _in_loop(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call, *arguments)
