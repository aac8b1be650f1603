"""The UART model against what RS-232 framing says."""

from __future__ import annotations

import pytest

from simulators.uart import ModelPort, Receiver, Talker, UartSettings, Wire, frame_levels

ALL = bytes(range(256))


def received(
    data: bytes, sent_at: UartSettings, read_at: UartSettings, *, speed: float = 1.0, gap_s: float = 0.0
) -> tuple[bytes, list[bool]]:
    wire = Wire()
    at_s = 0.01
    for byte in data:
        wire.send(bytes([byte]), at_s, sent_at, speed)
        at_s = wire.free_at_s + gap_s
    got = list(Receiver(read_at, 0.0).received(wire, wire.free_at_s + 1.0))
    return bytes(byte for byte, _ in got), [wrong for _, wrong in got]


def test_a_byte_on_the_wire_begins_low_and_has_its_lowest_bit_first() -> None:
    assert frame_levels(0b0100_0001, UartSettings(parity="E")) == (0, 1, 0, 0, 0, 0, 0, 1, 0, 0)
    assert frame_levels(0b0100_0011, UartSettings(data_bits=7, parity="O")) == (0, 1, 1, 0, 0, 0, 0, 1, 0)


@pytest.mark.parametrize("speed", [0.98, 1.0, 1.02])
@pytest.mark.parametrize(
    "settings", [UartSettings(1200), UartSettings(115200, parity="E"), UartSettings(9600, 8, "O", 2)]
)
def test_at_its_own_setting_every_byte_comes_as_it_was(settings: UartSettings, speed: float) -> None:
    assert received(ALL, settings, settings, speed=speed) == (ALL, [False] * 256)


def test_a_wrong_parity_is_an_error_with_each_byte() -> None:
    data, wrong = received(ALL, UartSettings(parity="E"), UartSettings(parity="O"))
    assert data == ALL
    assert all(wrong)


def test_seven_bits_with_parity_read_as_eight_have_it_in_bit_7() -> None:
    data, wrong = received(ALL[:128], UartSettings(data_bits=7, parity="E"), UartSettings())
    assert [byte & 0x7F for byte in data] == list(range(128))
    assert all(byte.bit_count() % 2 == 0 for byte in data)
    assert not any(wrong)


def test_a_parity_bit_of_0_is_a_framing_error_without_parity() -> None:
    data, wrong = received(ALL, UartSettings(parity="E"), UartSettings(), gap_s=0.001)
    assert data == ALL
    assert wrong == [byte.bit_count() % 2 == 0 for byte in ALL]


def test_a_faster_receiver_sees_each_bit_several_times() -> None:
    data, _ = received(b"\x55", UartSettings(38400), UartSettings(115200), gap_s=0.001)
    assert set(data) == {0b0001_1100, 0b1111_1100}  # three samples of each bit, the last before the line rests


def test_at_a_wrong_rate_bytes_are_others() -> None:
    data, wrong = received(b"SPO2=097 HR=072\r\n", UartSettings(9600), UartSettings(19200))
    assert b"SPO2" not in data
    assert any(wrong)


def test_noise_spoils_about_its_share_of_the_bits() -> None:
    device = Talker(lambda number: bytes(100), 0.2)
    port = ModelPort(device, UartSettings(), flip_share=0.001, seed=3)
    port.set(UartSettings())
    data, errors = port.read(20.0)
    spoilt = sum(byte != 0 or bool(wrong) for byte, wrong in zip(data, errors, strict=True))
    assert 40 <= spoilt <= 140  # of about 10,000 bytes of nine sampled bits


def test_what_is_written_is_heard_only_at_the_device_s_own_setting() -> None:
    heard: list[bytes] = []
    device = Talker(lambda number: b"", 10.0)
    device.heard = lambda data, at_s: heard.append(data)  # type: ignore[method-assign]
    port = ModelPort(device, UartSettings(19200, parity="E"))
    for settings in (UartSettings(9600), UartSettings(19200, parity="E")):
        port.set(settings)
        port.write(b"\x1bQ51\r")
        port.read(0.5)
    assert b"".join(heard).endswith(b"\x1bQ51\r")
    assert b"".join(heard).count(b"\x1bQ51\r") == 1
