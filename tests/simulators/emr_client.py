"""Speaks to the simulated EMR over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from simulators.emr import Emr

SB, END = b"\x0b", b"\x1c\r"


class Mllp:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, message: bytes) -> None:
        self._writer.write(SB + message + END)
        await self._writer.drain()

    async def answer(self, limit_s: float = 5.0) -> bytes:
        """The next one, unwrapped. Raises TimeoutError where none comes."""
        async with asyncio.timeout(limit_s):
            frame = await self._reader.readuntil(END)
        assert frame.startswith(SB)
        return frame[1 : -len(END)]

    async def ask(self, message: bytes) -> bytes:
        await self.send(message)
        return await self.answer()


@asynccontextmanager
async def connected(emr: Emr) -> AsyncIterator[Mllp]:
    """To its MLLP address."""
    reader, writer = await asyncio.open_connection(*emr.mllp_address)
    try:
        yield Mllp(reader, writer)
    finally:
        writer.close()
