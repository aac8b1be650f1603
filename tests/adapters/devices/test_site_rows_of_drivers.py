"""What a device says without a standard code takes the one of the site's row, in each driver that says such numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from adapters.site import read_site
from schemas.errors import FrameError
from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from schemas.report import Kind, Record, RecordKind, Report
from tests.adapters.devices.test_drivers import CASES, RECEIVED_AT_US, given_of

METRIC = "MDC_PULS_OXIM_PERF_REL"
DRIVERS = ("medibus", "bbraun_bcc", "alaris", "datex_dri", "masimo", "intellivue")


def read(folder: Path, mapping: str) -> list[Report]:
    driver, given = DRIVER_BY_NAME[folder.parent.name], given_of(folder)
    zone = given.get("time_zone")
    source: Source[Any] = Source(
        "test",
        msgspec.convert(given.get("settings", {}), driver.settings),
        read_site(mapping, "test")[""],
        ZoneInfo(zone) if zone else None,
        given.get("peer", "10.0.0.7"),
        RECEIVED_AT_US,
    )
    for earlier in given.get("before", ()):
        driver.read(bytes.fromhex(earlier), source)
    try:
        return list(driver.read(bytes.fromhex((folder / "frame.hex").read_text()), source))
    except FrameError:
        return []


def numbers(reports: list[Report]) -> list[Record]:
    return [
        record
        for report in reports
        if report.kind is Kind.METRIC
        for record in report.records
        if record.kind is RecordKind.NUMERIC
    ]


@pytest.mark.parametrize("name", DRIVERS)
def test_a_number_without_a_code_takes_the_one_of_the_sites_row(name: str) -> None:
    for folder in sorted((CASES / name).iterdir()):
        without = numbers(read(folder, ""))
        at = next((place for place, each in enumerate(without) if not each.code and each.as_sent is not None), None)
        if at is None:
            continue
        sent = without[at].as_sent
        assert sent is not None
        row = f"[[mapping]]\nsystem = {sent.system!r}\ncode = {sent.code!r}\nmetric = {METRIC!r}\n"
        found = numbers(read(folder, row))[at]
        assert found.code == METRIC_BY_REFERENCE_ID[METRIC].code, folder.name
        assert found.mantissa == without[at].mantissa
        return
    raise AssertionError(f"no case of {name} says a number without a code")
