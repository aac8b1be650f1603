"""MSH-10 of what is sent: the same for the same content, so that a receiver can tell a resend from a new message."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

CHARS = 20  # MSH-10 is an ST of 20 before HL7 2.7


def control_id(destination: str, versions: Iterable[tuple[str, int]]) -> str:
    """20 characters of base32: of SHA-256 over the destination's name and (entry, version), whatever their order."""
    lines = [destination, *(f"{entry} {number}" for entry, number in sorted(versions))]
    digest = hashlib.sha256("\n".join(lines).encode()).digest()
    return base64.b32encode(digest)[:CHARS].decode()
