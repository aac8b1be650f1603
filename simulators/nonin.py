"""A Nonin pulse oximeter on a pseudo-terminal.

- ASCII: operator's manuals 8500 ("Serial Output") and Avant 9600 (5.3 "Real-Time Patient Data Output"): 9600 baud, a
  line a second, `SPO2=XXX HR=YYY`, CR LF, three dashes for no reading. The header at power-up is left out: no manual
  says how it looks.
- Data Format 2: OEM III and Xpod "Specification and Technical Information", "Serial Data Format #2": 75 frames a
  second, 25 to a packet: 01, status, pleth, a byte of the packet's table, sum of the four modulo 256.
"""

from __future__ import annotations

import os
import select
import tty
from pathlib import Path

import numpy as np

from simulators.patient import Patient

FRAMES, SAMPLE_HZ = 25, 75  # frames of a packet, and a second
PACKETS_A_SECOND = SAMPLE_HZ // FRAMES
# Status byte. GPRF, good perfusion, stands in the 12 frames (160 ms) after each beat.
_ALWAYS, _OOT, _SNSA, _GPRF, _SYNC = 0x80, 0x10, 0x08, 0x02, 0x01
_PERFUSION_FRAMES = 12
_HR_MISSING, _SPO2_MISSING = 511, 127
_REVISION = 48
_PLETH_LOW, _PLETH_SPAN = 20, 215


def shown(patient: Patient, t_s: float) -> dict[str, str | None]:
    """What the display says: SPO2 and HR as three digits, None for dashes."""
    numbers = patient.numbers(t_s)
    pairs = (("SPO2", numbers["spo2"]), ("HR", numbers["pr"]))
    return {name: None if value is None else f"{value:03.0f}" for name, value in pairs}


def ascii_line(patient: Patient, t_s: float) -> bytes:
    """The line of one second."""
    return (" ".join(f"{name}={text or '---'}" for name, text in shown(patient, t_s).items()) + "\r\n").encode("ascii")


def df2_packet(patient: Patient, number: int) -> bytes:
    """The packet `number` since power-up: a third of a second."""
    display = shown(patient, number // PACKETS_A_SECOND)
    rate, spo2 = int(display["HR"] or _HR_MISSING), int(display["SPO2"] or _SPO2_MISSING)
    hr = [rate >> 7, rate & 0x7F]
    # Frames 1 to 25: HR, SpO2, revision, reserved, SpO2-D, fast, beat to beat, E-HR, E-SpO2, E-SpO2-D, HR-D, E-HR-D.
    table = [*hr, spo2, _REVISION, *[0] * 4, *[spo2] * 3, 0, 0, *hr, spo2, spo2, 0, 0, *hr, *hr, 0, 0]
    t = (number * FRAMES + np.arange(FRAMES)) / SAMPLE_HZ
    pleth = np.rint(_PLETH_LOW + _PLETH_SPAN * patient.pleth(t)).astype(int)
    beating = np.floor(patient.beats(t)) > np.floor(patient.beats(t - _PERFUSION_FRAMES / SAMPLE_HZ))
    packet = bytearray()
    for i in range(FRAMES):
        status = _ALWAYS | (_SYNC if i == 0 else 0)
        if not patient.has_finger(float(t[i])):
            status |= _SNSA | _OOT
        elif beating[i]:
            status |= _GPRF
        frame = (0x01, status, int(pleth[i]), table[i])
        packet += bytes((*frame, sum(frame) & 0xFF))
    return bytes(packet)


class Port:
    """A serial line, by the name of a link. One that a killed run left is replaced, a file is not (FileExistsError)."""

    def __init__(self, link: Path) -> None:
        self._link = link

    def __enter__(self) -> Port:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        if self._link.is_symlink():
            self._link.unlink()
        self._link.parent.mkdir(parents=True, exist_ok=True)
        self._link.symlink_to(os.ttyname(slave))
        os.close(slave)  # so that the line hangs up where nobody has it open
        return self

    def __exit__(self, *_: object) -> None:
        self._link.unlink(missing_ok=True)
        os.close(self._master)

    def write(self, data: bytes) -> bool:
        """Send; False where nobody has the line open or its buffer is full: then bytes are lost, as on a real one."""
        line = select.poll()
        line.register(self._master, select.POLLOUT)
        if any(event & select.POLLHUP for _, event in line.poll(0)):
            return False
        try:
            return os.write(self._master, data) == len(data)
        except BlockingIOError:
            return False

    def read(self) -> bytes:
        """What came; b"" where nothing did or nobody has the line open."""
        try:
            return os.read(self._master, 4096)
        except OSError:
            return b""
