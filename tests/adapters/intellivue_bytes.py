"""Messages of an IntelliVue monitor, put together byte by byte as the Programming Guide draws them, for tests.

Nothing here is our code's: what the driver reads is built a second time, from the drawing.
"""

from __future__ import annotations

ZONELESS = bytes.fromhex("FF" * 8)
NOON = bytes.fromhex("2026030914050900")  # 2026-03-09 14:05:09 on the monitor's clock
# The guide's worked result of a single poll: SpO2 97 % of handle 0102, at 1,000,000 ticks.
SPO2_97 = bytes.fromhex(
    "E1000002 00020042 00050007 003C 002100000000 0C160032 0003 000F4240 2026030914050900 00010006 0803 0001001A"
    "0000 00010014 0102 0001000E 0950000A 4BB8 0000 0220 00000061"
)
ACCEPT_HEAD = bytes.fromhex(
    "3180A0808001010000A280A003000001A58030808001008102510100003080800100810C2A8648CE14020100000002010000000061803080"
    "020101A0806180A180060C2A8648CE14020100000003010000A203020100A305A103020100BE80288002010281"
)
REFUSE = bytes.fromhex("0C03320100")
ABORT = bytes.fromhex("192E110103C129A080A0803080020101060251010000000061803080020101A0806480800101") + bytes(10)
RELEASE_REQUEST = bytes.fromhex("0918C11661803080020101A0806280800100") + bytes(8)
RELEASE_RESPONSE = bytes.fromhex("0A18C11661803080020101A0806380800100") + bytes(8)


def u16(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def sized(data: bytes) -> bytes:
    return u16(len(data)) + data


def listed(*entries: bytes) -> bytes:
    return u16(len(entries)) + sized(b"".join(entries))


def attrs(found: dict[int, bytes]) -> bytes:
    return listed(*(u16(number) + sized(value) for number, value in found.items()))


def real(mantissa: int, exponent: int = 0) -> bytes:
    return exponent.to_bytes(1, "big", signed=True) + (mantissa & 0xFFFFFF).to_bytes(3, "big")


def number(physio: int, value: bytes, unit: int, state: int = 0) -> bytes:
    return u16(physio, state, unit) + value


def text(words: str) -> bytes:
    return sized((words + "\0").encode("utf-16-be"))


def operation(kind: int, invoke: int, command: int, body: bytes, linked: bytes = b"") -> bytes:
    return bytes.fromhex("E1000002") + u16(kind) + sized(linked + u16(invoke, command) + sized(body))


def poll_result(
    class_id: int,
    objects: dict[int, dict[int, bytes]],
    *,
    sequence: int | None = None,
    ticks: int = 1_000_000,
    absolute: bytes = ZONELESS,
    number: int = 1,
    group: int = 0x0803,
    context: int = 0,
    linked: bytes = b"",
) -> bytes:
    """A result with one context; `objects` by handle, with their attributes."""
    said = u16(number) + (b"" if sequence is None else u16(sequence)) + u32(ticks) + absolute
    said += u16(1, class_id, group) + listed(u16(context) + listed(*(u16(h) + attrs(a) for h, a in objects.items())))
    body = u16(0x21, 0, 0, 0x0C16 if sequence is None else 0xF13B) + sized(said)
    return operation(5 if linked else 2, 5, 7, body, linked)


def mds_create(found: dict[int, bytes], *, ticks: int = 1_000_000, invoke: int = 1) -> bytes:
    mds = u16(0x21, 0, 1)
    return operation(1, invoke, 1, mds + u32(ticks) + u16(0x0D06) + sized(mds + attrs(found)))


def alarm(
    source: int,
    code: int,
    level: int,
    *,
    state: int = 0,
    handle: int = 7,
    words: str | None = "text",
    priority: int = 50,
) -> bytes:
    info = u16(1) + u32(0x00020000 | source) + u16(priority, 0)
    if words is not None:
        info += text(words)
    return u16(source, code, level, state, 6, 0, handle, 0x0201 if words is None else 0x0204) + sized(info)


def accept(extended_options: int, *, min_poll_ticks: int = 8000) -> bytes:
    profile = u32(0x80000000, min_poll_ticks, 1364, 1364, 0xFFFFFFFF, 0x60000000)
    profile += attrs({0xF001: u32(extended_options) + attrs({})})
    info = u32(0x80000000, 0x40000000, 0, 0x00800000, 0x20000000) + attrs({}) + attrs({1: profile})
    presentation = ACCEPT_HEAD + bytes([len(info)]) + info + bytes(16)
    behind = bytes.fromhex("0508130100160102800014020002C1") + bytes([len(presentation)]) + presentation
    return bytes([0x0E, len(behind)]) + behind
