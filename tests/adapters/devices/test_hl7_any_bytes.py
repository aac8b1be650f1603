"""Messages of every dialect, spoilt in any way and one after another, give reports that a batch holds, or a reason."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.devices.hl7_oru import Hl7Settings, read
from adapters.driver import Source
from adapters.formats.hl7_dialects import DIALECTS
from schemas.batch import encode_report
from schemas.errors import FrameError
from schemas.report import Kind, Report
from tests.adapters.devices.test_drivers import CASES
from tests.hl7 import RECEIVED_AT_US, measured, obx, source


@cache
def frames_of(dialect: str) -> tuple[bytes, ...]:
    """Those of the cases in this dialect, with what came before; and one of another."""
    found = [bytes.fromhex((CASES / "hl7_oru" / "normal" / "frame.hex").read_text())]
    for folder in sorted((CASES / "hl7_oru").iterdir()):
        path = folder / "source.json"
        given = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if given.get("settings", {}).get("dialect", "plain") == dialect:
            found += [bytes.fromhex(each) for each in (*given.get("before", ()), (folder / "frame.hex").read_text())]
    return tuple(found)


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_conversation_gives_reports_or_reasons(dialect: str, data: st.DataObject) -> None:
    of = Source("test", Hl7Settings(dialect=dialect), peer="10.0.0.7", received_at_us=RECEIVED_AT_US)
    for _ in range(data.draw(st.integers(1, 4))):
        frame = bytearray(data.draw(st.sampled_from(frames_of(dialect))))
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(frame) - 1))
            word = data.draw(
                st.sampled_from((b"|", b"^", b"~", b"&", b"\r", b"-", b"\xff", b"")) | st.binary(max_size=3)
            )
            frame[at : at + data.draw(st.integers(0, 3))] = word or b" "
        try:
            reports: Sequence[Report] = read(bytes(frame), of)
        except FrameError as error:
            reports, reason = (), error.reason
        else:
            reason = "-"
        assert re.fullmatch(r"[a-z0-9-]+", reason)
        for report in reports:
            assert report.records
            encode_report(report, bytes(16), bytes(32))
        if data.draw(st.booleans()):
            of.retract(of.take_emitted())
        of.take_emitted()


@pytest.mark.parametrize("dialect", [dialect for dialect in DIALECTS if dialect != "pcd-01"])
def test_each_dialect_has_messages_of_its_own(dialect: str) -> None:
    """PCD-01's are written in the plain one: it differs in no byte."""
    assert len(frames_of(dialect)) > 1


@pytest.mark.parametrize("dialect", ["plain", "mindray-pds", "ge-b40"])
def test_a_place_in_the_tree_that_does_not_decode_is_a_place_all_the_same(dialect: str) -> None:
    """Two like values by OBX-4 alone, one with a byte that is no UTF-8."""
    data = measured(obx("97", sub_id="1.1.1.1"), obx("98", sub_id="1.1.1.2")).replace(b"1.1.1.2", b"1.1.1.\xff")
    reports = read(data, source(dialect=dialect, device="connection"))
    numbers = {record.channel for report in reports if report.kind is Kind.METRIC for record in report.records}
    assert len(numbers) == 2
    for report in reports:
        encode_report(report, bytes(16), bytes(32))
