r"""A blood gas analyser and a glucose meter that send results as ASTM E1381 and E1394 say (CLSI LIS01-A2, LIS02-A2).

The sender's side of the dialogue: ENQ, frames of at most 240 characters of text (E1381-95 section 6.3.1), each sent
again after NAK, six times at most; EOT and from the start after 15 s without an answer. Over TCP or a pseudo-terminal.
"""

from __future__ import annotations

import asyncio
import os
import time
import tty
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

from simulators import faults
from simulators.acked_log import AckedLog, SentReport

ENQ, STX, ETX, ETB, EOT, ACK = b"\x05", b"\x02", b"\x03", b"\x17", b"\x04", b"\x06"
ZONE = timezone(timedelta(hours=8))  # of the clock; its times do not say so
TEXT_MAX = 240
ANSWER_LIMIT_S, BUSY_S = 15.0, 10.0
RETRIES_MAX = 6
POLL_S = 0.005
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Analyte(NamedTuple):
    """A test as R-3 names it, with its unit, what is usual (R-6), where values lie, and decimals."""

    code: str
    unit: str
    usual: tuple[float, float]
    low: float
    high: float
    decimals: int


BLOOD_GAS = (
    Analyte("pH", "pH", (7.35, 7.45), 7.1, 7.6, 3),
    Analyte("pCO2", "mmHg", (35, 45), 20, 80, 1),
    Analyte("pO2", "mmHg", (75, 100), 40, 300, 0),
    Analyte("Na", "mmol/L", (135, 145), 120, 155, 0),
    Analyte("K", "mmol/L", (3.5, 5.1), 2.5, 6.5, 2),
    Analyte("iCa", "mmol/L", (1.15, 1.33), 0.8, 1.5, 2),
    Analyte("Cl", "mmol/L", (98, 107), 90, 120, 0),
    Analyte("Glu", "mmol/L", (3.9, 6.1), 2, 25, 1),
    Analyte("Lac", "mmol/L", (0.5, 2.0), 0.1, 12, 1),
    Analyte("Hct", "%", (36, 50), 20, 60, 0),
    Analyte("tHb", "g/dL", (12, 17.5), 6, 20, 1),
)
GLUCOSE = (Analyte("GLU", "mg/dL", (70, 99), 10, 700, 0),)
MEASURED_FROM_TO = {"GLU": (20.0, 600.0), "Lac": (0.3, 20.0)}  # beyond it the meter shows "<20", ">600", "<0.3"
NO_RESULT_SHARE = 0.05  # a sensor that failed: no value, status X


class Message(NamedTuple):
    """The records, and what they say."""

    text: bytes
    sent: SentReport


@dataclass(frozen=True)
class Analyser:
    """One instrument: from the number of a sample and a time to a message, the same for the same seed."""

    seed: int
    tests: tuple[Analyte, ...] = BLOOD_GAS

    @property
    def device(self) -> str:
        """Its name in H-5."""
        return f"VWSIM^{'ABG' if self.tests is BLOOD_GAS else 'GLU'}^{self.seed:06}"

    def message(self, number: int, at_us: int) -> Message:
        """Sample `number`, whose results were ready at `at_us` (whole seconds are sent)."""
        rng = Random(f"{self.seed}.{number}")
        at_us -= at_us % 1_000_000
        specimen = f"S{self.seed}-{number}"
        values = {test.code: _shown(test, rng) for test in self.tests}
        lines = [
            rf"H|\^&|||{self.device}|||||||P|LIS2-A2|{_dtm(at_us + 20_000_000)}",
            f"P|1|{rng.randrange(10**6):06}||||^",
            f"O|1|{specimen}||^^^PANEL|R||{_dtm(at_us - 240_000_000)}||||N||||Arterial",
        ]
        for place, test in enumerate(self.tests, 1):
            value = values[test.code]
            usual = f"{test.usual[0]}-{test.usual[1]}"
            flag, status = _flag(value, test), "F" if value else "X"
            lines.append(
                f"R|{place}|^^^{test.code}|{value or ''}|{test.unit}|{usual}|{flag}||{status}||||{_dtm(at_us)}|"
            )
        lines.append("L|1|N")
        sent = SentReport(self.device, specimen, at_us, dict(values))
        return Message("".join(f"{line}\r" for line in lines).encode("ascii"), sent)


def _shown(test: Analyte, rng: Random) -> str | None:
    value = rng.uniform(test.low, test.high)
    if rng.random() < NO_RESULT_SHARE:
        return None
    low, high = MEASURED_FROM_TO.get(test.code, (test.low, test.high))
    if value < low:
        return f"<{low:.{test.decimals}f}"
    if value > high:
        return f">{high:.{test.decimals}f}"
    return f"{value:.{test.decimals}f}"


def _flag(value: str | None, test: Analyte) -> str:
    """R-7: off scale, below or above the usual, or normal."""
    if value is None:
        return ""
    if value[0] in "<>":
        return value[0]
    low, high = test.usual
    return "L" if float(value) < low else "H" if float(value) > high else "N"


def _dtm(at_us: int) -> str:
    return f"{(_EPOCH + timedelta(microseconds=at_us)).astimezone(ZONE):%Y%m%d%H%M%S}"


def frames(message: bytes, text_max: int = TEXT_MAX) -> list[bytes]:
    """A record a frame, a long one in several."""
    built: list[bytes] = []
    for record in message.split(b"\r")[:-1]:
        text = record + b"\r"
        for start in range(0, len(text), text_max):
            end = ETX if start + text_max >= len(text) else ETB
            summed = b"%d" % ((len(built) + 1) % 8) + text[start : start + text_max] + end
            built.append(STX + summed + b"%02X\r\n" % (sum(summed) % 256))
    return built


