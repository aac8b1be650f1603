"""Masimo, Nellcor and Nonin's wireless oximeters, each on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

from simulators import masimo, nellcor, nonin_bluetooth
from simulators.faults import FaultyWire
from simulators.nonin import Port
from simulators.patient import Patient

POLL_S = 0.02
BEHIND_MAX_S = 1.0  # what is later than this is not made up for


class Device:
    """What a device says: each piece of bytes with the second in which it is due, and its answer to what comes."""

    def __init__(self, due: Iterator[tuple[float, bytes]], hear: Callable[[bytes, float], bytes] | None = None) -> None:
        self.due = due
        self._hear = hear

    def hear(self, data: bytes, t_s: float) -> bytes:
        """Its answer; most have none."""
        return self._hear(data, t_s) if self._hear else b""


def _masimo(patient: Patient, at: datetime, model: str) -> Device:
    oximeter = masimo.Oximeter(patient, model, at)
    return Device((float(second), oximeter.line(second)) for second in count())


def _n595(patient: Patient, at: datetime) -> Device:
    oximeter = nellcor.N595(patient, began_at=at)

    def rows() -> Iterator[tuple[float, bytes]]:
        for number in count():
            row = oximeter.row(number)
            yield number * nellcor.ROW_S, b"" if oximeter.is_paused else row

    def hear(data: bytes, _: float) -> bytes:
        oximeter.hear(data)
        return b""

    return Device(rows(), hear)


def _n200(patient: Patient, _: datetime) -> Device:
    return Device(nellcor.N200(patient).packets())


def _df7(patient: Patient, at: datetime) -> Device:
    packets = (
        (number / nonin_bluetooth.PACKETS_A_SECOND, nonin_bluetooth.df7_packet(patient, number)) for number in count()
    )
    return Device(packets, nonin_bluetooth.SpotCheck(patient, at).hear)


def _df13(patient: Patient, at: datetime) -> Device:
    oximeter = nonin_bluetooth.SpotCheck(patient, at, stored=(7200.0, 3600.0))
    return Device(oximeter.messages(), oximeter.hear)


KINDS: dict[str, Callable[[Patient, datetime], Device]] = {
    "masimo": lambda patient, at: _masimo(patient, at, "rad87"),
    "masimo-rad8": lambda patient, at: _masimo(patient, at, "rad8"),
    "nellcor_n595": _n595,
    "nellcor_n200": _n200,
    "nonin_df7": _df7,
    "nonin_df13": _df13,
}


async def run(
    kind: str, link: Path, patient: Patient, stop: asyncio.Event, faults: Collection[str] = (), share: float = 0.01
) -> None:
    """A device at a pseudo-terminal of this name, until `stop`; its clock is this machine's.

    `faults` are of `faults.FAULTS`, on this share of what it says.
    """
    device = KINDS[kind](patient, datetime.now().astimezone().replace(microsecond=0))
    wire = FaultyWire(faults, share, patient.seed)
    with Port(link) as port:
        begin = time.monotonic()
        for due_s, data in device.due:
            while not stop.is_set() and (now_s := time.monotonic() - begin) < due_s:
                if answer := device.hear(port.read(), now_s):
                    port.write(answer)
                await asyncio.sleep(min(POLL_S, due_s - now_s))
            if stop.is_set():
                return
            if patient.is_silent(due_s) or time.monotonic() - begin > due_s + BEHIND_MAX_S:
                continue
            spoilt = wire.spoilt(data)
            port.write(data if spoilt is None else spoilt)
