"""The scan: a person held a reader at a patient's wristband and at a device.

It travels as one report of kind CONTEXT on the lane ADT, with a text record ("vitalwire", `SCAN_CODE`) whose text is
`encode_scan`. It holds numbers and never a name: a sealed name cannot be erased.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from schemas.adt import Identifier

SCAN_CODE = "scan"


class ScanAction(StrEnum):
    """What the scan says of the two."""

    ASSOCIATE = "associate"  # the device's values are this patient's from now on
    DISASSOCIATE = "disassociate"  # no longer by a scan


class WristbandNumber(StrEnum):
    """What the number on a wristband is of."""

    PATIENT = "patient"
    VISIT = "visit"
    EITHER = ""  # the sender does not say


class Scan(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Text is as sent, trimmed; "" where nothing was sent."""

    action: ScanAction
    device: str  # the id of the device, or its claim
    digest: bytes  # SHA-256 of the frame
    wristband: Identifier | None = None  # None: of a disassociation alone
    number_of: WristbandNumber = WristbandNumber.EITHER
    at_us: int | None = None  # microseconds since 1970 UTC; None: no time of its own that can be read to the second
    scanner: str = ""
    adt_source: str = ""  # the [[adt_source]] whose numbers wristbands have; "": the only one


def encode_scan(scan: Scan) -> str:
    """As JSON, members in the order of the struct, what is empty left out."""
    return msgspec.json.encode(scan).decode()


def decode_scan(text: str | bytes) -> Scan:
    """Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.json.decode(text, type=Scan)
