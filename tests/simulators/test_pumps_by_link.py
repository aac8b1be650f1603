"""A simulated analyser that dials our listener, and pumps that our links open: by real sockets and lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from edge_agent.config import SerialLink
from edge_agent.links.address import split_address
from edge_agent.links.serial import SerialPort
from simulators.patient import Patient
from simulators.poct1a import MODELS, Analyser, Spoiler, converse
from simulators.ward import run_device
from tests.edge_agent.links.scene import Agent, eventually, listening, running


def agent(name: str) -> Agent:
    driver: Any = DRIVER_BY_NAME[name]
    return Agent(make_session=lambda: driver.session(driver.settings()))


def within(seconds: float, scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(seconds):
            await scene()

    asyncio.run(limited())


@pytest.mark.parametrize("name", MODELS)
def test_results_come_once_they_are_kept(name: str) -> None:
    device = Analyser(Patient(5), MODELS[name], sample_every_s=1000.0)

    async def scene() -> None:
        ours, listener = agent("poct1a"), listening()
        async with running(listener, ours):
            await converse(device, split_address(listener.address), Spoiler(), asyncio.Event(), time.monotonic())
        assert [sample.number for sample in device.taken] == [1]
        assert device.directives == []
        assert [reason for _, reason in ours.frames()] == [""] * 3
        assert ours.bugs == []

    within(20, scene)


@pytest.mark.parametrize("name", ["bbraun_bcc", "orchestra", "alaris"])
def test_a_pump_is_asked_on_its_line(name: str, tmp_path: Path) -> None:
    async def scene() -> None:
        path, stop, ours = tmp_path / "pump", asyncio.Event(), agent(name)
        settings = DRIVER_BY_NAME[name].serial
        assert settings is not None
        speaking = asyncio.create_task(run_device(name, str(path), "healthy", 5, 1.0, stop))
        await eventually(path.is_symlink)
        async with running(SerialPort(SerialLink(str(path)), settings), ours):
            await eventually(lambda: len(ours.came) > 3)
        assert {delivery.reason for delivery in ours.came} == {""}
        assert ours.bugs == []
        stop.set()
        await speaking

    within(20, scene)
