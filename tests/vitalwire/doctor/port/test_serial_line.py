from __future__ import annotations

import os
import subprocess
import sys
import tty
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import UserError
from vitalwire.doctor.port.line_settings import LineSettings
from vitalwire.doctor.port.serial_line import obeys_settings, opened, unmarked


@given(st.lists(st.tuples(st.integers(0, 255), st.booleans())), st.integers(1, 5))
def test_marks_of_the_kernel_come_off_whatever_the_chunks(sent: list[tuple[int, bool]], size: int) -> None:
    marked = b"".join(
        b"\xff\0" + bytes([byte]) if wrong else bytes([byte]) * (2 if byte == 0xFF else 1) for byte, wrong in sent
    )
    data, errors, rest = b"", b"", b""
    for at in range(0, len(marked), size):
        found, wrong, rest = unmarked(rest + marked[at : at + size])
        data += found
        errors += wrong
    assert (list(zip(data, map(bool, errors), strict=True)), rest) == (sent, b"")


def test_bytes_come_through_a_real_port_as_they_are() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    with opened(os.ttyname(theirs), insecure=False) as line:
        line.set(LineSettings(0))
        os.write(ours, bytes(range(256)))
        assert line.read(1.0) == (bytes(range(256)), bytes(256))
        assert line.read(0.01) == (b"", b"")
        line.write(b"?")
        assert os.read(ours, 10) == b"?"
    os.close(ours)
    os.close(theirs)


def test_a_port_that_is_lost_is_said_with_its_remedy() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    with pytest.raises(UserError, match="was lost while it was listened to"):  # noqa: PT012, SIM117
        with opened(os.ttyname(theirs), insecure=False) as line:
            os.close(theirs)
            os.close(ours)
            line.read(1.0)


def test_a_port_that_the_agent_holds_is_left_to_it(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    held = "import sys, time; port = open(sys.argv[1], 'r+b', 0); print(flush=True); sys.stdin.read()"
    agent = subprocess.Popen(
        [sys.executable, "-c", held, name, "vitalwire", "edge", "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert agent.stdout is not None
    agent.stdout.readline()
    try:
        with pytest.raises(UserError, match=r"the running agent \(pid \d+\) holds"), opened(name, insecure=False):
            pass
    finally:
        agent.communicate(b"")
    os.close(ours)
    os.close(theirs)


def test_a_port_that_has_no_rate_is_known() -> None:
    assert obeys_settings("rfc2217://10.0.0.7:4001")
    assert obeys_settings("/dev/ttyUSB0")
    assert not obeys_settings("socket://10.0.0.7:4001")
    assert not obeys_settings("/dev/pts/3")
