"""The delivery: a frame and its acknowledgement, which travel together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapters.driver import Source
from adapters.formats.hl7_ack import Outcome


@dataclass(frozen=True)
class Delivery:
    """One frame from a port, and how its sender is answered.

    `ack` is called by the agent exactly once, on the event loop, after the spool has committed the frame's reports to
    disk (or has refused to): the transport answers in its protocol's own words. A transport that cannot answer
    (serial) does nothing in it.

    `reason` is set where the transport could not cut a frame ("no-end-block"): `frame` then holds the bytes to keep.
    `connection` is new for each connection that the transport accepts or opens: within one, a sender that goes on has
    had our answer to what came before.
    """

    frame: bytes
    source: Source
    sender: str
    connection: int
    received_at_us: int
    ack: Callable[[Outcome, str], None]
    reason: str = ""
    redelivered: bool = False  # MQTT's DUP: the earlier copy's acknowledgement may have been lost
    packet_id: int | None = None  # MQTT's
    retained: bool = False  # MQTT: an old value, never charted as new
