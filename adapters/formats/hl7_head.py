"""What an HL7 v2 message says it is: MSH-9, MSH-11 and MSH-12 (2.5.1, 2.15.9)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from adapters.formats.hl7v2 import NULL, Syntax
from schemas.errors import FrameError

_VERSION = re.compile(r"(?:2\.[1-8](?:\.\d)?)?")  # empty: some senders leave it out


class MessageType(NamedTuple):
    """MSH-9.1 and MSH-9.2 in capitals, MSH-11.1 ("P" where it says nothing), and whether that is one that is live here.

    What is not live is training or a test (HL7 table 0103).
    """

    code: str
    event: str
    processing_id: str
    is_live: bool


@lru_cache(256)
def message_type(
    kind: str, processing: str, version: str, syntax: Syntax, types: tuple[str, ...], live: tuple[str, ...]
) -> MessageType:
    """From MSH-9, 11 and 12 as sent; raises FrameError: unsupported-type, unsupported-version."""
    code, event = (*(part.strip().upper() for part in kind.split(syntax.component)), "")[:2]
    if code not in types:
        raise FrameError("unsupported-type", f"not one of {', '.join(types)}")
    if not _VERSION.fullmatch(version.partition(syntax.component)[0].strip()):
        raise FrameError("unsupported-version", "not 2.1 to 2.8")
    stated = processing.partition(syntax.component)[0].strip().upper()
    processing_id = stated if stated not in ("", NULL) else "P"
    return MessageType(code, event, processing_id, processing_id in [each.strip().upper() for each in live])
