"""The monitor's dialogue, with requests whose bytes were written from the guide's layouts by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import serial

from simulators import intellivue, intellivue_objects
from simulators import intellivue_bytes as wire
from simulators.intellivue import Line, Monitor
from simulators.intellivue_objects import Admitted
from simulators.patient import Patient

BEGAN = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)
_HEADER = bytes.fromhex(
    "3180A0808001010000A280A003000001A4803080020101060452010001308006025101000000003080020102060C2A8648CE"
    "14020100000001013080060C2A8648CE140201000000020100000000000061803080020101A0806080A180060C2A8648CE14"
    "020100000003010000BE802880060C2A8648CE140201000000010102010281"
)
# Poll period 1 s, MTU 1364, numerics each second and waves.
_USER_INFO = bytes.fromhex(
    "80000000 40000000 00000000 80000000 20000000 00000000 0001002C 00010028 80000000 00001F40 "
    "00000554 00000554 FFFFFFFF 60000000 0001000C F0010008 88000000 00000000"
)
CLIENT = ("127.0.0.1", 40001)
KEEP_ALIVE = bytes.fromhex("E10000020001001C00C0000700160021000000000000 00000C160008007D000100360811".replace(" ", ""))
WAVES_60_S = bytes.fromhex(
    "E10000020001 0028000A0007 0022002100000000 00000000F13B0014 0004000100090803 00010008F13E000400075300"
)
WAVE_LIST = bytes.fromhex(
    "E100000200010026 000900050020 002100000000 00000000 00010012 0000F23A000C 00020008 00020102 00024BB4"
)


def request(user_info: bytes = _USER_INFO) -> bytes:
    """An association request."""
    body = _HEADER + bytes([len(user_info)]) + user_info + bytes(16)
    session = bytes.fromhex("0508130100160102800014020002C1") + bytes([len(body)]) + body
    return bytes([0x0D, len(session)]) + session


def poll(cls: int, group: int, invoke: int = 5, number: int = 3) -> bytes:
    """A single poll."""
    return bytes.fromhex(f"E10000020001001C{invoke:04X}00070016002100000000000000000C160008{number:04X}0001") + (
        wire.u16(cls, group)
    )


def confirm(create: bytes) -> bytes:
    """The result of an MDS Create event."""
    return bytes.fromhex("E100000200020014") + create[8:12] + bytes.fromhex("000E") + create[14:26] + bytes(2)


def associated(monitor: Monitor, user_info: bytes = _USER_INFO) -> list[bytes]:
    """The answers to a request, with the event confirmed."""
    answers = [message for _, message in monitor.receive(request(user_info), CLIENT, 0.0)]
    assert monitor.receive(confirm(answers[1]), CLIENT, 0.1) == []
    return answers


def monitor(scenario: str = "healthy", seed: int = 1) -> Monitor:
    """A monitor at a bed."""
    return Monitor(Patient(seed, scenario), "ICU-07", BEGAN, Admitted("4711", "Müller", "Ann"))


def test_the_request_is_the_worked_one() -> None:
    assert len(request()) == 238
    assert request()[1] == 0xEC


def test_an_association_is_accepted_and_begins_with_the_create_event() -> None:
    accept, create = associated(monitor())
    info = wire.Reader(wire.user_info_of(accept))
    assert [info.u32() for _ in range(5)] == [0x80000000, 0x40000000, 0, 0x00800000, 0x80000000]
    assert info.attributes() == {}
    profile = wire.Reader(info.attributes()[1])
    assert [profile.u32() for _ in range(6)] == [0x80000000, 8000, 1364, 1364, 0xFFFFFFFF, 0x60000000]
    assert profile.attributes()[0xF001].hex() == "8800000000000000"
    assert create[:8].hex() == f"e10000020001{len(create) - 8:04x}"
    assert create[10:12].hex() == "0001"
    assert create[14:20] == create[28:34] == bytes.fromhex("002100000001")
    attributes = wire.Reader(create[34:]).attributes()
    assert attributes[0x091E] == wire.string("ICU-07")
    assert attributes[0x0987].hex() == "2026030914050900"
    assert attributes[0x098F] == create[20:24]


@pytest.mark.parametrize("user_info", [
    _USER_INFO.replace(b"\x00\x00\x05\x54", b"\x00\x00\x01\x20"),  # an MTU below 300
    _USER_INFO[:12] + bytes.fromhex("00800000") + _USER_INFO[16:],  # a second server
    _USER_INFO[:20],
])  # fmt: skip
def test_a_request_that_cannot_be_is_refused(user_info: bytes) -> None:
    device = monitor()
    assert device.receive(request(user_info), CLIENT, 0.0) == [(CLIENT, wire.REFUSE_BYTES)]
    assert device.peer is None


def test_one_client_at_a_time() -> None:
    device, other = monitor(), ("127.0.0.1", 40002)
    associated(device)
    assert device.receive(request(), other, 1.0) == [(other, wire.REFUSE_BYTES)]
    assert device.receive(poll(6, 0x0803), other, 1.0) == []
    assert device.peer == CLIENT


def test_the_create_event_comes_four_times_and_then_an_abort() -> None:
    device = monitor()
    _, (_, create) = device.receive(request(), CLIENT, 0.0)
    assert device.receive(poll(6, 0x0803), CLIENT, 0.5) == []  # nothing is answered before it is confirmed
    sent = []
    while (wake_at_s := device.wake_at_s) is not None:
        sent += [(wake_at_s, message) for _, message in device.tick(wake_at_s)]
    assert [at_s for at_s, _ in sent] == [2.5, 5.0, 7.5, 10.0]
    assert all(message[:20] == create[:20] for _, message in sent[:3])
    assert sent[3][1] == wire.ABORT_BYTES
    assert device.peer is None
    associated(device)


def test_a_silent_client_is_aborted_and_associates_again() -> None:
    device = monitor()
    associated(device)
    assert device.receive(KEEP_ALIVE, CLIENT, 9.0)[0][0] == CLIENT
    assert device.tick(18.9) == []
    assert device.tick(19.0) == [(CLIENT, wire.ABORT_BYTES)]
    assert device.receive(KEEP_ALIVE, CLIENT, 19.5) == []
    associated(device)


@pytest.mark.parametrize(("min_poll_s", "silence_s"), [(1, 10), (4, 12), (43, 129), (50, 130)])
def test_the_silence_follows_from_the_poll_period(min_poll_s: int, silence_s: float) -> None:
    device = monitor()
    associated(device, _USER_INFO.replace(wire.u32(8000), wire.u32(8000 * min_poll_s)))
    assert device.wake_at_s == pytest.approx(silence_s + 0.1)


def test_release_and_abort_end_it() -> None:
    device = monitor()
    associated(device)
    release = bytes.fromhex("0918C11661803080020101A08062808001000000000000000000")
    assert device.receive(release, CLIENT, 1.0) == [(CLIENT, wire.RELEASE_RESPONSE_BYTES)]
    assert device.peer is None
    associated(device)
    assert device.receive(wire.ABORT_BYTES, CLIENT, 2.0) == []
    assert device.peer is None


def contexts(message: bytes) -> list[tuple[int, dict[int, bytes]]]:
    """Handles with their attributes, of a result of a single or extended poll."""
    at = 26 if message[5] == wire.ROLRS else 24
    assert message[4:6] in (b"\x00\x02", b"\x00\x05")
    assert int.from_bytes(message[6:8], "big") == len(message) - 8
    extended = message[at - 4 : at - 2] == b"\xf1\x3b"
    assert int.from_bytes(message[at - 2 : at], "big") == len(message) - at
    reader, found = wire.Reader(message[at:]), []
    reader.take((4 if extended else 2) + 4 + 8 + 6)
    count = reader.u16()
    assert reader.u16() == reader.left
    for _ in range(count):
        reader.u16()
        objects = reader.u16()
        reader.u16()
        found += [(reader.u16(), reader.attributes()) for _ in range(objects)]
    assert reader.left == 0
    return found


def test_a_poll_has_the_layout_of_the_worked_result() -> None:
    """The worked result: one SpO2 of 97 % at handle 0102, 74 bytes."""
    example = bytes.fromhex(
        "E100000200020042 00050007003C 002100000000 0C160032 0003000F4240 2026030914050900 000100060803 0001001A 0000"
        "00010014 0102 0001000E 0950000A 4BB8 0000 0220 00000061"
    )
    assert len(example) == 74
    assert contexts(example) == [(0x0102, {0x0950: bytes.fromhex("4BB80000022000000061")})]
    head = wire.u16(3) + wire.u32(1_000_000) + wire.absolute_time(datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC))
    value = wire.counted((wire.ava(0x0950, wire.u16(0x4BB8, 0, 0x0220) + wire.float_type("97")),))
    (built,) = intellivue._results(5, 0x0C16, head + wire.u16(1, 6, 0x0803), [wire.u16(0x0102) + value], 1364)
    assert built.replace(b"\x08\x03\x00\x01\x00\x1a\x00\x01", b"\x08\x03\x00\x01\x00\x1a\x00\x00") == example


def test_numerics_are_the_patients() -> None:
    device, patient = monitor(), Patient(1)
    associated(device)
    ((_, answer),) = device.receive(poll(6, 0x0803), CLIENT, 30.0)
    found = dict(contexts(answer))
    shown = patient.report(30.0)
    assert found[0x0101][0x0950] == wire.u16(0x4182, 0, 0x0AA0) + wire.float_type(shown["hr"])
    assert found[0x0106][0x0950][6] == 0xFF
    pressures = wire.Reader(found[0x0105][0x094B])
    assert (pressures.u16(), pressures.u16()) == (3, 30)
    assert pressures.take(6) == wire.u16(0x4A15, 0, 0x0F20)
    cuff = patient.cuff(30.0)
    assert cuff
    assert found[0x010A][0x0990] == wire.absolute_time(intellivue_objects.clock(BEGAN, patient)(cuff.at_s))


def test_no_reading_is_an_invalid_nan() -> None:
    device = monitor("finger_off")
    associated(device)
    ((_, answer),) = device.receive(poll(6, 0x0803), CLIENT, 25.0)
    assert dict(contexts(answer))[0x0102][0x0950].hex() == "4bb880000220007fffff"


def test_what_is_too_long_comes_in_linked_results_first() -> None:
    device = monitor()
    associated(device, _USER_INFO.replace(b"\x00\x00\x05\x54", b"\x00\x00\x01\x2c"))
    answers = [message for _, message in device.receive(poll(6, 0x0803), CLIENT, 30.0)]
    assert [message[5] for message in answers] == [wire.ROLRS] * (len(answers) - 1) + [wire.RORS]
    assert [message[8] for message in answers[:-1]] == [1, *[2] * (len(answers) - 3), *[3] * (len(answers) > 2)]
    assert all(len(message) <= 300 for message in answers)
    handles = [handle for message in answers for handle, _ in contexts(message)]
    assert handles == [row.handle for row in intellivue_objects.NUMERICS]


def test_waves_come_each_256_ms_until_the_active_period_ends() -> None:
    device, patient = monitor(), Patient(1)
    associated(device)
    ((_, accepted),) = device.receive(WAVES_60_S, CLIENT, 1.0)
    assert contexts(accepted) == []
    sequences, samples, times = [accepted[26:28]], [], []
    t_s = 1.0
    while t_s < 61.5:
        t_s += 0.032
        if round(t_s, 3) % 5 < 0.04:
            device.receive(KEEP_ALIVE, CLIENT, t_s)
        for _, message in device.tick(t_s):
            sequences.append(message[26:28])
            times.append(int.from_bytes(message[28:32], "big"))
            found = dict(contexts(message))
            assert list(found) == [0x0201, 0x0202, 0x0203]
            value = found[0x0202][0x096E]
            assert value[:6] == wire.u16(0x4BB4, 0, 64)
            samples += [int.from_bytes(value[at : at + 2], "big") for at in range(6, 70, 2)]
    assert len(sequences) == 236
    assert [int.from_bytes(sequence, "big") for sequence in sequences] == list(range(236))
    assert {(later - sooner) % 2**32 for sooner, later in pairwise(times)} == {2048}
    expected = intellivue_objects.samples(intellivue_objects.WAVES[1], patient, 3)
    assert samples[:32] == expected


def test_the_list_of_waves_is_set_and_read_back() -> None:
    device = monitor()
    associated(device)
    ((_, answer),) = device.receive(
        WAVE_LIST.replace(bytes.fromhex("00020102"), bytes.fromhex("0002FFFF")), CLIENT, 1.0
    )
    assert answer[-8:].hex() == "0001000400024bb4"
    ((_, static),) = device.receive(poll(9, 0x0811), CLIENT, 2.0)
    ((handle, attributes),) = contexts(static)
    assert handle == 0x0202
    assert attributes == {0x096D: bytes.fromhex("0020100C0000"), 0x098D: wire.u32(64)}


def test_any_other_set_is_denied() -> None:
    device = monitor()
    associated(device)
    other = WAVE_LIST.replace(bytes.fromhex("F23A"), bytes.fromhex("0987"))
    assert device.receive(other, CLIENT, 1.0) == [(CLIENT, wire.error(9, 2))]


def test_context_in_group_0_comes_one_object_after_the_other() -> None:
    device = monitor()
    associated(device)
    device.receive(WAVES_60_S.replace(bytes.fromhex("000408030001"), b""), CLIENT, 0.5)
    asked = WAVES_60_S.replace(bytes.fromhex("00090803"), bytes.fromhex("00090000"))
    device.receive(asked, CLIENT, 1.0)
    turns = []
    for number in range(1, 40):
        for _, message in device.tick(1.0 + number * 0.256):
            turns += [handle for handle, attributes in contexts(message) if 0x096F in attributes]
    assert turns[:6] == [0x0201, 0x0202, 0x0203] * 2


def test_alarms_begin_and_end() -> None:
    device = monitor("finger_off")
    associated(device)
    lists = []
    for t_s in (10.0, 18.0, 25.0, 33.0, 40.0):
        ((_, answer),) = device.receive(poll(0x36, 0x0801), CLIENT, t_s)
        ((_, attributes),) = contexts(answer)
        lists.append((attributes[0x0902][1], attributes[0x0904][1]))
    assert lists == [(0, 0), (0, 0), (0, 1), (0, 1), (0, 0)]


def test_an_alarm_says_whose_it_is_and_how_high() -> None:
    patient = Patient(1, "desaturation")
    (alarm, *_) = intellivue_objects.alarms(patient, 120.0)
    entry = wire.Reader(intellivue_objects._alarm_entry(alarm))
    assert [entry.u16() for _ in range(4)] == [0x4BB8, 62, 0x0200, 0]
    entry.take(6)
    assert entry.u16() == 0x0204
    info = wire.Reader(entry.take(entry.u16()))
    info.take(10)
    assert info.take(info.u16()).decode("utf-16-be").startswith("** SpO2 8")
    assert entry.left == info.left == 0


def test_who_is_admitted() -> None:
    device = monitor()
    associated(device)
    ((_, answer),) = device.receive(poll(0x2A, 0x0807), CLIENT, 1.0)
    ((_, attributes),) = contexts(answer)
    assert attributes[0x0957].hex() == "0002"
    assert attributes[0x095C] == wire.string("Müller")
    assert attributes[0x0958].hex() == "1956021400000000"
    assert intellivue_objects.demographics(None).hex() == "00010006095700020000"


def test_extensions_without_a_period_are_ignored_as_a_whole() -> None:
    device = monitor()
    accept, _ = associated(device, _USER_INFO.replace(wire.u32(0x88000000), wire.u32(0x08000000)))
    assert b"\xf0\x01" not in wire.user_info_of(accept)
    assert device.receive(WAVES_60_S, CLIENT, 1.0) == [(CLIENT, wire.error(10, 9))]


@pytest.mark.parametrize(("sent", "code"), [
    (poll(6, 0x0803).replace(bytes.fromhex("0C16"), bytes.fromhex("0C17")), 9),
    (poll(0x77, 0x0803), 15),
    (poll(6, 0x0803).replace(bytes.fromhex("0021"), bytes.fromhex("0006")), 0),
], ids=["action", "object", "class"])  # fmt: skip
def test_a_wrong_request_gets_an_error(sent: bytes, code: int) -> None:
    device = monitor()
    associated(device)
    assert device.receive(sent, CLIENT, 1.0) == [(CLIENT, wire.error(5, code))]


def test_any_bytes_are_borne() -> None:
    device, rng = monitor(), Random(3)
    associated(device)
    for sent in (request(), KEEP_ALIVE, WAVES_60_S, WAVE_LIST, poll(6, 0)):
        for _ in range(300):
            spoilt = bytearray(sent)
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
            device.receive(bytes(spoilt[: rng.randrange(len(spoilt) + 1)]), CLIENT, 1.0)
            device.receive(rng.randbytes(30), CLIENT, 1.0)
            if device.peer is None:
                associated(device)


def test_the_same_seed_says_the_same() -> None:
    def said(seed: int) -> list[bytes]:
        device = monitor(seed=seed)
        associated(device)
        return [
            message for _, message in device.receive(poll(6, 0), CLIENT, 7.0) + device.receive(poll(9, 0), CLIENT, 8.0)
        ]

    assert said(4) == said(4)
    assert said(4) != said(5)


def test_a_line_spoils_loses_and_doubles() -> None:
    line = Line(intellivue.UDP_FAULTS, 0.5, 7)
    arrived = [line.carried(KEEP_ALIVE) for _ in range(200)]
    assert {len(each) for each in arrived} == {0, 1, 2}
    assert [KEEP_ALIVE] in arrived
    assert any(each and each[0] != KEEP_ALIVE for each in arrived)
    assert Line().carried(KEEP_ALIVE) == [KEEP_ALIVE]


def test_over_udp() -> None:
    class Client(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.got: asyncio.Queue[bytes] = asyncio.Queue()

        def datagram_received(self, data: bytes, addr: object) -> None:
            self.got.put_nowait(data)

    async def run() -> list[bytes]:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        held, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        port = held.get_extra_info("sockname")[1]
        held.close()
        await asyncio.sleep(0)
        serving = asyncio.create_task(intellivue.serve_udp(monitor(), "127.0.0.1", port, Line(), stop))
        await asyncio.sleep(0)
        transport, client = await loop.create_datagram_endpoint(Client, remote_addr=("127.0.0.1", port))
        answers = []
        async with asyncio.timeout(10):
            transport.sendto(request())
            answers += [await client.got.get(), await client.got.get()]
            transport.sendto(confirm(answers[1]))
            transport.sendto(WAVES_60_S)
            answers += [await client.got.get(), await client.got.get()]
        stop.set()
        await asyncio.wait_for(serving, 10)
        transport.close()
        return answers

    accept, create, accepted, waves = asyncio.run(run())
    assert (accept[0], create[0]) == (0x0E, 0xE1)
    assert contexts(accepted) == []
    assert len(contexts(waves)) == 3


def test_over_the_serial_port(tmp_path: Path) -> None:
    async def run() -> list[bytes]:
        stop, link = asyncio.Event(), tmp_path / "mib"
        serving = asyncio.create_task(intellivue.serve_mib(monitor(), link, Line(), stop))
        while not link.exists():
            await asyncio.sleep(0.01)
        reader = wire.MibReader()
        payloads: list[bytes] = []
        with serial.Serial(str(link), 115200, timeout=0.05) as port:
            port.write(wire.mib_frame(request()))
            async with asyncio.timeout(10):
                while len(payloads) < 2:
                    payloads += reader.feed(await asyncio.to_thread(port.read, 500))
        stop.set()
        await asyncio.wait_for(serving, 10)
        return payloads

    accept, create = asyncio.run(run())
    assert (accept[0], create[0]) == (0x0E, 0xE1)
