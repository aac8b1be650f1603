"""A terminal server (RFC 2217) before a modelled line: it sets the model's UART as it is told, in real time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from types import TracebackType
from typing import Any

from serial import rfc2217

from simulators.uart import ModelPort, UartSettings

TURN_S = 0.02
_OF_THE_LINE = {"baudrate", "bytesize", "parity"}


class _Uart:
    """What pyserial's server end takes for its port."""

    def __init__(self, port: ModelPort, refused_rates: Collection[int]) -> None:
        self._port, self._refused_rates = port, refused_rates
        self.lock = threading.Lock()
        self.cts = self.dsr = self.cd = True
        self.ri = self.rts = self.dtr = self.xonxoff = self.rtscts = self.break_condition = False
        self.baudrate, self.bytesize, self.parity, self.stopbits = 9600, 8, "N", 1

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "baudrate" and value in self._refused_rates:
            raise ValueError(f"{value} is no rate of this port")
        super().__setattr__(name, value)
        if name in _OF_THE_LINE and vars(self).keys() >= _OF_THE_LINE:
            with self.lock:
                self._port.set(UartSettings(self.baudrate, self.bytesize, self.parity))

    def reset_input_buffer(self) -> None:
        """What had come was read at each turn."""

    reset_output_buffer = reset_input_buffer


class TerminalServer:
    """Serves one client after the other until it is left."""

    def __init__(self, port: ModelPort, refused_rates: Collection[int] = ()) -> None:
        self._port, self._uart = port, _Uart(port, refused_rates)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._server.getsockname()[1]}"
        self._connection: socket.socket | None = None
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._serve), threading.Thread(target=self._read_line)]
        self._manager: Any = None

    def __enter__(self) -> TerminalServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join()

    def write(self, data: bytes) -> None:
        """Called by the port manager, to negotiate."""
        if self._connection is not None:
            self._connection.sendall(data)

    def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                self._connection, _ = self._server.accept()
            except OSError:
                return
            self._manager = rfc2217.PortManager(self._uart, self)
            try:
                while data := self._connection.recv(4096):
                    sent = b"".join(self._manager.filter(data))
                    with self._uart.lock:
                        self._port.write(sent)
            except OSError:
                pass
            self._connection = None

    def _read_line(self) -> None:
        began_s, model_began_s = time.monotonic(), self._port.now_s
        while not self._ending.wait(TURN_S):
            with self._uart.lock:
                behind_s = time.monotonic() - began_s - (self._port.now_s - model_began_s)
                data, _ = self._port.read(max(0.0, behind_s))
            connection, manager = self._connection, self._manager
            if data and connection is not None and manager is not None:
                with suppress(OSError):
                    connection.sendall(b"".join(manager.escape(data)))
