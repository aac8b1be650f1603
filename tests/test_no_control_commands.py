"""No command that controls or sets a device exists in what reads devices: literal by literal, as documents name them.

Words in docstrings and comments are none. A protocol whose documents name no such command (GE DRI, whose only requests
are for data; MEDIBUS; HL7) has no row; what its session may send is held by tests/adapters/devices/test_quality.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.devices.registry import DRIVERS
from adapters.driver import DeviceDriver

ROOT = Path(__file__).parent.parent
FOLDERS = ("adapters", "edge_agent", "vitalwire")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

HEXADECIMAL = re.compile(r" *(?:[0-9A-Fa-f]{2} *){2,}")  # as `bytes.fromhex` takes it


@dataclass(frozen=True)
class Forbidden:
    """What no literal may hold: `pattern` over its bytes, in files whose name has `in_files` ("": in all)."""

    pattern: bytes
    what: str
    source: str
    in_files: str = ""
    examples: tuple[bytes, ...] = ()


FORBIDDEN = (
    Forbidden(
        rb"REMOTE_CTRL|REMOTE_CFG|REMQUERY|INF_START|INF_STOP|INF_BOLUS|INF_VI_CLEAR",
        "start, stop, bolus, clearing and remote control of an infusion",
        "Alaris/Asena GH, CC, TIVA serial commands, as mdpnp (Asena.java) and infupy (alaris.py) have them",
        examples=(b"!INF_START|1234\r", b"REMOTE_CTRL^ENABLED"),
    ),
    Forbidden(
        rb"INF_(?:RATE|VTBI)\^",
        "a rate or a volume with an argument, which sets it (without one it is read)",
        "Alaris/Asena, as mdpnp (Asena.java) has it",
        examples=(b"!INF_RATE^5.0^ml/h|",),
    ),
    Forbidden(
        rb"\A\x02?[0-9]?(?:MO|RZ|OF|SI|EP|AP|EN|DM|AM|PR|PO|PB|PF|PV|RV|PP|PS)(?:\Z|;)",
        "mode, reset, off, silence, and every programming of a module",
        "Fresenius Orchestra Base and Module DPS, as infupy (fresenius.py) has it",
        in_files="orchestra",
        examples=(b"1PR;d0078", b"PO", b"\x020OF"),
    ),
    Forbidden(
        rb"SET_TIME|DTV\.R02|OPL\.R01",
        "directives that change the analyser: its clock, its operators",
        "POCT1-A as Siemens DCA Vantage 17306 rev. D and Nova have it",
        examples=(b'<DTV.R02><DTV.command_cd V="SET_TIME"/>',),
    ),
    Forbidden(
        rb"\x02\x70[\x02\x04]|\x02\x72\x06",
        "setting the format that the oximeter keeps, and its clock",
        "Nonin 9560 OEM specification 6470-000-01",
        examples=(b"\x02\x70\x02\x02\x0d\x03", b"\x02\x72\x06"),
    ),
    Forbidden(
        rb"(?:MEM|ADMIN):(?!GET\b|GETSLOT|ALIVE\b|VERSION\b)[A-Z]",
        "anything but the reads of its memory and its version",
        "B. Braun BCC I0022_000030 version 4.0, p. 8 to 15",
        examples=(b"MEM:SET", b"ADMIN:RESET"),
    ),
)  # fmt: skip
# Families on whose port there is a menu, or a stream that needs no word: nothing at all is sent to them.
LISTENS_ONLY = ("nellcor", "masimo", "nonin")


def literals(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every text and bytes literal as bytes, without docstrings; parts of an f-string too."""
    tree = ast.parse(path.read_text("utf-8"), str(path))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str):
            yield node.lineno, node.value.encode("utf-8", "surrogatepass")
            if HEXADECIMAL.fullmatch(node.value):
                yield node.lineno, bytes.fromhex(node.value)
        elif isinstance(node.value, bytes):
            yield node.lineno, node.value


def offences(path: Path, row: Forbidden) -> list[str]:
    if row.in_files not in path.name:
        return []
    return [f"{path.name}:{line} {text!r}" for line, text in literals(path) if re.search(row.pattern, text)]


@pytest.mark.parametrize("row", FORBIDDEN, ids=lambda row: row.source[:20])
def test_no_literal_is_a_control_command(row: Forbidden) -> None:
    assert FILES
    assert [offence for path in FILES for offence in offences(path, row)] == [], row.what


@pytest.mark.parametrize("row", FORBIDDEN, ids=lambda row: row.source[:20])
def test_one_that_is_there_would_be_found(row: Forbidden, tmp_path: Path) -> None:
    assert row.examples
    for number, example in enumerate(row.examples):
        path = tmp_path / f"{row.in_files or 'acme'}_{number}.py"
        path.write_text(f'"""A docstring may name INF_START."""\nSENT = {example!r}\n', "utf-8")
        assert len(offences(path, row)) == 1
        path.write_text(f"SENT = bytes.fromhex({example.hex(' ')!r})\n", "utf-8")
        assert len(offences(path, row)) == 1
        path.write_text('"""INF_START SET_TIME MEM:SET"""\nSENT = b"!INF_RATE|8E6D MEM:GET ADMIN:VERSION"\n', "utf-8")
        assert offences(path, row) == []


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_what_a_session_may_send_is_no_control_command(driver: DeviceDriver[Any]) -> None:
    for request in driver.requests:
        for row in FORBIDDEN:
            assert row.in_files not in driver.name or not re.search(row.pattern, request.code), row.what
    assert not driver.requests or not driver.name.startswith(LISTENS_ONLY), f"{driver.name}: nothing is sent to it"
