"""Whom a link works for: a source's supervisor, or `edge watch`."""

from __future__ import annotations

from typing import Any, Protocol

from adapters.driver import Source
from edge_agent.conversation import Conversation, Keeper, Line
from edge_agent.recording import Tap


class LinkError(Exception):
    """A link cannot be had, or is lost; its text says why and what to do, for people. It is tried again."""


class LinkOwner(Protocol):
    """What a link tells, and whom it gives what comes. All calls are on the event loop."""

    name: str  # of the source
    keeper: Keeper
    tap: Tap

    def stands(self) -> None:
        """The port is open, we listen, or the other side has answered."""
        ...

    def troubled(self, why: str, refused: str = "") -> None:
        """It does not stand, and the link itself tries again; `refused` has the other side's own words if it did."""
        ...

    def emit(self, code: str, text: str) -> None:
        """Something to be kept as an event."""
        ...

    def count(self, name: str) -> None:
        """Something to be counted."""
        ...

    def source(self, peer: str) -> Source[Any]:
        """What the driver is told of a connection or a topic."""
        ...

    def converse(self, line: Line, peer: str) -> Conversation:
        """A connection stands: the conversation that takes its bytes."""
        ...
