"""Masimo, Nellcor and Nonin's wireless oximeters: the shape of their bytes, and each of them on a line."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import serial

from simulators import masimo, nellcor, nonin_bluetooth
from simulators.oximeters import KINDS, n200
from simulators.patient import Patient
from simulators.ward import run_device

HEALTHY, OFF = Patient(12345), Patient(12345, "finger_off")  # the finger is out from 20 to 35 s


def test_a_masimo_line_is_the_manuals() -> None:
    line = masimo.Oximeter(HEALTHY).line(0)
    assert re.fullmatch(
        rb"03/09/26 14:05:09 SN=0000012345 SPO2=0\d\d% BPM=\d{3} PI=\d\d\.\d\d% SPCO=--% SPMET=--% DESAT=--"
        rb" PIDELTA=\+-- PVI=--- ALARM=0000 EXC=000800\r\n",
        line,
    )
    off = masimo.Oximeter(OFF)
    assert b"SPO2=---% BPM=--- PI=--.--%" in off.line(25)
    assert off.line(25).endswith(b"EXC=000020\r\n")
    rad8 = masimo.Oximeter(OFF, "rad8").line(25)
    assert b" SPO2=000% BPM=000% DESAT=-- PIDELTA=+-- ALARM=0000 EXC=000020" in rad8


def test_nellcor_rows_stand_under_their_heading() -> None:
    device = nellcor.N595(OFF)
    first = device.row(0).decode("ascii").splitlines()
    assert first[0] == "N-595    VERSION 1.56.00    CRC:XXXX  SpO2 Limit: 90-100%    PR Limit: 50-120BPM"
    assert [line[0] for line in first[1:]] == [" ", "T", "0"]
    assert re.fullmatch(r"09-MAR-26 14:05:09    9\d      \d\d     +\d+ +", first[3])
    assert b"CRC" in device.row(25)
    assert b"CRC" not in device.row(24)
    assert device.row(12).rstrip() == b"09-MAR-26 14:05:33   ---     ---     ---    SO"
    assert device.row(18).rstrip() == b"09-MAR-26 14:05:45     0       0     ---    PS"


def test_a_nellcor_value_in_alarm_has_a_star() -> None:
    device = nellcor.N595(Patient(7, "desaturation"))
    rows = [device.row(number) for number in range(1, 25 * 4) if number % 25]
    assert any(re.search(rb" 8\d\* +\d+ +\d+ +SL ", row) for row in rows)


def test_an_n200_sends_every_10_s_and_on_change() -> None:
    utterances = n200(OFF)
    times = []
    for due_s, packet in utterances:
        if due_s > 60:
            break
        times.append(due_s)
        assert packet.startswith(b"\x02R")
        assert packet[44:47] == b"\r\n\x03"
        assert len(packet) == 49
    # Without the finger from 20 s, with it from 35 s, with a pulse 4 s later.
    assert times == [0, 10, 20, 30, 35, 39, 40, 50, 60]
    assert len(nellcor.N200(OFF, is_up=False).packet(0)) == 48
    assert nellcor.N200(OFF).packet(25.0)[1:13] == b"R000S000P000"


def test_a_packet_of_format_7() -> None:
    packet = nonin_bluetooth.df7_packet(HEALTHY, 4)
    frames = [packet[at : at + 5] for at in range(0, 125, 5)]
    assert all(sum(frame[:4]) % 256 == frame[4] for frame in frames)
    assert [frame[0] & 0x81 for frame in frames] == [0x81] + [0x80] * 24
    assert frames[2][3] == round(HEALTHY.numbers(1)["spo2"] or 0)
    assert [frame[1] << 8 | frame[2] for frame in frames] == nonin_bluetooth.pleth(HEALTHY, 4).tolist()
    off = nonin_bluetooth.df7_packet(OFF, 75)
    assert (off[3], off[8], off[13]) == (0x03, 0x7F, 127)


def test_a_message_of_format_13_is_the_worked_one() -> None:
    at = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)
    assert nonin_bluetooth.df13(at, 2, 0, 72, 97) == bytes.fromhex("0002000D000E202603091405090002000048 0061 1F03")
    assert nonin_bluetooth.SpotCheck(OFF).message(30.0)[14:16] == b"\x01\x00"


@pytest.mark.parametrize("kind", KINDS)
def test_each_speaks_on_a_line(kind: str, tmp_path: Path) -> None:
    link = tmp_path / "oximeter"

    def heard() -> bytes:
        with serial.Serial(str(link), timeout=15) as port:
            return bytes(port.read(20))

    async def run() -> bytes:
        stop = asyncio.Event()
        task = asyncio.create_task(run_device(kind, str(link), "healthy", 5, 1.0, stop))
        while not link.is_symlink():
            await asyncio.sleep(0.01)
        data = await asyncio.to_thread(heard)
        stop.set()
        await task
        return data

    if kind in ("nonin_df13", "nellcor_n200"):  # half a minute, ten seconds: what they say is tested above
        _, first = next(KINDS[kind](HEALTHY, datetime.now(UTC)))
        assert len(first) > 20
    else:
        assert len(asyncio.run(run())) == 20
