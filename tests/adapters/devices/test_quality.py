"""Every registered driver says of all seven aspects whether it carries them, and what its session may send."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.devices.registry import DRIVERS
from adapters.quality import Quality, State
from adapters.session import Moment, Outcome, Step
from schemas.report import Kind
from simulators.bbraun_bcc import stuffed
from tests.adapters.devices.test_drivers import (
    FOLDERS,
    FRAMES_ON_THE_WIRE,
    AnyDriver,
    each_driver,
    frame_of,
    plain_cases,
    read_case,
)

ASPECTS = ("numerics", "waves", "alarms", "settings", "clock", "no_reading", "disconnect")
KIND_OF_ASPECT = {"waves": Kind.WAVEFORM, "alarms": Kind.ALARM, "settings": Kind.SETTING, "numerics": Kind.METRIC}
REASON_CHARS_MAX = 250
# What a protocol answers with, by the name of the session's module: no request, whatever the bytes.
ACKNOWLEDGEMENTS = {
    "adapters.sessions.mllp": (b"\x0bMSH",),
    "adapters.sessions.astm": (b"\x06", b"\x15", b"\x04"),  # ACK, NAK, EOT
    "adapters.sessions.bbraun_bcc": (b"\x06", b"\x15"),
    "adapters.sessions.orchestra": (b"\x06", b"\x14", b"\x15"),  # ACK, DC4 upon ENQ, NAK
    "adapters.sessions.poct1a": (b"<ACK.R01>", b"\x0b<ACK.R01>"),
}
# How a request's code goes over the line, where that is not as it is.
CODE_ON_THE_WIRE: dict[str, Callable[[bytes], bytes]] = {"bbraun_bcc": stuffed}
WITH_SESSIONS = [driver for driver in DRIVERS if driver.session is not None]
each_session = pytest.mark.parametrize("driver", WITH_SESSIONS, ids=lambda driver: driver.name)


def quality_of(driver: AnyDriver) -> Quality:
    assert driver.quality is not None, f"{driver.name} does not say what it carries: DeviceDriver.quality"
    return driver.quality


@cache
def kinds_in_cases(name: str) -> frozenset[Kind]:
    """What the reports of a driver's cases are."""
    folders = [folder for folder in FOLDERS if folder.parent.name == name]
    read = [folder for folder in folders if "reports" in json.loads((folder / "expected.json").read_text("utf-8"))]
    return frozenset(report.kind for folder in read for report in read_case(folder))


@each_driver
def test_it_states_all_seven_aspects(driver: AnyDriver) -> None:
    aspects = quality_of(driver).aspects()
    assert tuple(aspects) == ASPECTS
    for name, finding in aspects.items():
        assert len(finding.reason) <= REASON_CHARS_MAX, name
        assert finding.reason == finding.reason.strip(), name
        assert finding.state is State.DONE or len(finding.reason) > 10, name


@each_driver
def test_what_is_done_is_in_one_of_its_cases(driver: AnyDriver) -> None:
    """Or in one of its family's, where the same device speaks over two links; what is exempt is in none of its own."""
    family = {other.name for other in DRIVERS if other.read.__module__ == driver.read.__module__}
    own = kinds_in_cases(driver.name)
    of_family = frozenset[Kind]().union(*map(kinds_in_cases, family))
    aspects = quality_of(driver).aspects()
    for name, kind in KIND_OF_ASPECT.items():
        state = aspects[name].state
        assert state is not State.DONE or kind in of_family, f"{driver.name}: {name} is done and no case shows it"
        assert state is not State.EXEMPT or kind not in own, f"{driver.name}: {name} is exempt and a case has it"


@each_driver
def test_what_it_may_send_has_a_source(driver: AnyDriver) -> None:
    assert len({request.code for request in driver.requests}) == len(driver.requests)
    assert all(request.name and request.code and request.source for request in driver.requests)
    assert driver.session is not None or not driver.requests


def _is_request_or_answer(driver: AnyDriver, sent: bytes) -> bool:
    assert driver.session is not None
    module = type(driver.session(driver.settings())).__module__
    on_the_wire = CODE_ON_THE_WIRE.get(driver.name, bytes)
    if any(on_the_wire(request.code) in sent for request in driver.requests):
        return True
    return any(sent.startswith(begin) for begin in ACKNOWLEDGEMENTS.get(module, ()))


@each_session
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_session_sends_nothing_but_its_requests_and_answers(driver: AnyDriver, data: st.DataObject) -> None:
    """Whatever comes and however long it lasts: random bytes, frames of its cases, silence, a cut, what was kept."""
    assert driver.session is not None
    session = driver.session(driver.settings())
    wrapped = FRAMES_ON_THE_WIRE.get(driver.name, bytes)
    now_s, frames = 0.0, [wrapped(frame_of(driver, case)) for case in plain_cases(driver)]
    steps, kept = [session.opened(_moment(now_s))], set[int]()
    for _ in range(data.draw(st.integers(1, 12))):
        act = data.draw(st.sampled_from(("bytes", "frame", "tick", "kept")))
        if act == "bytes":
            steps.append(session.feed(data.draw(st.binary(max_size=80)), _moment(now_s)))
        elif act == "frame":
            steps.append(session.feed(data.draw(st.sampled_from(frames)), _moment(now_s)))
        elif act == "tick":
            now_s = max(now_s + data.draw(st.floats(0.01, 120)), _wake_at_s(steps) or 0.0)
            steps.append(session.tick(_moment(now_s)))
        else:
            outcome = data.draw(st.sampled_from(Outcome))
            steps += [session.kept(token, outcome, "", _moment(now_s)) for token in _tokens(steps) - kept]
            kept = _tokens(steps)
    steps.append(session.closed(data.draw(st.booleans()), _moment(now_s)))
    for step in steps:
        if step.send:
            assert _is_request_or_answer(driver, step.send), f"{driver.name} sends {step.send.hex(' ')}"


def _tokens(steps: list[Step]) -> set[int]:
    return {piece.token for step in steps for piece in step.pieces if piece.token is not None}


def _moment(now_s: float) -> Moment:
    return Moment(now_s, 1_790_000_000_000_000 + round(now_s * 1_000_000))


def _wake_at_s(steps: list[Step]) -> float | None:
    return steps[-1].wake_at_s