def bad_checksum(frame: bytes, rng: Random) -> bytes:
    """The last digit of the sum is another."""
    wrong = rng.choice([digit for digit in b"0123456789ABCDEF" if digit != frame[-3]])
    return frame[:-3] + bytes([wrong]) + frame[-2:]


_SPOILT = {**faults.FAULTS, "bad_checksum": bad_checksum}
# Those of a line, and what a sender may suffer: an ACK that does not arrive, and being interrupted in a transfer.
FAULTS = (*_SPOILT, "lost_ack", "interrupt")


class Wire(Protocol):
    """A line to the host."""

    async def write(self, data: bytes) -> None:
        """Send; OSError where nobody is there."""
        ...

    async def read(self) -> bytes:
        """At least one byte, as soon as there is one; OSError where nobody is there any more."""
        ...

    async def drop_input(self) -> None:
        """What came unasked is no answer to what is sent next."""
        ...


class TcpWire:
    """A connection that is dialled when there is something to send, and again when it has broken."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def write(self, data: bytes) -> None:
        """As in `Wire`."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        self._streams[1].write(data)
        await self._streams[1].drain()

    async def read(self) -> bytes:
        """As in `Wire`."""
        data = await self._streams[0].read(100) if self._streams else b""
        if not data:
            self.close()
            raise ConnectionError("the host has closed")
        return data

    async def drop_input(self) -> None:
        """As in `Wire`."""
        try:
            async with asyncio.timeout(POLL_S):
                while self._streams is not None:
                    await self.read()
        except TimeoutError:
            pass

    def close(self) -> None:
        """The next `write` dials again."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class PtyWire:
    """A serial line, by the name of a link."""

    def __init__(self, master: int) -> None:
        self._master = master

    async def write(self, data: bytes) -> None:
        """As in `Wire`; a line takes bytes also where nobody has it open."""
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(POLL_S)

    async def read(self) -> bytes:
        """As in `Wire`; where nobody has the line open, nothing comes."""
        while True:
            try:
                return os.read(self._master, 100)
            except OSError:  # nothing yet, or nobody
                await asyncio.sleep(POLL_S)

    async def drop_input(self) -> None:
        """As in `Wire`."""
        try:
            while os.read(self._master, 100):
                pass
        except OSError:
            pass


async def turns(wire: PtyWire, poll_s: float, stop: asyncio.Event) -> AsyncIterator[tuple[bytes, float]]:
    """What came within each turn of `poll_s`, b"" for nothing, and the seconds since the first; until `stop`."""
    begin = time.monotonic()
    while not stop.is_set():
        try:
            async with asyncio.timeout(poll_s):
                heard = await wire.read()
        except TimeoutError:
            heard = b""
        yield heard, time.monotonic() - begin


@asynccontextmanager
async def pty_wire(link: Path) -> AsyncIterator[PtyWire]:
    """A pseudo-terminal under this name; one that a killed run left is replaced, a file is not (FileExistsError)."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    try:
        if link.is_symlink():
            link.unlink()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.ttyname(slave))
        os.close(slave)
        yield PtyWire(master)
        link.unlink(missing_ok=True)
    finally:
        os.close(master)


class Sender:
    """Sends one message after the other until it is acknowledged; `fault_share` of what it sends suffers a fault."""

    def __init__(
        self,
        wire: Wire,
        *,
        fault_kinds: Collection[str] = (),
        fault_share: float = 0.0,
        seed: int = 1,
        answer_limit_s: float = ANSWER_LIMIT_S,
        busy_s: float = BUSY_S,
    ) -> None:
        self._wire = wire
        self._kinds = sorted(fault_kinds)
        self._share = fault_share
        self._rng = Random(seed)
        self._answer_limit_s, self._busy_s = answer_limit_s, busy_s

    async def send(self, message: bytes) -> None:
        """Return when its last frame is acknowledged."""
        while not await self._transfer(frames(message)):
            await asyncio.sleep(self._busy_s)

    async def _transfer(self, to_send: list[bytes]) -> bool:
        try:
            acknowledged = await self._exchange(ENQ) == ACK
            for frame in to_send:
                acknowledged = acknowledged and await self._send_frame(frame)
            await self._wire.write(EOT)
        except OSError:
            return False
        return acknowledged

    async def _send_frame(self, frame: bytes) -> bool:
        for _ in range(1 + RETRIES_MAX):
            fault = self._rng.choice(self._kinds) if self._kinds and self._rng.random() < self._share else ""
            if fault == "interrupt":
                await self._wire.write(frame[: len(frame) // 2])
                return False
            spoil = _SPOILT.get(fault)
            answer = await self._exchange(spoil(frame, self._rng) if spoil else frame)
            if answer == b"":
                return False
            if answer == ACK and fault != "lost_ack":
                return True
        return False

    async def _exchange(self, data: bytes) -> bytes:
        """Send, and give the answer; b"" where none came in time."""
        await self._wire.drop_input()
        await self._wire.write(data)
        try:
            async with asyncio.timeout(self._answer_limit_s):
                return (await self._wire.read())[:1]
        except TimeoutError:
            return b""


async def run(analyser: Analyser, sender: Sender, log: AckedLog, every_s: float, stop: asyncio.Event) -> None:
    """A sample each `every_s` until `stop`; what is acknowledged is written down at once."""
    number = 0
    while not stop.is_set():
        number += 1
        at_us = round(datetime.now(UTC).timestamp()) * 1_000_000
        message = analyser.message(number, at_us)
        log.totals.sent["astm"] += 1
        await sender.send(message.text)
        log.add("astm", analyser.device, (message.sent,))
        try:
            await asyncio.wait_for(stop.wait(), every_s)
        except TimeoutError:
            continue
