"""The rack's bytes against the sheet's worked frames, whose checksums were computed apart from this code."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
import serial

from simulators.infusion import Infusion
from simulators.orchestra import CONTROL, ENQ_EVERY_S, FAULTS, FRAME_BYTES_MAX, Pump, Rack, Spoiler, filled, framed
from simulators.ward import run_device

ACK, NAK, DC4 = b"\x06", b"\x15", b"\x14"


def opened(rack: Rack | None = None) -> Rack:
    """A rack whose base and first module are open, and which waits for no ACK."""
    found = rack or filled(1)
    assert found.heard(framed("0DC") + ACK, 0.0) == ACK + framed("0C")
    assert found.heard(framed("1DC") + ACK, 1.0) == ACK + framed("1C")
    return found


def test_frames_are_those_of_the_worked_examples() -> None:
    assert framed("1LE;dr") == b"\x021LE;dr2C\x03"
    assert framed("1C;d0078;r00002EE0") == b"\x021C;d0078;r00002EE0C4\x03"
    assert framed("0DC") == b"\x020DC48\x03"


def test_a_read_tells_rate_and_volume() -> None:
    rack = opened()
    rate = rack.modules["1"].infusion.rates_ml_h[0]
    assert rack.heard(framed("1LE;dr"), 36.0) == ACK + framed(f"1C;d{round(rate * 10):04X};r{round(rate * 10):08X}")


def test_the_base_names_its_modules() -> None:
    rack = opened(filled(7, count=3))
    assert rack.heard(framed("0LE;ib"), 2.0) == ACK + framed("0C;i0007;b0007")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1LF;b", "1C;bDPS"), ("1LP", "1C;PROPOFOL"), ("1LN", "1C;00000011"), ("1LM;x", "1I;04"), ("1LE;z", "1I;04"),
        ("1LE", "1I;04"), ("2LE;d", "2I;1E"), ("3LE;d", "3I;0E"), ("1XX", "1I;01"), ("0XX", "0I;01"), ("1FC", "1C"),
    ],
)  # fmt: skip
def test_answers(text: str, answer: str) -> None:
    rack = opened()
    assert rack.heard(framed(text), 2.0) == ACK + framed(answer)
    assert rack.control_commands == {}


def test_before_the_base_is_open_and_just_after_nothing_is_read() -> None:
    rack = filled(1)
    assert rack.heard(framed("1LE;d") + ACK, 0.0) == ACK + framed("1I;0D")
    assert rack.heard(framed("0LE;b") + ACK, 0.0) == ACK + framed("0I;0D")
    assert rack.heard(framed("0DC") + ACK, 0.0) == ACK + framed("0C")
    assert rack.heard(framed("1DC"), 0.9) == NAK + b"6"
    assert rack.heard(framed("1DC") + ACK, 1.0) == ACK + framed("1C")
    assert rack.heard(framed("0FC") + ACK, 1.0) == ACK + framed("0C")
    assert rack.heard(framed("0DC") + ACK, 2.0) == ACK + framed("0C")
    assert rack.heard(framed("1LE;d") + ACK, 3.0) == ACK + framed("1I;1E")  # closed with the base


@pytest.mark.parametrize(
    ("frame", "character"),
    [
        (b"\x021LE;dr2D\x03", b"2"), (b"\x0203\x03", b"2"), (framed("9LE;d"), b"4"), (framed("XLE"), b"4"),
        (framed("1L"), b"7"), (framed("1L\tE"), b"1"), (b"\x02" + b"1" * (FRAME_BYTES_MAX + 1), b"7"),
    ],
)  # fmt: skip
def test_what_is_no_frame_gets_one_character(frame: bytes, character: bytes) -> None:
    assert opened().heard(frame, 2.0) == NAK + character


def test_a_frame_that_does_not_end_is_given_up() -> None:
    rack = filled(1)
    assert rack.heard(b"\x021LE", 0.0) == b""
    assert rack.speak(0.9) == []
    assert rack.speak(1.0) == [NAK + b"5"]
    assert rack.speak(2.0) == []


@pytest.mark.parametrize("command", sorted(CONTROL))
def test_what_would_change_an_infusion_is_refused_and_counted(command: str) -> None:
    rack = opened()
    assert rack.heard(framed(f"1{command};d0078"), 2.0) == ACK + framed("1I;01")
    assert rack.control_commands == {command: 1}


def test_a_reply_is_sent_again_once_where_it_is_refused_or_not_acknowledged() -> None:
    rack = filled(1)
    reply = framed("0C")
    assert rack.heard(framed("0DC"), 0.0) == ACK + reply
    assert rack.heard(NAK + b"2", 0.1) == reply
    assert rack.speak(0.5) == [b"\x05"]
    assert rack.speak(1.1) == []
    assert rack.unconfirmed == 1
    assert rack.heard(framed("0LE;b"), 1.2) == ACK + framed("0C;b0003")
    assert reply not in rack.speak(2.1)
    assert rack.speak(2.2) == [framed("0C;b0003")]


def test_it_asks_whether_the_host_is_there() -> None:
    rack = filled(1)
    assert rack.speak(10.0) == []
    rack.heard(framed("0DC") + ACK, 10.0)
    assert rack.speak(10.0) == [b"\x05"]
    assert rack.heard(DC4, 10.1) == b""
    assert rack.speak(10.0 + ENQ_EVERY_S) == [b"\x05"]
    assert (rack.enquiries, rack.kept_alive) == (2, 1)


def test_alarms_begin_and_end_as_events_that_the_host_confirms() -> None:
    rack = opened()
    assert rack.heard(framed("1DE;a") + ACK, 2.0) == ACK + framed("1C")
    found = []
    for t_s in range(3, 130):
        for sent in rack.speak(float(t_s)):
            if sent != b"\x05":
                found.append((t_s, sent))
                assert rack.heard(ACK + framed("1E"), t_s + 0.1) == ACK
    assert found == [(100, framed("1E;a0001")), (115, framed("1E;a0000"))]
    assert rack.confirmed == {"1": 2}
    assert rack.heard(framed("1AE") + ACK, 130.0) == ACK + framed("1C")
    assert [s for t_s in range(130, 330) for s in rack.speak(float(t_s)) if s != b"\x05"] == []
    assert rack.heard(framed("1DE;z"), 330.0) == ACK + framed("1I;04")


def test_a_pump_by_itself_has_no_address() -> None:
    rack = Rack({"": Pump(Infusion(3))})
    assert rack.heard(framed("DC") + ACK, 0.0) == ACK + framed("C")
    rate = rack.modules[""].infusion.rates_ml_h[0]
    assert rack.heard(framed("LE;d"), 1.0) == ACK + framed(f"C;d{round(rate * 10):04X}")


def test_faults_spoil_the_same_for_the_same_seed_and_silence_is_silent() -> None:
    frame = framed("1C;d0078")
    for name, fault in FAULTS.items():
        assert fault(frame, Random(1)) == fault(frame, Random(1)) != frame, name
    first, second = Spoiler(FAULTS, 0.5, seed=3), Spoiler(FAULTS, 0.5, seed=3)
    assert [first.sent(e) for e in [frame, ACK] * 20] == [second.sent(e) for e in [frame, ACK] * 20]
    rack = filled(1, is_silent=lambda t_s: True)
    assert rack.heard(framed("0DC"), 0.0) == b""
    assert rack.speak(5.0) == []


def test_one_rack_at_a_line(tmp_path: Path) -> None:
    async def run() -> bytes:
        stop = asyncio.Event()
        task = asyncio.create_task(run_device("orchestra", str(tmp_path / "port"), "healthy", 1, 1.0, stop))
        while not (tmp_path / "port").exists():
            await asyncio.sleep(0.01)
        with serial.Serial(str(tmp_path / "port"), timeout=5) as port:
            port.write(framed("0DC"))
            answer: bytes = await asyncio.to_thread(port.read_until, b"\x03")
        stop.set()
        await task
        return answer

    assert asyncio.run(run()) == ACK + framed("0C")
