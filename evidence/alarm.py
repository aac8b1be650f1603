"""Signed transitions of alarm episodes, and signed sets of a device's open ones: JSON in the form of a statement."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import msgspec

from evidence import statement
from schemas.errors import LayoutError, LayoutReason
from schemas.transition import OpenSet, Transition

TRANSITION_MAGIC = b"VWALARM\x01"
OPEN_SET_MAGIC = b"VWOPEN\x00\x01"
_Content = TypeVar("_Content", Transition, OpenSet)


class SignedTransition(NamedTuple):
    """A transition and the statement that it was read from."""

    transition: Transition
    statement: bytes


def sign_transition(transition: Transition, key_id: bytes, sign: statement.Sign) -> bytes:
    """The message for the topic `alerts`."""
    return statement.encode(TRANSITION_MAGIC, key_id, msgspec.json.encode(transition), sign)


def sign_open_set(open_set: OpenSet, key_id: bytes, sign: statement.Sign) -> bytes:
    """The message for the topic `alerts.open`."""
    return statement.encode(OPEN_SET_MAGIC, key_id, msgspec.json.encode(open_set), sign)


def read_transition(message: bytes, public_der: bytes) -> SignedTransition:
    """A transition that this key signed; raises LayoutError for anything else."""
    return SignedTransition(_read(message, TRANSITION_MAGIC, public_der, Transition), message)


def read_open_set(message: bytes, public_der: bytes) -> OpenSet:
    """A set of open episodes that this key signed; raises LayoutError for anything else."""
    return _read(message, OPEN_SET_MAGIC, public_der, OpenSet)


def _read(message: bytes, magic: bytes, public_der: bytes, kind: type[_Content]) -> _Content:
    signed_statement = statement.decode(message, magic)
    if not signed_statement.is_signed_by(public_der):
        raise LayoutError(LayoutReason.SIGNATURE, kind.__name__)
    try:
        return msgspec.json.decode(signed_statement.body, type=kind)
    except msgspec.MsgspecError as error:
        raise LayoutError(LayoutReason.JSON, f"{kind.__name__}: {error}") from None
