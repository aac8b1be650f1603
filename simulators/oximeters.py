"""Oximeters that speak by themselves, at a pseudo-terminal: when each of them does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from simulators import masimo, nellcor, nonin_bluetooth
from simulators.nonin import Port
from simulators.patient import Patient

WAIT_MAX_S = 0.25  # so that an end is seen
Utterances = Iterator[tuple[float, bytes]]  # when, in seconds since the beginning, and what


def _masimo(patient: Patient, began_at: datetime, model: str) -> Utterances:
    device = masimo.Oximeter(patient, model, began_at)
    second = 0
    while True:
        yield float(second), device.line(second)
        second += 1


def _n595(patient: Patient, began_at: datetime) -> Utterances:
    device = nellcor.N595(patient, began_at)
    number = 0
    while True:
        yield number * nellcor.ROW_S, device.row(number)
        number += 1


def n200(patient: Patient) -> Utterances:
    """A packet every 10 s, and in the second in which alarms or status change."""
    device = nellcor.N200(patient)
    before: tuple[int, int] | None = None
    second = 0
    while True:
        state = device.state(second)
        if state != before or second % nellcor.N200_S == 0:
            yield float(second), device.packet(second)
        before = state
        second += 1


def _df7(patient: Patient) -> Utterances:
    number = 0
    while True:
        yield number / nonin_bluetooth.PACKETS_A_SECOND, nonin_bluetooth.df7_packet(patient, number)
        number += 1


def _df13(patient: Patient, began_at: datetime) -> Utterances:
    device = nonin_bluetooth.SpotCheck(patient, began_at)
    number = 0
    while True:
        yield number * nonin_bluetooth.MEASUREMENT_S, device.message(number * nonin_bluetooth.MEASUREMENT_S)
        number += 1


# By the name of the driver that reads it, but for the models of one.
KINDS: dict[str, Callable[[Patient, datetime], Utterances]] = {
    "masimo": lambda patient, began_at: _masimo(patient, began_at, "radical7"),
    "masimo-rad8": lambda patient, began_at: _masimo(patient, began_at, "rad8"),
    "nellcor_n595": _n595,
    "nellcor_n200": lambda patient, began_at: n200(patient),
    "nonin_df7": lambda patient, began_at: _df7(patient),
    "nonin_df13": _df13,
}


async def run(kind: str, link: Path, patient: Patient, stop: asyncio.Event) -> None:
    """One of `KINDS` at a pseudo-terminal of this name until `stop`; its clock is this machine's."""
    begin = time.monotonic()
    with Port(link) as port:
        for due_s, data in KINDS[kind](patient, datetime.now().astimezone().replace(microsecond=0)):
            while not stop.is_set() and time.monotonic() - begin < due_s:
                await asyncio.sleep(min(WAIT_MAX_S, max(0.0, due_s - (time.monotonic() - begin))))
            if stop.is_set():
                return
            if not patient.is_silent(due_s):
                port.write(data)
            await asyncio.sleep(0)
