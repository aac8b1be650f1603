"""Asks a silent line what the drivers' own sessions ask when a link stands, and nothing else.

What is sent is one of `DeviceDriver.requests`: identification, status and data requests that the family's document
calls harmless. What a session would send beside them, acknowledgements above all, is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from adapters.driver import DeviceDriver
from adapters.session import Moment, Session, Step
from vitalwire.doctor.port.examination import Examination
from vitalwire.doctor.port.line_settings import LineSettings, Sample, of_driver
from vitalwire.doctor.port.listening import READ_S, Line, Listened, Progress
from vitalwire.doctor.port.reading import Reading, count_pieces, reader_of

ANSWER_S = 2.5  # from a request on
HEARING_S = 6.0  # where something is answered
FRAMES_ENOUGH = 3
RATES_BY_USE = (9600, 19200, 38400, 115200, 57600, 4800, 2400, 1200)
PARITIES = "NEO"
UTC_US = 1_700_000_000_000_000


def may_be_sent(driver: DeviceDriver[Any], data: bytes) -> bool:
    """Whether it is one of the driver's requests."""
    return any(request.code and request.code in data for request in driver.requests)


def drivers_that_ask(drivers: Sequence[DeviceDriver[Any]]) -> list[DeviceDriver[Any]]:
    """Those that have something to ask on a serial line."""
    return [driver for driver in drivers if driver.serial is not None and driver.requests and driver.session]


def probes(
    drivers: Sequence[DeviceDriver[Any]], rates: Sequence[int]
) -> Iterator[tuple[DeviceDriver[Any], LineSettings]]:
    """Each family at its own setting, then at the other rates, then with other parities."""
    asking = drivers_that_ask(drivers)
    own = {driver.name: of_driver(driver.serial) for driver in asking if driver.serial is not None}
    parities = {
        name: [first.parity, *(each for each in PARITIES if each != first.parity)] for name, first in own.items()
    }
    yield from ((driver, own[driver.name]) for driver in asking)
    for place in range(3):
        for rate in sorted(rates, key=lambda each: RATES_BY_USE.index(each) if each in RATES_BY_USE else len(rates)):
            for driver in asking:
                settings = replace(own[driver.name], baud=rate, parity=parities[driver.name][place])
                if settings != own[driver.name]:
                    yield driver, settings


def probe(
    line: Line, examination: Examination, now_s: Callable[[], float], limit_s: float,
    progress: Progress = lambda _: None,
) -> None:  # fmt: skip
    """Ask until something is read or the time is over; what came is counted in the examination."""
    ends_s = now_s() + limit_s
    for driver, settings in probes(examination.drivers, examination.rates):
        if now_s() >= ends_s or examination.candidates():
            return
        if _ask(driver, settings, line, examination, now_s, progress).valid and examination.knows_rate:
            for parity in PARITIES.replace(settings.parity, ""):  # whether it answers these too
                _ask(driver, replace(settings, parity=parity), line, examination, now_s, progress)


def _ask(
    driver: DeviceDriver[Any], settings: LineSettings, line: Line, examination: Examination,
    now_s: Callable[[], float], progress: Progress,
) -> Reading:  # fmt: skip
    """One session at work; it ends soon where nothing is answered."""
    assert driver.session is not None
    if not examination.knows_rate:
        settings = LineSettings(0)
    line.set(settings)
    session: Session = driver.session(driver.settings())
    reading = Reading(driver, settings)
    read = reader_of(driver)
    began_s = now_s()
    heard = bytearray()
    wake_at_s: float | None = None

    def moment() -> Moment:
        return Moment(now_s(), UTC_US + int((now_s() - began_s) * 1e6))

    def take(step: Step) -> float | None:
        if step.send and may_be_sent(driver, step.send):
            line.write(step.send)
            examination.asked_titles[driver.title] = None
        count_pieces(reading, step.pieces, read, is_from_start=True)
        return step.wake_at_s

    wake_at_s = take(session.opened(moment()))
    while now_s() - began_s < (HEARING_S if heard else ANSWER_S) and reading.valid < FRAMES_ENOUGH:
        progress(Listened(settings, len(heard)))
        data, errors = line.read(READ_S)
        if data:
            heard += data
            reading.bytes += len(data)
            reading.errors += sum(errors)
            wake_at_s = take(session.feed(data, moment()))
        elif wake_at_s is not None and now_s() >= wake_at_s:
            wake_at_s = take(session.tick(moment()))
    examination.add_answer(reading, Sample(settings, bytes(heard), bytes(len(heard)), now_s() - began_s))
    return reading
