from __future__ import annotations

from vitalwire.doctor.port.line_settings import LineSettings, Sample, views


def test_a_setting_is_written_as_people_write_it() -> None:
    assert str(LineSettings(19200, 7, "E")) == "19200 7E1"


def test_seven_bits_are_listened_to_as_8n1_and_eight_with_parity_as_they_are() -> None:
    assert LineSettings(9600, 7, "O").listened == LineSettings(9600)
    assert LineSettings(9600, 8, "O").listened == LineSettings(9600, 8, "O")


def test_bytes_that_came_at_8n1_are_seen_as_seven_bits_with_each_parity_too() -> None:
    raw, even, odd = views(Sample(LineSettings(9600), bytes((0xC1, 0x41)), bytes(2)))
    assert raw.data == b"\xc1A"
    assert (str(even.settings), even.data, even.errors) == ("9600 7E1", b"AA", b"\1\0")
    assert (str(odd.settings), odd.data, odd.errors) == ("9600 7O1", b"AA", b"\0\1")


def test_bytes_that_came_with_parity_are_seen_as_they_are() -> None:
    (only,) = views(Sample(LineSettings(9600, 8, "E"), b"A", b"\1"))
    assert only.error_share == 1.0
