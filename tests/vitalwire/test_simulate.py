"""`vitalwire simulate`: what cannot be simulated is one line."""

from __future__ import annotations

import re
import socket

import pytest
from typer.testing import CliRunner

from schemas.errors import VitalwireError
from vitalwire.__main__ import app
from vitalwire.embedded.services import free_port


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ward", "no transport: give serial_dir, mllp or mqtt"),
        ("ward --beds 0 --mllp 127.0.0.1:1", "beds from 1, rate above 0"),
        ("ward --mllp ward-3", "'ward-3' is no address: write host:port"),
        ("ward --mllp 127.0.0.1:1 --scenario worse", "no scenario 'worse'"),
        ("hospital his", "'his' is no address: write host:port"),
        ("hospital 127.0.0.1:1 --beds 1", "two beds or more"),
        ("hospital 127.0.0.1:1 --late 2", "shares are from 0 to 1"),
        ("emr --mllp 0.0.0.0:2575", "0.0.0.0:2575 is not on loopback"),
        ("emr --fhir emr", "'emr' is no address: write host:port"),
        ("emr --fault broken", "no fault 'broken': none or slow"),
        ("emr --table no/such/folder/emr.sqlite", "no/such/folder/emr.sqlite: unable to open"),
        ("device toaster /tmp/x", "give one of nonin_ascii, nonin_df2, datex_dri, intellivue-mib, masimo"),
    ],
)
def test_what_cannot_be_simulated_is_one_line(words: str, message: str) -> None:
    result = CliRunner().invoke(app, ["simulate", *words.split()])
    assert isinstance(result.exception, VitalwireError)
    assert str(result.exception).startswith(message)


def test_an_admission_office_that_nobody_hears_ends_all_the_same() -> None:
    words = f"simulate hospital 127.0.0.1:{free_port()} --seconds 0.5"
    result = CliRunner().invoke(app, words.split())
    assert (result.exit_code, result.stdout) == (0, "")


def test_an_emr_tells_where_it_listens() -> None:
    result = CliRunner().invoke(app, ["simulate", "emr", "--fault", "slow=0.02", "--seconds", "0.2"])
    assert result.exit_code == 0
    assert re.fullmatch(
        r"FHIR: http://127\.0\.0\.1:\d+\nMLLP: 127\.0\.0\.1:\d+\ntable: http://127\.0\.0\.1:\d+ \(Ctrl-C ends it\)\n",
        result.stdout,
    )


def test_an_emr_whose_port_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = f"simulate emr --mllp 127.0.0.1:{taken.getsockname()[1]} --seconds 0.2"
        result = CliRunner().invoke(app, words.split())
    assert isinstance(result.exception, VitalwireError)
    assert "address already in use" in str(result.exception)
