"""The delivery: a frame and its acknowledgement, which travel together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from adapters.driver import Source
from adapters.formats.hl7_ack import Outcome

connections = count(1)


@dataclass(frozen=True)
class Delivery:
    """One frame from a port, and how its sender is answered.

    `ack` is called exactly once, on the event loop, after the spool has committed the frame's reports to disk (or has
    refused to): the transport answers in its protocol's own words. `reason` is set where the transport could not cut a
    frame ("no-end-block"): `frame` then holds the bytes to keep.
    """

    frame: bytes
    source: Source
    received_at_us: int
    ack: Callable[[Outcome, str], object]
    reason: str = ""
    retained: bool = False  # MQTT: an old value, never charted as new
    # What tells a resend (repeats.py):
    sender: str = ""  # "": nobody who could send again
    connection: int = 0  # the next of `connections` for each that a transport accepts or opens
    slot: int | None = None  # MLLP: which frame of its connection; MQTT: packet id. None: it is never sent again
    proves: range = range(0)  # slots of its connection whose answers have arrived, for their sender has gone on
    redelivered: bool | None = None  # MQTT's DUP; None: the protocol does not say
