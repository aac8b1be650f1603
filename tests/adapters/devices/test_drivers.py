"""Every registered driver, before anyone writes a test for it: invariants, and folders of bytes with what they mean.

A case is `cases/<driver>/<what it tells>/` with `frame.hex`, `expected.json` ({"reports": [...]} or {"error": reason},
defaults left out) and, where the source is not a plain one, `source.json`: `settings` (the driver's own), `mapping`
(the site's TOML), `time_zone`, `peer`, and `before` (frames of the same connection that came earlier, in hex).
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.registry import DRIVER_BY_NAME, DRIVERS
from adapters.driver import DeviceDriver, Source
from adapters.session import Moment
from adapters.sessions.mllp import wrap
from adapters.site import read_site
from schemas.batch import encode_report
from schemas.errors import FrameError
from schemas.layout import RECORD, REPORT_ROW
from schemas.nomenclature import METRIC_BY_CODE, canonical_unit
from schemas.report import RecordKind, Report, Validity
from schemas.tail import tail_entries
from simulators.astm import ENQ, EOT, frames
from simulators.intellivue_bytes import mib_frame

RECEIVED_AT_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(path.parent for path in CASES.glob("*/*/frame.hex"))
PLAIN_CASES = ("normal", "no_reading", "zero")
WITHOUT_VALUES = ("hl7_adt", "scan_json")  # they say who is where
SIMULATOR_OF_FAMILY = {"hl7_adt": "hospital"}  # where it is not of the same name
MEASURING = [driver for driver in DRIVERS if driver.name not in WITHOUT_VALUES]
each_measuring = pytest.mark.parametrize("driver", MEASURING, ids=lambda driver: driver.name)
each_driver = pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
# A cut HL7 message is MLLP's to refuse.
FRAMED_BY_ITSELF = [
    driver
    for driver in DRIVERS
    # Nellcor's rows have neither a length nor a checksum: what ends without its line end is its session's to refuse.
    if (driver.serial is not None or driver.session is None) and driver.name != "nellcor_n595"
]
# Of what sends by itself; a dialogue's cases are in its session's test.
FRAMES_ON_THE_WIRE: dict[str, Callable[[bytes], bytes]] = {
    "nonin_ascii": lambda frame: b"\r\n" + frame + b"\r\n",
    "nonin_df2": bytes,
    "hl7_oru": wrap,
    "hl7_adt": wrap,
    "astm": lambda message: ENQ + b"".join(frames(message)) + EOT,
    "datex_dri": lambda frame: b"\x7e" + frame + b"\x7e",
    "intellivue_mib": mib_frame,
    "masimo": lambda frame: b"\r\n" + frame + b"\r\n",
    "nellcor_n595": lambda frame: b"\r\n" + frame + b"\r\n",
    "nellcor_n200": bytes,
    "nonin_df7": bytes,
    "nonin_df13": bytes,
    "bbraun_bcc": bytes,
    "poct1a": bytes,
    "orchestra": bytes,
    "alaris": lambda frame: frame + b"\r",
}
NOW = Moment(0, RECEIVED_AT_US)
AnyDriver = DeviceDriver[Any]


def frame_of(driver: AnyDriver, case: str) -> bytes:
    return bytes.fromhex((CASES / driver.name / case / "frame.hex").read_text())


def plain_cases(driver: AnyDriver) -> list[str]:
    return [case for case in PLAIN_CASES if (CASES / driver.name / case).is_dir()]


def given_of(folder: Path) -> dict[str, Any]:
    path = folder / "source.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def source_of(folder: Path) -> Source[Any]:
    given = given_of(folder)
    zone = given.get("time_zone")
    return Source(
        name="test",
        settings=msgspec.convert(given.get("settings", {}), DRIVER_BY_NAME[folder.parent.name].settings),
        site=read_site(given.get("mapping", ""), "source.json")[""],
        time_zone=ZoneInfo(zone) if zone else None,
        peer=given.get("peer", "10.0.0.7"),
        received_at_us=RECEIVED_AT_US,
    )


def read_case(folder: Path) -> list[Report]:
    driver, source = DRIVER_BY_NAME[folder.parent.name], source_of(folder)
    for earlier in given_of(folder).get("before", ()):
        driver.read(bytes.fromhex(earlier), source)
    return list(driver.read(bytes.fromhex((folder / "frame.hex").read_text()), source))


def plain(value: Any) -> Any:
    """As JSON holds it: enumerations by name, defaults left out."""
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        return {f.name: plain(v) for f in fields if (v := getattr(value, f.name)) != f.default}
    return value


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_case_gives_exactly_what_is_expected(folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text())
    try:
        found: dict[str, Any] = {"reports": plain(read_case(folder))}
    except FrameError as error:
        found = {"error": error.reason}
    assert found == expected


@each_driver
def test_it_has_its_cases_and_a_simulator_of_its_family(driver: AnyDriver) -> None:
    needed = {"normal"} if driver.name in WITHOUT_VALUES else {"normal", "no_reading", "bad_checksum", "zero"}
    assert needed <= {p.name for p in (CASES / driver.name).iterdir()}
    family = driver.read.__module__.rpartition(".")[2]
    assert importlib.util.find_spec(f"simulators.{SIMULATOR_OF_FAMILY.get(family, family)}") is not None


@each_measuring
def test_no_reading_is_none_and_zero_is_zero(driver: AnyDriver) -> None:
    missing = [r for report in read_case(CASES / driver.name / "no_reading") for r in report.records]
    numbers = [r for r in missing if r.kind == RecordKind.NUMERIC]
    assert numbers
    assert all(r.validity == Validity.NOT_AVAILABLE and r.mantissa == 0 for r in numbers)
    zero = [r for report in read_case(CASES / driver.name / "zero") for r in report.records]
    assert any(r.kind == RecordKind.NUMERIC and r.validity == Validity.VALID and r.mantissa == 0 for r in zero)


@each_measuring
def test_its_channels_are_in_the_nomenclature_with_units_of_their_dimension(driver: AnyDriver) -> None:
    cases = [f for f in FOLDERS if f.parent.name == driver.name and "reports" in (f / "expected.json").read_text()]
    records = [r for f in cases for report in read_case(f) for r in report.records if r.code]
    coded = {(r.code, r.unit) for r in records if r.as_sent is None and r.validity != Validity.NOT_AVAILABLE}
    assert coded
    for code, unit in coded | {(c.code, c.unit) for c in driver.channels}:
        assert canonical_unit(code, unit) is not None, METRIC_BY_CODE[code].reference_id


def held(driver: AnyDriver, frame: bytes) -> None:
    """Read it; what is said is what a batch can hold."""
    source = Source("test", driver.settings(), peer="10.0.0.7", received_at_us=RECEIVED_AT_US)
    try:
        reports = driver.read(frame, source)
    except FrameError as error:
        reports, reason = [], error.reason
    else:
        reason = "-"
    assert re.fullmatch(r"[a-z0-9-]+", reason)
    for report in reports:
        leaf = encode_report(report, bytes(16), bytes(32))
        tail = bytes(leaf[REPORT_ROW.itemsize + RECORD.itemsize * len(report.records) :])
        assert all(data is not None for _, _, data in tail_entries(tail))


@each_driver
@given(data=st.data())
def test_any_bytes_give_reports_or_a_reason(driver: AnyDriver, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        held(driver, data.draw(st.binary(max_size=500)))
        return
    frame = bytearray(frame_of(driver, data.draw(st.sampled_from(plain_cases(driver)))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(frame) - 1)))
        frame[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    held(driver, bytes(frame))


@each_driver
def test_bytes_that_go_deep_are_only_bytes(driver: AnyDriver) -> None:
    held(driver, b'{"a":[' * 40_000)


@pytest.mark.parametrize("driver", FRAMED_BY_ITSELF, ids=lambda driver: driver.name)
def test_a_truncated_frame_is_refused(driver: AnyDriver) -> None:
    frame, source = frame_of(driver, "normal"), source_of(CASES / driver.name / "normal")
    for length in range(len(frame)):
        with pytest.raises(FrameError):
            driver.read(frame[:length], source)


@pytest.mark.parametrize("name", FRAMES_ON_THE_WIRE)
def test_what_its_session_cuts_its_driver_reads(name: str) -> None:
    """Frames behind noise: those of its session are those of its cases."""
    driver = DRIVER_BY_NAME[name]
    assert driver.session is not None
    for case in plain_cases(driver):
        frame = frame_of(driver, case)
        wrapped = FRAMES_ON_THE_WIRE[name](frame)
        step = driver.session(driver.settings()).feed(b"noise" + wrapped + wrapped, NOW)
        assert [piece.data for piece in step.pieces if not piece.reason][-1] == frame


def test_names_are_unique() -> None:
    assert len(DRIVER_BY_NAME) == len(DRIVERS)
