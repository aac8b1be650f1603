"""Opaque cursors of `next` links: after which resource a page begins, and of which search.

A cursor names the last resource of the page before, not a number of resources: what is charted meanwhile moves nothing.
Its checksum covers the search that it was made for, so that a cursor of another one, or one that was changed, is found.
It says nothing that was not in the page before, and gives no right: so it is not signed.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as BinasciiError
from hashlib import sha256

import msgspec

from gateway.fhir.values import MOMENT_US_MAX, MOMENT_US_MIN

CURSOR_CHARS_MAX = 400
_SUM_BYTES = 12
_FORM = b"fhir cursor 1"


class Position(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last resource of a page: what it was sorted by, and what tells it from others with the same."""

    at_us: int
    key: str


def encode_cursor(position: Position, search: bytes) -> str:
    """`search`: what the cursor belongs to, as bytes."""
    body = msgspec.json.encode(position)
    return urlsafe_b64encode(_checksum(body, search) + body).decode().rstrip("=")


def decode_cursor(text: str, search: bytes) -> Position:
    """Raises ValueError for what `encode_cursor` did not make of this search."""
    wrong = ValueError("it is no cursor of this search: follow the link `next` as it is")
    if len(text) > CURSOR_CHARS_MAX or not text.isascii():
        raise wrong
    try:
        found = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        position = msgspec.json.decode(found[_SUM_BYTES:], type=Position)
    except (BinasciiError, ValueError, msgspec.MsgspecError):
        raise wrong from None
    if encode_cursor(position, search) != text or not MOMENT_US_MIN <= position.at_us <= MOMENT_US_MAX:
        raise wrong
    return position


def _checksum(body: bytes, search: bytes) -> bytes:
    return sha256(b"\0".join((_FORM, sha256(search).digest(), body))).digest()[:_SUM_BYTES]
