"""The association of Philips IntelliVue's Data Export: what begins and ends a dialogue with a monitor.

"Data Export Interface Programming Guide" rev G.0, pages 67 to 73. The first byte says which message it is; a length
follows, one byte, or FF and two. The headers of session and presentation layer are constants; what is negotiated, the
MDSE user info, stands behind them:

    protocol u32, nomenclature u32, functional units u32, system type u32 (ours: client), start-up u32, option list,
    list of profiles: 0001 poll profile: revision, shortest poll period (1/8 ms), largest messages, bandwidth, options,
    attributes: F001: u32 options of the extended poll, attributes

Options of the extended poll: numerics in one of four periods, at least one of which has to be asked for; waves;
enumerations. What the monitor grants stands in its answer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from adapters.formats.intellivue import TICKS_PER_S, Attributes, Bytes, attributes
from schemas.errors import FrameError


class Association(IntEnum):
    """The first byte of an association's message."""

    RELEASE_REQUEST = 0x09
    RELEASE_RESPONSE = 0x0A
    REFUSE = 0x0C
    REQUEST = 0x0D
    ACCEPT = 0x0E
    ABORT = 0x19


NUMERICS_1_S, NUMERICS_12_S, NUMERICS_60_S, NUMERICS_300_S = 0x80000000, 0x40000000, 0x20000000, 0x10000000
ANY_NUMERICS = NUMERICS_1_S | NUMERICS_12_S | NUMERICS_60_S | NUMERICS_300_S
WAVES, ENUMERATIONS = 0x08000000, 0x04000000
MTU_BYTES = 1364  # the largest message on a LAN
_SESSION_DATA = bytes.fromhex("0508130100160102800014020002")
_PRESENTATION = bytes.fromhex(
    "3180A0808001010000A280A003000001A480308002010106045201000130800602510100000000308002010206"
    "0C2A8648CE14020100000001013080060C2A8648CE140201000000020100000000000061803080020101A0806080A18006"
    "0C2A8648CE14020100000003010000BE802880060C2A8648CE140201000000010102010281"
)
_USER_INFO_BEHIND = (bytes.fromhex("BE8028800201" + "0281"), bytes.fromhex("BE80288081"))
_ABORT = bytes.fromhex("192E110103C129A080A0803080020101060251010000000061803080020101A0806480800101") + bytes(10)
_POLL_PROFILE, _EXTENDED_PROFILE = 0x0001, 0xF001
_MIN_POLL_S = 1


@dataclass(frozen=True)
class Granted:
    """What the monitor grants: its shortest poll period, and the options of the extended poll (0: none)."""

    min_poll_s: float = 1.0
    extended_options: int = 0


def association_request(*, extended_options: int = NUMERICS_1_S | WAVES | ENUMERATIONS) -> bytes:
    """The request of a client that polls every second at most."""
    extended = struct.pack(">IHH", extended_options, 0, 0)
    profile = struct.pack(
        ">IIIIII", 0x80000000, _MIN_POLL_S * TICKS_PER_S, MTU_BYTES, MTU_BYTES, 0xFFFFFFFF, 0x60000000
    ) + _attribute_list(_EXTENDED_PROFILE, extended)
    head = struct.pack(">IIIII", 0x80000000, 0x40000000, 0, 0x80000000, 0x20000000)
    info = head + struct.pack(">HH", 0, 0) + _attribute_list(_POLL_PROFILE, profile)
    presentation = _PRESENTATION + bytes([len(info)]) + info + bytes(16)
    behind = _SESSION_DATA + bytes([0xC1, len(presentation)]) + presentation
    return bytes([Association.REQUEST, len(behind)]) + behind


def release_request() -> bytes:
    """Ends an association in good order."""
    return _release(Association.RELEASE_REQUEST, 0x62)


def release_response() -> bytes:
    """The answer to the monitor's release."""
    return _release(Association.RELEASE_RESPONSE, 0x63)


def abort() -> bytes:
    """Ends an association at once; the monitor does not answer."""
    return _ABORT


def _release(kind: Association, tag: int) -> bytes:
    return bytes([kind, 0x18]) + bytes.fromhex("C11661803080020101A080") + bytes([tag]) + bytes.fromhex(
        "80800100"
    ) + bytes(8)  # fmt: skip


def _attribute_list(attribute: int, value: bytes) -> bytes:
    return struct.pack(">HHHH", 1, len(value) + 4, attribute, len(value)) + value


def association_message(frame: bytes) -> Association:
    """Which message of an association these bytes are; FrameError where they are none, or cut."""
    data = Bytes(frame)
    try:
        kind = Association(data.u8())
    except ValueError:
        raise FrameError("not-data-export", frame[:4].hex()) from None
    length = data.u8()
    if length == 0xFF:
        length = data.u16()
    if length != data.left:
        raise FrameError("length", f"{data.left} bytes of {length}")
    return kind


def granted(accept: bytes) -> Granted:
    """What an accept grants; raises FrameError where it cannot be read."""
    for mark in _USER_INFO_BEHIND:
        _, found, behind = accept.partition(mark)
        if found:
            break
    else:
        raise FrameError("user-info", "no user info in the accept")
    data = Bytes(behind)
    length = data.u8()
    if length >= 0x80:
        length = int.from_bytes(data.take(length - 0x80), "big")
    info = Bytes(data.take(length))
    info.take(20)
    attributes(info)  # the option list
    profile = _attribute(attributes(info), _POLL_PROFILE)
    if profile is None:
        return Granted()
    profile.u32()
    min_poll_s = profile.u32() / TICKS_PER_S
    profile.take(16)
    extended = _attribute(attributes(profile), _EXTENDED_PROFILE)
    return Granted(min_poll_s, 0 if extended is None else extended.u32())


def _attribute(found: Attributes, attribute: int) -> Bytes | None:
    return Bytes(found[attribute]) if attribute in found else None
