"""The SpaceCom against frames whose length and sum were worked out by hand from the document, and its dialogue."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
import serial

from simulators import bbraun_bcc
from simulators.bbraun_bcc import FAULTS, SpaceCom, Spoiler, frame, request_of, stuffed, unstuffed
from simulators.bbraun_pumps import PUMPS, word
from simulators.patient import Patient
from simulators.ward import run_device

ACK, NAK = b"\x06", b"\x15"


def device(scenario: str = "healthy", **settings: object) -> SpaceCom:
    return SpaceCom(Patient(5, scenario), **settings)  # type: ignore[arg-type]


def ask(rack: SpaceCom, command: str, t_s: float = 1.0, bed_id: str = "ICU7") -> str:
    rack.hear(stuffed(frame(bed_id, command)), t_s)
    return information(rack.speak(t_s))


def information(data: bytes) -> str:
    plain = unstuffed(data)
    assert plain[:1] == b"\x01"
    assert plain[-1:] == b"\x04"
    assert int(plain[1:6]) == len(plain)
    assert int(plain[-6:-1]) == sum(plain[:-6]) % 256
    return plain[7:-7].decode().partition("/1/1>")[2]


def blocks(rack: SpaceCom, t_s: float) -> list[list[list[str]]]:
    """All of an answer to MEM:GET, the values of each block."""
    rack.hear(stuffed(frame("ICU7", "MEM:GET")), t_s)
    found = []
    while data := rack.speak(t_s):
        found.append([each.split(",", 3) for each in information(data).split("\x1e")])
        if unstuffed(data)[-7] == 0x03:
            break
        rack.hear(ACK, t_s + 0.1 * len(found))
    return found


def values(rack: SpaceCom, t_s: float, address: str) -> dict[str, str]:
    every = [each for block in blocks(rack, t_s) for each in block]
    return {name: value for _, at, name, value in every if at == address}


@pytest.mark.parametrize(
    ("sent", "is_last", "expected"),
    [
        ("MEM:GET", True, b"\x0100030\x02ICU7/1/1>MEM:GET\x0300008\x04"),
        ("ADMIN:VERSION", True, b"\x0100036\x02ICU7/1/1>ADMIN:VERSION\x0300222\x04"),
        ("12,50100,GNACK,0", True, b"\x0100039\x02ICU7/1/1>12,50100,GNACK,0\x0300137\x04"),
        (
            "12,50113,INRT,2.50\x1e12,50113,INSOL,_NV", False,
            b"\x0100060\x02ICU7/1/1>12,50113,INRT,2.50\x1e12,50113,INSOL,_NV\x1700144\x04",
        ),
        ("12,50100,GNERR,68", True, b"\x0100040\x02ICU7/1/1>12,50100,GNERR,68\x0300217\x04"),
    ],
)  # fmt: skip
def test_frames_are_those_worked_out(sent: str, is_last: bool, expected: bytes) -> None:
    assert frame("ICU7", sent, is_last=is_last) == expected


def test_stuffing_lengthens_and_goes_back_in_one_pass() -> None:
    get = stuffed(frame("ICU7", "MEM:GET"))
    assert b"MEEM:GEET" in get
    assert len(get) == 32
    version = stuffed(frame("ICU7", "ADMIN:VERSION"))
    assert b"AEXMIN:VEERSION" in version
    assert len(version) == 38
    assert len(stuffed(frame("ICU7", "12,50100,GNERR,68"))) == 41
    assert unstuffed(b"EEX") == b"EX"
    assert stuffed(b"EX") == b"EEX"
    assert stuffed(b"Dd") == b"EXex"
    assert unstuffed(b"EXex") == b"Dd"


def test_a_request_is_refused_with_a_wrong_sum_length_or_form() -> None:
    good = frame("ICU7", "MEM:GET")
    assert request_of(good) == ("ICU7", "MEM:GET")
    assert request_of(good.replace(b"00008", b"00009")) is None
    assert request_of(good.replace(b"00030", b"00031")) is None
    assert request_of(good.replace(b"/1/1>", b"/1/1 ")) is None


def test_the_bed_id_is_learnt_and_then_needed() -> None:
    rack = device()
    rack.hear(stuffed(frame("1", "ADMIN:ALIVE")), 12.4)
    assert rack.speak(12.4) == b"\x0100039\x02ICU7/1/1>12,50100,GNACK,0\x0300137\x04"
    assert ask(rack, "ADMIN:VERSION", 13.0) == "13,50100,V3.36"
    assert ask(rack, "MEM:GET", 14.0, bed_id="1") == "14,50100,GNERR,68"
    rack.hear(b"\x0100030\x02ICU7/1/1>MEEM:GEET\x0300009\x04", 15.0)
    assert information(rack.speak(15.0)) == "15,50100,GNERR,68"


def test_blocks_wait_for_their_ack_and_one_comes_back_on_nak() -> None:
    rack = device()
    rack.hear(stuffed(frame("ICU7", "MEM:GET")), 1.0)
    first = rack.speak(1.0)
    assert unstuffed(first)[-7] == 0x17
    assert rack.speak(5.0) == b""
    rack.hear(NAK, 5.0)
    assert rack.speak(5.0) == first
    rack.hear(ACK, 6.0)
    second = rack.speak(6.0)
    assert ",50112,GNNEW," in information(second)
    rack.hear(stuffed(frame("ICU7", "MEM:GET")), 7.0)  # in place of an ACK: from the first block
    assert ",50111,GNMODEL," in information(rack.speak(7.0))
    assert rack.too_early == []


def test_a_host_that_is_too_quick_is_noted() -> None:
    rack = device(pumps=PUMPS[:1])
    rack.hear(stuffed(frame("ICU7", "MEM:GET")), 1.0)
    rack.hear(ACK, 1.05)
    rack.hear(stuffed(frame("ICU7", "MEM:GET")), 1.4)
    assert rack.too_early == ["ACK after 0.050 s", "MEM:GET after 0.400 s"]


def test_each_pump_is_a_block_and_the_first_begins_with_the_system() -> None:
    rack = device()
    found = blocks(rack, 10.0)
    assert len(found) == len(PUMPS)
    assert found[0][0] == ["10", "50100", "FMNOR", "2"]
    assert [block[-1][1] for block in found] == ["50111", "50112", "50113", "50121", "50122"]
    first = {name: value for _, address, name, value in found[0] if address == "50111"}
    assert first["GNNEW"] == "688 Perfusor Space V688L030007\r"
    assert "GNMODEL" not in first
    assert "GNMODEL" in values(rack, 11.0, "50111")


def test_no_value_is_not_zero() -> None:
    rack = device()
    bag, standby = values(rack, 10.0, "50112"), values(rack, 11.0, "50122")
    assert bag["INVOLACT"] == bag["INSOL"] == "_NV"
    assert standby["INRT"] == "0.00"
    assert standby["INRMT"] == "_NV"
    assert standby["INSTBY"] == "30"


def test_a_text_may_hold_commas() -> None:
    assert values(device(), 10.0, "50113")["INSOL"] == "Propofol 2%, forte"


def test_an_empty_syringe_warns_alarms_and_is_changed() -> None:
    rack = device()
    before, warning, empty, changed = (values(rack, t_s, "50113") for t_s in (90.0, 150.0, 190.0, 211.0))
    assert (before["INRT"], before["ALARM1"], before["PREALARM"], before["INVOLACT"]) == ("30.00", "0", "0", "0.8")
    assert (warning["ALARM1"], warning["PREALARM"], warning["RUNSTATE"]) == ("0", "4", "34")
    assert (empty["INRT"], empty["ALARM1"], empty["PREALARM"], empty["RUNSTATE"]) == ("0.00", "512", "0", "5")
    assert empty["INVOLACT"] == "0.0"
    assert empty["INVI"] == "1.5"
    assert (changed["ALARM1"], changed["INVOLACT"], changed["INVI"]) == ("0", "1.5", "1.5")


def test_an_occlusion_is_full_pressure() -> None:
    occluded = values(device(), 70.0, "50121")
    assert (occluded["INP2"], occluded["ALARM1"], occluded["INRT"]) == ("100", "1024", "0.00")


def test_the_older_set_has_a_parameter_for_each_alarm() -> None:
    empty = values(device(newer=False, version="V3.25"), 190.0, "50113")
    assert (empty["INA2"], empty["INA3"], empty["INA10"], empty["INM3"]) == ("1", "0", "_NV", "0")
    assert "ALARM1" not in empty
    assert "DATE" not in empty


def test_the_newer_set_has_the_clock_and_words_in_either_form() -> None:
    began_at = datetime(2026, 3, 9, 14, 5, 0, tzinfo=UTC)
    rack = device("clock_jump", began_at=began_at, hexadecimal=True)
    assert [values(rack, 9.0, "50111")[name] for name in ("DATE", "TIME")] == ["20260309", "140509"]
    assert values(rack, 31.0, "50111")["TIME"] == "141031"
    assert values(rack, 190.0, "50113")["ALARM1"] == "0x00000200"
    assert word((0, 31), hexadecimal=False) == "2147483649"


def test_a_slot_is_asked_alone() -> None:
    rack = device()
    assert "5,50112,INRT,83.30" in ask(rack, "MEM:GETSLOT#12", 5.0).split("\x1e")
    assert ask(rack, "MEM:GETSLOT#19", 6.0) == "6,50119,GNERR,39"
    assert ask(rack, "MEM:GETSLOT#41", 7.0) == "7,50100,GNERR,811"
    assert ask(rack, "MEM:SET", 8.0) == "8,50100,GNERR,68"


def test_a_pump_that_is_taken_out_is_told_once_and_new_when_it_is_back() -> None:
    rack = device("finger_off")
    assert len(blocks(rack, 10.0)) == 5
    assert blocks(rack, 25.0)[-1] == [["25", "50122", "GNERR", "39"]]
    assert len(blocks(rack, 27.0)) == 4
    assert "GNNEW" in values(rack, 40.0, "50122")
    assert blocks(device(pumps=()), 1.0) == [[["1", "50100", "GNERR", "11"]]]


def test_a_silent_rack_answers_nothing() -> None:
    rack = device("silence")
    rack.hear(stuffed(frame("ICU7", "MEM:GET")), 25.0)
    assert rack.speak(25.0) == b""


def test_cyclic_mode_sends_each_pump_after_the_ack_of_the_one_before() -> None:
    rack = device(cyclic_s=5.0)
    seen = []
    for tenth in range(100):
        t_s = tenth / 10
        if data := rack.speak(t_s):
            seen.append((t_s, information(data).split(",")[1]))
            rack.hear(ACK, t_s + 0.1)
    addresses = [pump.address for pump in PUMPS]
    assert [address for _, address in seen] == [*addresses, *addresses]
    assert seen[5][0] >= 5.0
    silent = device(cyclic_s=5.0)
    assert silent.speak(0.0) != b""
    assert silent.speak(20.0) == b""


def test_cyclic_mode_sends_a_change_at_once() -> None:
    rack = device(cyclic_s=100.0)
    seen = []
    for tenth in range(700):
        t_s = tenth / 10
        if data := rack.speak(t_s):
            seen.append((t_s, information(data).split(",")[1]))
            rack.hear(ACK, t_s + 0.1)
    assert [address for t_s, address in seen if 58.0 < t_s < 63.0] == ["50121"]


def test_faults_are_those_of_their_seed() -> None:
    good = stuffed(frame("ICU7", "12,50100,GNACK,0"))
    wrong = FAULTS["bad_checksum"](good, Random(1))
    assert wrong != good
    assert wrong[:-2] == good[:-2]
    assert request_of(unstuffed(wrong)) is None
    assert FAULTS["bad_checksum"](b"\x06", Random(1)) != b"\x06"
    assert Spoiler(("silent",), 1.0).sent(good) == b""
    assert [Spoiler(tuple(FAULTS), 1.0, 3).sent(good)] == [Spoiler(tuple(FAULTS), 1.0, 3).sent(good)]
    assert Spoiler().sent(good) == good


def test_it_speaks_over_tcp_and_to_a_host_that_comes_again() -> None:
    asyncio.run(_over_tcp())


async def _over_tcp() -> None:
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        bbraun_bcc.serve(device(is_stuffed=False), "127.0.0.1", 0, Spoiler(), stop, port.set_result)
    )
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", await port)
        writer.write(frame("1", "ADMIN:ALIVE"))
        async with asyncio.timeout(5):
            assert (await reader.readuntil(b"\x04")).startswith(b"\x0100038\x02ICU7/1/1>0,50100,GNACK,0\x03")
        writer.close()
    stop.set()
    await serving


def test_it_speaks_at_a_pseudo_terminal(tmp_path: Path) -> None:
    asyncio.run(_at_a_pseudo_terminal(tmp_path))


async def _at_a_pseudo_terminal(tmp_path: Path) -> None:
    link, stop = tmp_path / "pumps", asyncio.Event()
    running = asyncio.create_task(run_device("bbraun_bcc", str(link), "healthy", 5, 1.0, stop))
    await asyncio.to_thread(_converse, link)
    stop.set()
    await running


def _converse(link: Path) -> None:
    until_s = time.monotonic() + 5
    while not link.exists() and time.monotonic() < until_s:
        time.sleep(0.01)
    with serial.Serial(str(link), timeout=5) as port:
        port.write(stuffed(frame("1", "ADMIN:ALIVE")))
        assert information(port.read_until(b"\x04")).endswith(",50100,GNACK,0")
