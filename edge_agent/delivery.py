"""The delivery: one frame from a link, and what tells a resend of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from adapters.driver import Source
from adapters.session import Outcome

connections = count(1)
Answer = Callable[[Outcome, str], object]  # called once a frame is kept, or refused: how its sender is answered


class Delivery(msgspec.Struct, frozen=True, eq=False):
    """One frame from a link. `reason` is set where it could not be cut ("no-end-block"): `frame` then has the bytes."""

    frame: bytes
    source: Source[Any]
    received_at_us: int
    reason: str = ""
    retained: bool = False  # MQTT: an old value, never charted as new
    # What tells a resend (repeats.py):
    sender: str = ""  # "": nobody who could send again
    connection: int = 0  # the next of `connections` for each that a link accepts or opens
    token: int | None = None  # which frame of its connection; MQTT: packet id. None: it is never sent again
    answered: range = range(0)  # tokens of its connection whose answers have arrived, for their sender has gone on
    redelivered: bool | None = None  # MQTT's DUP; None: the protocol does not say
