"""Every registered driver, before anyone writes a test for it: invariants, and folders of bytes with what they mean.

A case is `cases/<driver>/<what it tells>/` with `frame.hex`, `expected.json` ({"reports": [...]} or {"error": reason},
defaults left out) and, where the source is not a plain one, `source.json`: fields of Source, `mapping` (the site's
TOML) and `before` (frames of the same connection that came earlier, in hex).
"""

from __future__ import annotations

import importlib.util
import json
import re
from enum import IntEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.registry import DRIVER_BY_NAME, DRIVERS
from adapters.driver import DeviceDriver, Piece, Source
from adapters.formats.lines import LineFramer
from adapters.site import read_site
from schemas.batch import encode_report, tail_entries
from schemas.errors import FrameError
from schemas.layout import RECORD, REPORT_ROW
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE, UNIT_BY_REFERENCE_ID
from schemas.report import RecordKind, Report, Validity

RECEIVED_AT_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(path.parent for path in CASES.glob("*/*/frame.hex"))
each_driver = pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
FRAMED_BY_ITSELF = [d for d in DRIVERS if d.transport != "mllp"]  # a cut HL7 message is MLLP's to refuse


def frame_of(driver: DeviceDriver, case: str) -> bytes:
    return bytes.fromhex((CASES / driver.name / case / "frame.hex").read_text())


def source_of(folder: Path) -> Source:
    path = folder / "source.json"
    given: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    given.pop("before", None)
    if "time_zone" in given:
        given["time_zone"] = ZoneInfo(given["time_zone"])
    if "mapping" in given:
        given["site"] = read_site(given.pop("mapping"), "source.json")[""]
    plain_source: dict[str, Any] = {"name": "test", "peer": "10.0.0.7", "received_at_us": RECEIVED_AT_US}
    return Source(**plain_source | given)


def read_case(folder: Path) -> list[Report]:
    driver, source = DRIVER_BY_NAME[folder.parent.name], source_of(folder)
    path = folder / "source.json"
    for earlier in json.loads(path.read_text()).get("before", ()) if path.exists() else ():
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
def test_it_has_its_cases_and_a_simulator_of_its_family(driver: DeviceDriver) -> None:
    assert {"normal", "no_reading", "bad_checksum", "zero"} <= {p.name for p in (CASES / driver.name).iterdir()}
    family = driver.read.__module__.rpartition(".")[2]
    assert importlib.util.find_spec(f"simulators.{family}") is not None


@each_driver
def test_no_reading_is_none_and_zero_is_zero(driver: DeviceDriver) -> None:
    missing = [r for report in read_case(CASES / driver.name / "no_reading") for r in report.records]
    numbers = [r for r in missing if r.kind == RecordKind.NUMERIC]
    assert numbers
    assert all(r.validity == Validity.NOT_AVAILABLE and r.mantissa == 0 for r in numbers)
    zero = [r for report in read_case(CASES / driver.name / "zero") for r in report.records]
    assert any(r.kind == RecordKind.NUMERIC and r.validity == Validity.VALID and r.mantissa == 0 for r in zero)


@each_driver
def test_its_channels_are_in_the_nomenclature_with_units_of_their_dimension(driver: DeviceDriver) -> None:
    cases = [f for f in FOLDERS if f.parent.name == driver.name and "reports" in (f / "expected.json").read_text()]
    records = [r for f in cases for report in read_case(f) for r in report.records if r.code]
    said = {(r.code, r.unit) for r in records if r.as_sent is None and r.validity != Validity.NOT_AVAILABLE}
    assert said
    for code, unit in said | {(c.code, c.unit) for c in driver.channels}:
        canonical = UNIT_BY_REFERENCE_ID[METRIC_BY_CODE[code].unit]
        assert UNIT_BY_CODE[unit].dimension == canonical.dimension, METRIC_BY_CODE[code].reference_id


def held(driver: DeviceDriver, frame: bytes) -> None:
    """Read it; what is said is what a batch can hold."""
    source = Source("test", peer="10.0.0.7", time_field="ts", received_at_us=RECEIVED_AT_US)
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
def test_any_bytes_give_reports_or_a_reason(driver: DeviceDriver, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        held(driver, data.draw(st.binary(max_size=500)))
        return
    frame = bytearray(frame_of(driver, data.draw(st.sampled_from(("normal", "no_reading", "zero")))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    held(driver, bytes(frame))


@each_driver
def test_bytes_that_go_deep_are_only_bytes(driver: DeviceDriver) -> None:
    held(driver, b'{"a":[' * 40_000)


@pytest.mark.parametrize("driver", FRAMED_BY_ITSELF, ids=lambda driver: driver.name)
def test_a_truncated_frame_is_refused(driver: DeviceDriver) -> None:
    frame, source = frame_of(driver, "normal"), source_of(CASES / driver.name / "normal")
    for length in range(len(frame)):
        with pytest.raises(FrameError):
            driver.read(frame[:length], source)


SERIAL = [d for d in DRIVERS if d.framer is not None]


@pytest.mark.parametrize("driver", SERIAL, ids=lambda driver: driver.name)
@given(data=st.data())
def test_any_chunking_gives_the_same_pieces_and_noise_does_not_stop_them(
    driver: DeviceDriver, data: st.DataObject
) -> None:
    assert driver.framer is not None
    frame, end = frame_of(driver, "normal"), b"\r\n" if driver.framer is LineFramer else b""
    stream = data.draw(st.binary(max_size=600)) + (end + frame) * 6 + end
    whole = driver.framer().feed(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    framer, pieces = driver.framer(), list[Piece]()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        pieces += framer.feed(stream[start:end])
    assert pieces == whole
    assert [p.data for p in pieces if not p.reason].count(frame) >= 3
    kept = b"".join(p.data for p in pieces)
    assert stream.translate(None, b"\r\n").startswith(kept.translate(None, b"\r\n"))


@pytest.mark.parametrize("driver", SERIAL, ids=lambda driver: driver.name)
def test_noise_is_kept_in_pieces_with_a_reason(driver: DeviceDriver) -> None:
    assert driver.framer is not None
    pieces = driver.framer().feed(b"\xff" * 1024)
    assert sum(len(p.data) for p in pieces) > 1024 - 256
    assert {p.reason for p in pieces} in ({"line-too-long"}, {"framing"})


def test_names_are_unique() -> None:
    assert len(DRIVER_BY_NAME) == len(DRIVERS)
