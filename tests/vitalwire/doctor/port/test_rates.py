from __future__ import annotations

import pytest

from simulators.uart import ModelPort, Talker, UartSettings
from vitalwire.doctor.port.line_settings import RATES, LineSettings, Sample
from vitalwire.doctor.port.rates import slower_rate

TEXT = b"A sentence with enough bits of every kind 0123456789.\r\n"


def heard(true_baud: int, baud: int) -> Sample:
    port = ModelPort(Talker(lambda number: TEXT, 1.0), UartSettings(true_baud))
    port.set(UartSettings(baud))
    data, errors = port.read(0.9)
    return Sample(LineSettings(baud), data, errors, 0.9)


@pytest.mark.parametrize("true_baud", [19200, 38400, 57600, 115200])
def test_bytes_at_the_fastest_rate_tell_how_much_slower_the_sender_is(true_baud: int) -> None:
    assert slower_rate(heard(true_baud, 115200), RATES) == true_baud


@pytest.mark.parametrize("true_baud", [1200, 2400, 4800, 9600])
def test_what_is_more_than_nine_times_slower_is_found_in_two_steps(true_baud: int) -> None:
    assert slower_rate(heard(true_baud, 115200), RATES) == 9600
    assert slower_rate(heard(true_baud, 9600), RATES) == true_baud


def test_too_few_bytes_tell_nothing() -> None:
    assert slower_rate(Sample(LineSettings(115200), b"\0\0", b"\1\1"), RATES) is None
