"""How a serial line may be set, and how bytes that came at one setting look at another.

A UART that is set to 8N1 takes the same ten bits as one at 7E1 or 7O1, whose parity bit it gives as bit 7: so those are
read out of the same bytes. 8E1 and 8O1 take eleven bits and are listened to one by one. Errors are those that the port
reports with its bytes; many adapters report none, and then the bytes of 8E1 and 8O1 are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from adapters.driver import SerialSettings

RATES = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
FASTEST = RATES[-1]
_ODD = bytes(byte.bit_count() & 1 for byte in range(256))  # 1: an odd number of ones
_SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))


@dataclass(frozen=True)
class LineSettings:
    """Rate and framing of a line. `baud` 0: the port knows no rate."""

    baud: int
    data_bits: int = 8
    parity: str = "N"

    @property
    def framing(self) -> str:
        """As people write it."""
        return f"{self.data_bits}{self.parity}1"

    def __str__(self) -> str:
        return f"{self.baud} {self.framing}"

    @property
    def listened(self) -> LineSettings:
        """How a port is set to hear what is sent so."""
        return LineSettings(self.baud, 8, self.parity if self.data_bits == 8 else "N")


def of_driver(serial: SerialSettings) -> LineSettings:
    """A family's own setting; stop bits are no matter to who listens."""
    return LineSettings(serial.baud, serial.data_bits, serial.parity)


@dataclass(frozen=True)
class Sample:
    """What came while a port was set in one way; `errors` has a byte for each of `data`, 1: reported as wrong."""

    settings: LineSettings
    data: bytes = b""
    errors: bytes = b""
    seconds: float = 0.0

    @property
    def error_share(self) -> float:
        """Of the bytes, those reported as wrong."""
        return sum(self.errors) / len(self.data) if self.data else 0.0


def views(sample: Sample) -> Iterator[Sample]:
    """The same bytes as each setting that is listened to in this way would give them, with its errors."""
    yield sample
    settings, data, errors = sample.settings, sample.data, sample.errors
    if settings.parity != "N":
        return
    odd, seven = data.translate(_ODD), data.translate(_SEVEN_BITS)
    for parity, right in (("E", 0), ("O", 1)):
        wrong = bytes(is_odd != right or error for is_odd, error in zip(odd, errors, strict=True))
        yield Sample(replace(settings, data_bits=7, parity=parity), seven, wrong, sample.seconds)
