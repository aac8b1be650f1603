"""What a driver carries of a device, aspect by aspect, and what it may send.

Every driver states all seven aspects: what is not carried is listed as such and never just absent.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum


class State(Enum):
    """Whether a driver carries an aspect."""

    DONE = "done"
    TODO = "todo"  # the device has it, the driver does not carry it yet
    EXEMPT = "exempt"  # the device or its protocol has none


@dataclass(frozen=True)
class Finding:
    """The state of one aspect; `reason` says why where it is not done, and may say how far it is where it is."""

    state: State
    reason: str = ""

    def __post_init__(self) -> None:
        if self.state is not State.DONE and not self.reason:
            raise ValueError(f"{self.state.value} needs a reason")


def done(how_far: str = "") -> Finding:
    """The driver carries it."""
    return Finding(State.DONE, how_far)


def todo(reason: str) -> Finding:
    """The device has it and the driver does not carry it."""
    return Finding(State.TODO, reason)


def exempt(reason: str) -> Finding:
    """The device has none of it."""
    return Finding(State.EXEMPT, reason)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The seven aspects of every driver."""

    numerics: Finding
    waves: Finding
    alarms: Finding
    settings: Finding
    clock: Finding  # the device's own time of a value
    no_reading: Finding  # what it writes where it has none, told from zero
    disconnect: Finding  # the cable, the device or its session ends: told, and begun again

    def aspects(self) -> dict[str, Finding]:
        """Each aspect by its name, in the order of the table."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class Request:
    """One thing that a session may send beside acknowledgements: an identification, a query or a data request.

    `code` is the command as it stands in the bytes (without addresses, lengths and checksums); `source` is the document
    and section which says that it changes nothing on the device.
    """

    name: str
    code: bytes
    source: str
