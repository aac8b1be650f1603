"""The act: what a person (or the platform in its own name) did, signed, a leaf of the log.

Its content is canonical JSON (RFC 8785) with five members, so that an act has one encoding and one id:

    at_us    when, microseconds since 1970-01-01 UTC
    by       who: "os:<user>@<host>"
    details  an object, by kind
    kind     "key.register", "log.begin", ...
    why      the reason that was given; may be empty

It is written into the store unsigned, in the transaction of what it did; the sealer signs it before it becomes a leaf.
Its id is the SHA-256 of the canonical JSON, not of the signed statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
import rfc8785

from evidence import statement
from evidence.statement import Sign, Statement
from schemas.errors import LayoutError, LayoutReason

ACT_MAGIC = b"VWACT\x00\x00\x01"
LEAF_BYTES_MAX = 0xFFFF  # an entry of C2SP `tlog-tiles` has a length of two bytes
ACT_BYTES_MAX = LEAF_BYTES_MAX - statement.size(0)
LOG_BEGIN = "log.begin"
MAPPING_CHANGE = "mapping.change"
PATIENT_ERASE = "patient.erase"


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who did what, when and why; `details` holds what JSON can: hashes and ids as hexadecimal text."""

    kind: str
    by: str
    at_us: int
    why: str
    details: dict[str, Any]

    @property
    def body(self) -> bytes:
        """The canonical JSON; raises LayoutError for details that have none, or too many."""
        body = _canonical(self)
        if len(body) > ACT_BYTES_MAX:
            raise LayoutError(
                LayoutReason.SIZE,
                f"an act of {len(body)} bytes, of at most {ACT_BYTES_MAX}; divide it into several acts",
            )
        parse_act(body)  # the number 2.0**53 is written as an integer that nobody may read: never sign such a thing
        return body

    @property
    def act_id(self) -> bytes:
        """The SHA-256 of the canonical JSON."""
        return sha256(self.body).digest()

    def encode(self, key_id: bytes, sign: Sign) -> bytes:
        """The signed statement."""
        return sign_act(self.body, key_id, sign)


def sign_act(body: bytes, key_id: bytes, sign: Sign) -> bytes:
    """The signed statement of an act that is kept as its canonical JSON."""
    return statement.encode(ACT_MAGIC, key_id, body, sign)


def parse_act(body: bytes) -> Act:
    """An act from its canonical JSON; raises LayoutError for anything else, JSON in another form included."""
    if len(body) > ACT_BYTES_MAX:
        raise LayoutError(LayoutReason.SIZE, "act")
    try:
        act = msgspec.json.decode(body, type=Act)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LayoutError(LayoutReason.TEXT, "act") from error
    if _canonical(act) != body:
        raise LayoutError(LayoutReason.TEXT, "an act that is not in canonical JSON")
    return act


def _canonical(act: Act) -> bytes:
    try:
        return rfc8785.dumps(msgspec.structs.asdict(act))
    except (ValueError, RecursionError) as error:
        raise LayoutError(
            LayoutReason.TEXT, f"an act that JSON cannot say: {error}; say it in other details"
        ) from error


def read_act(message: bytes) -> tuple[Act, Statement]:
    """A signed act, its form checked; whether a key signed it is `Statement.is_signed_by`. Raises LayoutError."""
    signed_statement = statement.decode(message, ACT_MAGIC)
    return parse_act(signed_statement.body), signed_statement


@dataclass(frozen=True)
class LogHead:
    """A log as far as somebody saw it: the incarnation of the store that it belongs to, its size and root."""

    incarnation: bytes
    size: int
    root: bytes


def begin_log(*, incarnation: bytes, predecessor: LogHead | None, by: str, at_us: int, why: str = "") -> Act:
    """The act that is the first leaf of a log. `predecessor`: the log that this store held before (None: it held none).

    After a restore or failover the predecessor shows people where the log forked.
    """
    before = None
    if predecessor is not None:
        before = {
            "incarnation": predecessor.incarnation.hex(),
            "root": predecessor.root.hex(),
            "size": predecessor.size,
        }
    return Act(LOG_BEGIN, by, at_us, why, {"incarnation": incarnation.hex(), "predecessor": before})


def predecessor_of(act: Act) -> LogHead | None:
    """The predecessor that a `log.begin` names; None: there was none. Raises LayoutError for another act."""
    if act.kind != LOG_BEGIN:
        raise LayoutError(LayoutReason.TEXT, f"an act {act.kind} begins no log")
    before = act.details.get("predecessor")
    if before is None:
        return None
    try:
        form = msgspec.convert(before, type=_Predecessor)
        incarnation, root = bytes.fromhex(form.incarnation), bytes.fromhex(form.root)
    except (msgspec.ValidationError, ValueError) as error:
        raise LayoutError(LayoutReason.TEXT, "predecessor of a log") from error
    return LogHead(incarnation, form.size, root)


class _Predecessor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    incarnation: str
    root: str
    size: int
