from __future__ import annotations

import os
import re
import select
from pathlib import Path

import pytest

from simulators.nonin import PACKETS_A_SECOND, Port, ascii_line, df2_packet
from simulators.patient import Patient


def test_the_line_is_the_manuals() -> None:
    assert re.fullmatch(rb"SPO2=0\d\d HR=\d{3}\r\n", ascii_line(Patient(1), 5.0))
    assert ascii_line(Patient(1, "finger_off"), 25.0) == b"SPO2=--- HR=---\r\n"


def test_packets_have_the_shape_and_the_sums_of_data_format_2() -> None:
    patient = Patient(2)
    for number in range(30):
        packet = df2_packet(patient, number)
        frames = [packet[i : i + 5] for i in range(0, 125, 5)]
        assert len(packet) == 125
        assert all(f[0] == 1 and f[1] & 0x80 and f[4] == sum(f[:4]) % 256 for f in frames)
        assert [f[1] & 1 for f in frames] == [1] + [0] * 24  # SYNC
        table = [f[3] for f in frames]
        numbers = patient.numbers(number // PACKETS_A_SECOND)
        assert (table[0] << 7 | table[1]) == round(numbers["pr"] or 0)
        assert table[2] == round(numbers["spo2"] or 0)
    assert df2_packet(patient, 29) == df2_packet(Patient(2), 29)


def test_a_beat_is_flagged_for_12_frames() -> None:
    stream = b"".join(df2_packet(Patient(2), n) for n in range(60))
    green = [bool(status & 2) for status in stream[1::5]]
    rises = [i for i in range(1, len(green) - 12) if green[i] and not green[i - 1]]
    assert all(green[i : i + 13] == [True] * 12 + [False] for i in rises)
    assert len(rises) == pytest.approx((Patient(2).numbers(10)["pr"] or 0) / 3, abs=2)


def test_without_a_finger_values_are_missing_and_the_sensor_alarms() -> None:
    packet = df2_packet(Patient(1, "finger_off"), 25 * PACKETS_A_SECOND)
    assert (packet[3] << 7 | packet[8], packet[13]) == (511, 127)
    assert all(status & 0x08 for status in packet[1::5])
    assert len(set(packet[2::5])) == 1


def test_a_line_keeps_its_name_and_loses_what_nobody_reads(tmp_path: Path) -> None:
    link = tmp_path / "serial" / "bed-01"
    with Port(link) as port:
        assert not port.write(b"nobody is there")
        reader = os.open(link, os.O_RDWR | os.O_NOCTTY)
        assert port.write(b"\x01\x81\x0d\x0a\x00")
        assert select.select([reader], [], [], 5)[0]
        assert os.read(reader, 100) == b"\x01\x81\x0d\x0a\x00"  # raw: nothing is translated, no echo
    assert not link.is_symlink()
    with pytest.raises(OSError, match="Input/output error"):
        os.write(reader, b"x")
    os.close(reader)
    with port:
        again = os.open(link, os.O_RDWR | os.O_NOCTTY)
        assert port.write(b"back")
        assert os.read(again, 100) == b"back"
        os.close(again)


def test_a_link_that_was_left_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    link, file = tmp_path / "left", tmp_path / "file"
    link.symlink_to("/nowhere")
    with Port(link):
        assert link.exists()
    file.write_text("mine")
    with pytest.raises(FileExistsError), Port(file):
        pass
    assert file.read_text() == "mine"


def test_a_full_line_loses_bytes_and_does_not_block(tmp_path: Path) -> None:
    with Port(tmp_path / "bed") as port:
        reader = os.open(tmp_path / "bed", os.O_RDWR | os.O_NOCTTY)
        assert not all(port.write(bytes(1000)) for _ in range(1000))
        os.close(reader)
