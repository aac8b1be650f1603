"""A serial port as the doctor listens to it: set anew each time, with the errors that it reports.

On a port of this machine the kernel marks bytes with parity and framing errors (termios(3), PARMRK); behind a terminal
server nobody tells.
"""

from __future__ import annotations

import os
import select
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import serial

from adapters.driver import SerialSettings
from edge_agent.config import SerialLink
from edge_agent.holders import holder_of
from edge_agent.links.serial import NO_TLS, open_port, trouble, url_problem
from runtime.errors import EXIT_UNREACHABLE, UserError
from runtime.tls import is_loopback
from vitalwire.doctor.port.line_settings import LineSettings

READ_BYTES = 4096
MARK = 0xFF  # PARMRK: FF 00 and the byte with an error; FF FF is FF


def host_of(port: str) -> str:
    """Of a terminal server's URL; "" for a port of this machine."""
    return port.partition("://")[2].rpartition(":")[0].strip("[]") if "://" in port else ""


def is_beyond_loopback(port: str) -> bool:
    """Whether what is said there can be heard by others."""
    host = host_of(port)
    return bool(host) and not is_loopback(host)


def obeys_settings(port: str) -> bool:
    """Whether the port can be set: not a raw TCP port, which its terminal server sets, nor a pseudo-terminal."""
    return not port.startswith("socket://") and not os.path.realpath(port).startswith("/dev/pts/")


@contextmanager
def opened(port: str, *, insecure: bool) -> Iterator[SerialLine]:
    """The port, ours alone; raises UserError, also where another program has it."""
    if problem := url_problem(port):
        raise UserError(problem)
    if "://" in port:
        if is_beyond_loopback(port) and not insecure:
            raise UserError(f"plaintext to {host_of(port)} can be read on the way: {NO_TLS}, and say --insecure")
    elif (holder := holder_of(port)) is not None:
        mend = "`vitalwire edge watch` with its configuration says what it hears; or end it to listen here"
        raise UserError(f"{holder} holds {port}: {mend}", EXIT_UNREACHABLE)
    try:
        made = open_port(SerialLink(port), SerialSettings())
    except Exception as error:
        raise UserError(trouble(port, error), EXIT_UNREACHABLE) from error
    try:
        yield SerialLine(made, port)
    except (OSError, termios.error) as error:
        raise UserError(f"{port} was lost while it was listened to ({error}): plug, adapter or hub") from error
    finally:
        with suppress(OSError):
            made.close()


class SerialLine:
    """The line of listening.py, at a port that is open."""

    def __init__(self, port: serial.SerialBase, name: str) -> None:
        self._port = port
        self._is_file = "://" not in name
        self._obeys = obeys_settings(name)
        self._is_refused = False
        self._unread = b""  # the beginning of a mark
        if self._is_file:
            os.set_blocking(port.fileno(), False)

    def set(self, settings: LineSettings) -> None:
        """From now on; what came before is forgotten."""
        self._is_refused = False
        if self._obeys:
            requested = {"baudrate": settings.baud, "bytesize": settings.data_bits, "parity": settings.parity}
            try:
                self._port.apply_settings(requested)
            except ValueError:  # by a terminal server that has not this rate
                self._is_refused = True
                return
        if self._is_file:
            attributes = termios.tcgetattr(self._port.fileno())
            attributes[0] |= termios.INPCK | termios.PARMRK
            attributes[0] &= ~(termios.IGNPAR | termios.ISTRIP | termios.IGNBRK | termios.BRKINT)
            termios.tcsetattr(self._port.fileno(), termios.TCSANOW, attributes)
        self._port.reset_input_buffer()
        self._unread = b""

    def read(self, limit_s: float) -> tuple[bytes, bytes]:
        """As in `Line`; nothing at a setting that the port does not take."""
        if self._is_refused:
            time.sleep(limit_s)
            return b"", b""
        if not self._is_file:
            if self._port.timeout != limit_s:  # to set it makes pyserial negotiate all settings anew
                self._port.timeout = limit_s
            data = self._port.read(1)
            waiting = min(self._port.in_waiting, READ_BYTES) if data else 0
            data += self._port.read(waiting) if waiting else b""
            return data, bytes(len(data))
        file = self._port.fileno()
        if not select.select([file], [], [], limit_s)[0]:
            return b"", b""
        came = os.read(file, READ_BYTES)
        if not came:
            raise OSError("it gives nothing more")
        data, errors, self._unread = unmarked(self._unread + came)
        return data, errors

    def write(self, data: bytes) -> None:
        """As in `Line`; a device that takes nothing (flow control) is no answer either."""
        if self._is_refused:
            return
        if not self._is_file:
            self._port.write(data)
            return
        with suppress(BlockingIOError):
            os.write(self._port.fileno(), data)


def unmarked(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The bytes without marks, a 1 for each that was marked, and the beginning of a mark at the end."""
    found, errors, at = bytearray(), bytearray(), 0
    while at < len(data):
        if data[at] != MARK:
            found.append(data[at])
            errors.append(0)
            at += 1
            continue
        mark = data[at : at + 3]
        if len(mark) < 2 or (mark[1] == 0 and len(mark) < 3):
            return bytes(found), bytes(errors), mark
        is_error = mark[1] == 0
        found.append(mark[2] if is_error else MARK)
        errors.append(int(is_error))
        at += 3 if is_error else 2
    return bytes(found), bytes(errors), b""
