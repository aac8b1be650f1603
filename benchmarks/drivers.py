"""What a frame costs in each driver, and how many lines the driver has: a table that nobody is judged by."""

from __future__ import annotations

import inspect
import json
import time
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from adapters.devices.registry import DRIVERS
from adapters.driver import DeviceDriver, Source
from adapters.site import read_site

CASES = Path(__file__).parents[1] / "tests" / "adapters" / "devices" / "cases"
ROUNDS, ROUND_S, ROUND_S_QUICK = 5, 0.2, 0.05
RECEIVED_AT_US = 1_790_000_000_000_000


def cost_name(driver: str) -> str:
    """Of the figure."""
    return f"driver_us_per_frame_{driver}"


def lines_name(driver: str) -> str:
    """Of the figure: lines of the driver's own module."""
    return f"driver_lines_{driver}"


FIGURES = tuple(name(driver.name) for driver in DRIVERS for name in (cost_name, lines_name))


def measure(quick: bool) -> dict[str, float]:
    """Of the frame of each driver's case `normal`, the least of its cases where there is none of that name."""
    figures: dict[str, float] = {}
    for driver in DRIVERS:
        folders = sorted((CASES / driver.name).iterdir())
        folder = next((each for each in folders if each.name == "normal"), folders[0])
        figures[cost_name(driver.name)] = _us_per_frame(driver, folder, ROUND_S_QUICK if quick else ROUND_S)
        figures[lines_name(driver.name)] = _lines_of(driver)
    return figures


def _lines_of(driver: DeviceDriver[Any]) -> int:
    return len(Path(inspect.getfile(driver.read)).read_text("utf-8").splitlines())


def _us_per_frame(driver: DeviceDriver[Any], folder: Path, round_s: float) -> float:
    """CPU of this thread, the median of some rounds."""
    given_file = folder / "source.json"
    given = json.loads(given_file.read_text()) if given_file.exists() else {}
    source = Source(
        name="bench",
        settings=msgspec.convert(given.get("settings", {}), driver.settings),
        site=read_site(given.get("mapping", ""), "source.json")[""],
        time_zone=ZoneInfo(given["time_zone"]) if given.get("time_zone") else None,
        peer=given.get("peer", "10.0.0.7"),
        received_at_us=RECEIVED_AT_US,
    )
    for earlier in given.get("before", ()):
        driver.read(bytes.fromhex(earlier), source)
    frame = bytes.fromhex((folder / "frame.hex").read_text())
    took_us = []
    for _ in range(ROUNDS):
        frames, began_s = 0, time.thread_time()
        while (spent_s := time.thread_time() - began_s) < round_s:
            driver.read(frame, source)
            source.take_emitted()
            frames += 1
        took_us.append(spent_s / frames * 1e6)
    return median(took_us)
