"""The pump's bytes against the sheet's worked frames, whose CRCs were computed apart from this code."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
import serial

from simulators.alaris import CONTROL, FAULTS, FRAME_BYTES_MAX, Spoiler, SyringePump, crc, framed
from simulators.infusion import Infusion
from simulators.ward import run_device

QUERIES = (
    b"!INF_RATE|8E6D\r", b"!INF_VI|B42C\r", b"!ALARM|50B2\r", b"!SYRINGE_STATUS|4102\r", b"!COMMS_RESPONSE_MAX|7E29\r",
    b"!INF_RATE_MAX_SYRINGE|8F30\r",
)  # fmt: skip


def pump(**more: object) -> SyringePump:
    return SyringePump(Infusion(12345, is_ever_occluded=False), **more)  # type: ignore[arg-type]


def test_the_crc_is_that_of_the_catalogue_and_of_the_worked_reply() -> None:
    assert crc(b"123456789") == b"29B1"
    worked = "INF^8002-12345^-^SET^7.50^ml/h^^12.345^ml^35.0^mmHg^1:10^EVENT^42"
    assert framed(*worked.split("^")) == b"!" + worked.encode() + b"|4A1A\r"


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_is_answered_once_with_its_name(query: bytes) -> None:
    device = pump()
    answer = device.heard(query, 10.0)
    name = query[1 : query.index(b"|")]
    assert answer.startswith(b"!" + name + b"^")
    assert answer.endswith(crc(answer[1:-6]) + b"\r")
    assert answer.count(b"\r") == 1
    assert (device.control_commands, device.unanswered) == ({}, {})


def test_what_it_says_is_what_it_infuses() -> None:
    device = pump()
    rate = device.infusion.rates_ml_h[0]
    assert device.heard(framed("INF_RATE"), 30.0).startswith(b"!INF_RATE^%.2f^ml/h|" % rate)
    assert device.heard(framed("INF_VI"), 36.0).startswith(b"!INF_VI^%.3f^ml|" % (rate / 100))
    fields = device.heard(framed("INF"), 36.0)[1:].partition(b"|")[0].split(b"^")
    assert fields[:6] == [b"INF", b"8002-12345", b"-", b"SET", b"%.2f" % rate, b"ml/h"]
    assert fields[6:11] == [b"", b"%.3f" % (rate / 100), b"ml", b"35.0", b"mmHg"]
    assert fields[12:] == [b"EVENT", b"1"]
    assert device.heard(framed("ALARM"), 0.0).startswith(b"!ALARM^AL_NOALM^ ^ |")
    assert device.heard(framed("SYRINGE_STATUS"), 0.0).startswith(b"!SYRINGE_STATUS^BD PLASTIPAK^50^CONF|")


def test_the_time_left_is_hours_and_minutes_or_over_a_day() -> None:
    device = pump()
    left_h = 50.0 / device.infusion.rates_ml_h[0]
    text = device.heard(framed("INF"), 0.0).split(b"^")[11].decode()
    expected = "24+" if left_h >= 24 else f"{round(left_h * 60) // 60}:{round(left_h * 60) % 60:02}"
    assert text == expected


@pytest.mark.parametrize("name", [*sorted(CONTROL), "INF_RATE^5.0^ml/h", "INF_VTBI^10^ml"])
def test_what_would_change_an_infusion_is_refused_and_counted(name: str) -> None:
    device = pump()
    assert device.heard(framed(name), 0.0) == b""
    assert device.control_commands == {name.partition("^")[0]: 1}
    assert device.heard(framed("INF_RATE"), 0.0).startswith(b"!INF_RATE^%.2f" % device.infusion.rates_ml_h[0])


def test_what_is_no_query_is_not_answered() -> None:
    device = pump()
    assert device.heard(b"!INF_RATE|0000\r" + framed("INF_COLOUR") + b"noise\r", 0.0) == b""
    assert device.heard(b"!" + b"x" * (FRAME_BYTES_MAX + 1) + b"\r", 0.0) == b""
    assert device.unanswered == {"crc": 1, "unknown": 1, "too-long": 1}
    assert device.heard(b"!INF_R\x1b!INF_RATE|8E", 0.0) == b""  # aborted, and another in two parts
    assert device.heard(b"6D\r", 0.0) != b""


def test_faults_spoil_a_frame_the_same_for_the_same_seed() -> None:
    frame = framed("INF_RATE", "7.50", "ml/h")
    for name, fault in FAULTS.items():
        assert fault(frame, Random(1)) == fault(frame, Random(1)) != frame, name
    assert FAULTS["no_end"](frame, Random(1)) == frame[:-1]
    first, second = Spoiler(FAULTS, 0.5, seed=3), Spoiler(FAULTS, 0.5, seed=3)
    assert [first.sent(frame) for _ in range(20)] == [second.sent(frame) for _ in range(20)]
    assert Spoiler().sent(frame) == frame


def test_a_pump_that_is_silent_says_nothing() -> None:
    assert pump(is_silent=lambda t_s: True).heard(framed("INF_RATE"), 0.0) == b""


def test_one_pump_at_a_line(tmp_path: Path) -> None:
    async def run() -> bytes:
        stop = asyncio.Event()
        task = asyncio.create_task(run_device("alaris", str(tmp_path / "port"), "healthy", 1, 1.0, stop))
        while not (tmp_path / "port").exists():
            await asyncio.sleep(0.01)
        with serial.Serial(str(tmp_path / "port"), timeout=5) as port:
            port.write(b"!INF_RATE|8E6D\r")
            answer: bytes = await asyncio.to_thread(port.read_until, b"\r")
        stop.set()
        await task
        return answer

    assert asyncio.run(run()).startswith(b"!INF_RATE^")
