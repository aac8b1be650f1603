"""MLLP's side of the receiver: one answer for each message, unless a fault has it otherwise."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from simulators.emr_faults import Faults
from simulators.emr_hl7 import Receiver

MESSAGE_BYTES_MAX = 4_000_000
_SB, _END = b"\x0b", b"\x1c\r"
_ERROR_INSIDE = "ERR|||207^^HL70357|E||||not filed"
_CANNOT_NOW = "ERR|||206^^HL70357|E||||later"
_REFUSED = "ERR||PID^1^3|204^^HL70357|E||||a fault that was asked for"


class MllpServer:
    """Listens at an address; can be taken down, and comes up again at the same port."""

    def __init__(self, receiver: Receiver, faults: Faults, address: tuple[str, int]) -> None:
        self._receiver, self._faults, self.address = receiver, faults, address
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def up(self) -> None:
        """Raises OSError where the port is taken."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, *self.address, limit=MESSAGE_BYTES_MAX)
            host, port, *_ = self._server.sockets[0].getsockname()
            self.address = (host, port)

    async def down(self) -> None:
        """Refuses connections, and ends those that there are."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        tasks = [task for task in self._connections.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.current_task()
        try:
            while True:
                frame = await reader.readuntil(_END)
                payload = frame[: -len(_END)].rpartition(_SB)[2]
                for answer in await self._answers(payload):
                    writer.write(_SB + answer + _END)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the sender went away, or sends no MLLP
        finally:
            del self._connections[writer]
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answers(self, payload: bytes) -> list[bytes]:
        faults, receiver = self._faults, self._receiver
        await asyncio.sleep(faults.seconds("slow"))
        fields = [*payload.split(b"\r")[0].decode("latin-1").split("|"), *[""] * 12]
        control_id = fields[9]
        if faults.happens("ar"):
            return [receiver.answer("AR", control_id, error=_CANNOT_NOW)]
        if faults.happens("ae"):
            return [receiver.answer("AE", control_id, error=_REFUSED)]
        if faults.happens("error_inside"):
            return [receiver.answer("AA", control_id, error=_ERROR_INSIDE)]
        answer = receiver.take(payload)
        if faults.happens("lost"):
            return []
        await asyncio.sleep(faults.seconds("late"))
        if faults.happens("other"):
            return [receiver.answer("AA", control_id[::-1] + "X")]
        return [answer] * (2 if faults.happens("doubled") else 1)
