"""Serial ports, also behind terminal servers: exclusive, opened again after an unplug. There is no acknowledgement.

Bytes that never reached the port cannot be asked for again: that a port was gone is an event with its times.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
from collections.abc import Callable
from urllib.parse import urlsplit

import serial
import structlog

from adapters.driver import DeviceDriver, SerialSettings, Source
from edge_agent.config import SerialConfig
from edge_agent.delivery import Delivery
from edge_agent.holders import holder_of, runs
from edge_agent.transports.mllp import keep_alive
from runtime.clock import now_us

REOPEN_FIRST_S = 0.5
REOPEN_MAX_S = 5.0  # back in five seconds after a cable is plugged in again
READ_TIMEOUT_S = 0.2
READ_BYTES = 4096
SCHEMES = ("socket://", "rfc2217://")  # pyserial has more; one of them writes to any file it is told to
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


def open_port(config: SerialConfig, settings: SerialSettings) -> serial.SerialBase:
    """The port as configured, ours alone; raises serial.SerialException, and others: pyserial does not say which."""
    port = serial.serial_for_url(
        config.port,
        do_not_open=True,
        baudrate=config.baud or settings.baud,
        bytesize=settings.byte_size,
        parity=config.parity or settings.parity,
        stopbits=config.stop_bits or settings.stop_bits,
        timeout=READ_TIMEOUT_S,
    )
    if "://" not in config.port:
        port.exclusive = True
    port.open()
    if "://" in config.port:  # a terminal server that lost its power says no goodbye, and we never write
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


class SerialTransport:
    """One port. Reading waits in a thread of its own: pyserial's terminal servers know no event loop."""

    def __init__(
        self, config: SerialConfig, driver: DeviceDriver, source: Source, on_event: Callable[[str, str], None],
        now_us: Callable[[], int] = now_us,
    ) -> None:  # fmt: skip
        self._config, self._driver, self._source = config, driver, source
        self._on_event, self._now_us = on_event, now_us

    async def run(self, deliver: Callable[[Delivery], None]) -> None:
        """Deliver for ever; a port that is gone is tried again."""
        name, settings = self._source.name, self._driver.serial or SerialSettings()
        delay_s, gone_since_us, said = REOPEN_FIRST_S, 0, ""
        while True:
            port = None
            try:
                port = await asyncio.to_thread(open_port, self._config, settings)
                if gone_since_us:
                    self._on_event("gap", f"{name} was gone from {gone_since_us} to {self._now_us()}")
                delay_s, gone_since_us, said = REOPEN_FIRST_S, 0, ""
                await self._read(port, deliver)
            except Exception as error:  # noqa: BLE001 - see open_port; a port that goes under a read raises as much
                gone_since_us = gone_since_us or self._now_us()
                why = str(error) if port else await asyncio.to_thread(trouble, self._config.port, error)
                if why != said:
                    said = why
                    _log.warning("port lost" if port else "port not open", source=name, error=why)
            finally:
                if port is not None:
                    with contextlib.suppress(OSError):
                        port.close()
            if port is None:
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, REOPEN_MAX_S)

    async def _read(self, port: serial.SerialBase, deliver: Callable[[Delivery], None]) -> None:
        assert self._driver.framer is not None
        framer = self._driver.framer()
        self._source.memory.clear()
        while True:
            data = await asyncio.to_thread(_some, port)
            for piece in framer.feed(data):
                deliver(Delivery(piece.data, self._source, self._now_us(), lambda _, __: None, piece.reason))


def _some(port: serial.SerialBase) -> bytes:
    data: bytes = port.read(1)
    waiting = min(port.in_waiting, READ_BYTES) if data else 0
    return data + port.read(waiting) if waiting else data
