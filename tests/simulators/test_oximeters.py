"""Masimo, Nellcor and Nonin's wireless oximeters: their bytes against worked examples, and each of them on a line.

The examples are those of the documents' readers, computed without these simulators.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
import serial

from simulators import masimo, nellcor, nonin_bluetooth
from simulators.oximeters import KINDS, run
from simulators.patient import Patient
from simulators.sensor import Span
from simulators.ward import run_device

HEALTHY, OFF = Patient(12345), Patient(12345, "finger_off")  # the finger is out from 20 to 35 s
AT = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)


def test_a_masimo_line_is_the_worked_one() -> None:
    worked = (
        b"03/09/26 14:05:09 SN=0000012345 SPO2=097% BPM=072 PI=02.10% SPCO=--% SPMET=--% DESAT=-- PIDELTA=+-- "
        b"PVI=--- ALARM=0000 EXC=000800\r\n"
    )
    device = masimo.Oximeter(HEALTHY)
    values = device.shown(0)
    assert values["SPO2"] is not None
    for key, text in (("SPO2", b"097"), ("BPM", b"072"), ("PI", b"02.10")):
        worked = worked.replace(key.encode() + b"=" + text, f"{key}={values[key]}".encode())
    assert device.line(0) == worked


def test_a_masimo_without_a_finger() -> None:
    line = masimo.Oximeter(OFF).line(25)
    assert b" SPO2=---% BPM=--- PI=--.--% " in line
    assert line.endswith(b" EXC=000020\r\n")
    assert masimo.Oximeter(OFF).line(36).endswith(b" EXC=000008\r\n")
    assert b" SPO2=000% BPM=000 PI=--.--% DESAT=-- " in masimo.Oximeter(OFF, "rad8").line(25)
    assert b" SPHB=12.0 SPOC=017 ALARM=" in masimo.Oximeter(Patient(5), "rainbow").line(0)


@pytest.mark.parametrize(("name", "bit"), masimo.EXCEPTIONS.items())
def test_each_exception_of_a_masimo_is_a_bit(name: str, bit: int) -> None:
    device = masimo.Oximeter(HEALTHY, script=[Span(name, 5, 10)])
    exc = [int(device.line(second).rstrip()[-6:], 16) for second in (4, 5, 9, 10)]
    without = name in masimo.WITHOUT_READING
    assert exc == [0x800, *[bit | (0 if without else 0x800)] * 2, 0x800]
    assert (b"SPO2=---%" in device.line(5)) is without


def test_a_row_of_nellcor_is_the_worked_one() -> None:
    texts = {"spo2": "88", "rate": "72", "amplitude": "40"}
    row = nellcor.row_text(AT, texts, {"spo2": "*", "rate": " "}, ["SL"])
    assert row == b"09-MAR-26 14:05:09   88*   72    40   SL\r\n"


def test_rows_stand_under_their_headings() -> None:
    device = nellcor.N595(OFF, limits_from={30: nellcor.Limits(spo2_low=85)})
    rows = [device.row(number) for number in range(60)]
    assert [number for number, row in enumerate(rows) if row.count(b"\r\n") > 1] == [0, 25, 30, 50]
    first = rows[0].decode("ascii").splitlines()
    assert re.fullmatch(
        r"N-595 +VERSION [\d.]+ +CRC:[0-9A-F]{4} +SpO2 Limit: 90-100% +PR Limit: 50-120BPM",
        first[0],
    )
    assert re.fullmatch(r"ADULT +0SAT-S +SPO2 RESP MODE: NORMAL", first[1])
    assert first[2].split() == ["TIME", "%SpO2", "BPM", "PA", "Status"]
    assert b" SpO2 Limit: 85-100% " in rows[30]
    assert rows[12] == b"09-MAR-26 14:05:33  ---   ---   ---   SO\r\n"
    assert rows[18] == b"09-MAR-26 14:05:45  ---   ---   ---   PS\r\n"


def test_only_a_n595_says_whom_it_is_set_for() -> None:
    assert [nellcor.N595(HEALTHY, model).heading(0).count(b"\r\n") for model in nellcor.MODELS] == [3, 2, 2, 2]
    assert b"NEO " in nellcor.N595(HEALTHY, is_neonatal=True).heading(0)


def test_a_nellcor_honours_xoff_and_keeps_what_is_typed() -> None:
    device = nellcor.N595(HEALTHY)
    device.hear(b"\x13x")
    assert (device.is_paused, device.typed) == (True, b"x")
    device.hear(b"\x11")
    assert not device.is_paused


def test_a_packet_of_the_n200_is_framed_by_its_length() -> None:
    up, down = nellcor.N200(HEALTHY), nellcor.N200(HEALTHY, is_up=False)
    for second in range(0, 500, 10):
        long, short = up.packet(second), down.packet(second)
        assert re.fullmatch(
            rb"\x02R\d{3}S\d{3}P\d{3}L050H120O090A000M015T0{6}Q000\r\n\x03(.)\x03",
            long,
            re.DOTALL,
        )
        assert short == long[:-3] + long[-2:]
    assert any(up.packet(second).endswith(b"\x03\x03\x03") for second in range(0, 500, 10))


def test_an_n200_speaks_every_10_s_and_on_a_change() -> None:
    device = nellcor.N200(OFF, limits_from={52.0: nellcor.Limits(rate_high=130)})
    packets = list(takewhile(lambda packet: packet[0] <= 60, device.packets()))
    assert [second for second, _ in packets] == [0, 10, 20, 30, 35, 39, 40, 50, 52, 60]
    assert [packet[30:33] for _, packet in packets[2:7:2]] == [b"012", b"014", b"015"]
    assert packets[2][1][1:13] == b"R000S000P000"


def test_frames_of_format_7_are_summed() -> None:
    packet = nonin_bluetooth.df7_packet(HEALTHY, 4)
    frames = [packet[at : at + 5] for at in range(0, 125, 5)]
    worked = [bytes.fromhex(text) for text in ("81 12 34 00 C7", "80 12 40 48 1A", "80 12 4A 60 3C")]
    assert all(sum(frame[:4]) % 256 == frame[4] for frame in (*frames, *worked))
    assert [frame[0] & 0x81 for frame in frames] == [0x81] + [0x80] * 24
    assert [frame[1] << 8 | frame[2] for frame in frames] == nonin_bluetooth.pleth(HEALTHY, 4).tolist()
    values = nonin_bluetooth.shown(HEALTHY, 1)
    assert (frames[0][3] << 7 | frames[1][3], frames[2][3]) == (values["HR"], values["SPO2"])
    assert nonin_bluetooth._heart_rate(130) == (0x01, 0x02)


def test_format_7_without_a_finger() -> None:
    off = nonin_bluetooth.df7_packet(OFF, 75)
    assert (off[3], off[8], off[13]) == (0x03, 0x7F, 127)
    assert off[0] == 0x80 | 0x10 | 0x08 | 0x01
    floats = {second: nonin_bluetooth.df7_floats(OFF, 3 * second) for second in (19, 20, 28, 29)}
    assert [by_frame[8] == 127 for by_frame in floats.values()] == [False, False, False, True]  # SpO2-D, held
    assert [by_frame[2] == 127 for by_frame in floats.values()] == [False, True, True, True]


def test_the_pulse_is_green_for_12_frames_a_beat() -> None:
    status = b"".join(nonin_bluetooth.df7_packet(HEALTHY, number)[::5] for number in range(60))
    green = [byte & 0x06 for byte in status]
    starts = [at for at, (before, now) in enumerate(pairwise(green), 1) if now and not before]
    assert all(green[at : at + 12] == [0x02] * 12 for at in starts[:-1])
    assert green[starts[0] + 12] == 0
    yellow = nonin_bluetooth.df7_packet(HEALTHY, 4, [Span("yellow", 0, 9), Span("artifact", 0, 9)])
    assert {byte & 0x26 for byte in yellow[::5]} <= {0x20, 0x26}


def test_a_message_of_format_13_is_the_worked_one() -> None:
    worked = bytes.fromhex("00 02 00 0D 00 0E 20 26 03 09 14 05 09 00 02 00 00 48 00 61 1F 03")
    assert nonin_bluetooth.df13(AT, 2, 0, 72, 97) == worked
    assert nonin_bluetooth.df13(AT, 2, 0, 72, 97, b"\x01\x02")[:6] == bytes.fromhex("00 02 00 0D 00 10")
    off = nonin_bluetooth.SpotCheck(OFF).message(30.0)
    assert off[14:20] == bytes.fromhex("01 00 01 FF 00 7F")


def test_stored_readings_come_first_and_the_clock_is_told() -> None:
    device = nonin_bluetooth.SpotCheck(HEALTHY, stored=(60.0, 86400.0))
    messages = [message for _, message in takewhile(lambda due: due[0] < 40, device.messages())]
    assert [message[6:13].hex() for message in messages] == [
        "20260308140509",
        "20260309140409",
        "20260309140513",
        "20260309140543",
    ]
    assert [message[15] for message in messages] == [0x10, 0x10, 0, 0]
    assert device.hear(b"\x02\x72", 0.0) == b""
    assert device.hear(b"\x00\x03", 0.0) == bytes.fromhex("02 F2 06 1A 03 09 0E 05 09 03")
    device.hear(b"\x06", 0.0)
    assert device.acknowledged == 1


@pytest.mark.parametrize("faults", [(), ("bad_checksum",)])
def test_a_faulty_line_spoils_what_is_said(faults: tuple[str, ...], tmp_path: Path) -> None:
    link = tmp_path / "oximeter"

    def heard() -> bytes:
        with serial.Serial(str(link), timeout=15) as port:
            return bytes(port.read(300))

    async def listen() -> bytes:
        stop = asyncio.Event()
        task = asyncio.create_task(run("nonin_df7", link, HEALTHY, stop, faults, 1.0))
        while not link.is_symlink():
            await asyncio.sleep(0.01)
        data = await asyncio.to_thread(heard)
        stop.set()
        await task
        return data

    data = asyncio.run(listen())
    whole = [number for number in range(60) if nonin_bluetooth.df7_packet(HEALTHY, number) in data]
    assert bool(whole) is not bool(faults)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nellcor_n200"])  # that speaks each 10 s
def test_each_speaks_on_a_line(kind: str, tmp_path: Path) -> None:
    link = tmp_path / "oximeter"

    def heard() -> bytes:
        with serial.Serial(str(link), timeout=15) as port:
            return bytes(port.read(20))

    async def listen() -> bytes:
        stop = asyncio.Event()
        task = asyncio.create_task(run_device(kind, str(link), "healthy", 5, 1.0, stop))
        while not link.is_symlink():
            await asyncio.sleep(0.01)
        data = await asyncio.to_thread(heard)
        stop.set()
        await task
        return data

    assert len(asyncio.run(listen())) == 20
