"""What the rows of a mapping act make of sealed reports, as an edge would have had them."""

from __future__ import annotations

from typing import Any

import pytest

from evidence.act import MAPPING_CHANGE, Act
from schemas.batch import Table, check, table_of
from schemas.block import ValidationResult
from schemas.errors import LayoutError
from schemas.report import AsSent, Kind, Mark, Record, RecordKind, Validity, device_id
from stream_processors.mapping import matches, remap
from stream_processors.validation import validate_stored
from tests.making import T0_US, encoded_reports, report
from tests.mapping import BPM, HR_CODE

HR: dict[str, object] = {"metric": "MDC_ECG_HEART_RATE", "code": "101", "unit": "MDC_DIM_BEAT_PER_MIN"}


def body(*rows: dict[str, object], kind: str = MAPPING_CHANGE, **scope: object) -> bytes:
    details = {"rows": list(rows), "since_us": None, "until_us": None, "device": None} | scope
    return Act(kind, "os:ann@ward", T0_US, "", details).body


def table(*records: Record, kind: Kind = Kind.METRIC, claim: str = "ward:1") -> Table:
    return table_of(encoded_reports([report(claim, records=records, kind=kind)]))


def named(value: str | int, code: str = "101^HR", unit: str = "", **more: Any) -> Record:
    """A value without a code, under its sender's words; a text is one."""
    if isinstance(value, str):
        return Record(kind=RecordKind.TEXT, text=value, as_sent=AsSent("99X", code, unit), **more)
    return Record(mantissa=value, as_sent=AsSent("99X", code, unit), **more)


def outcome(record: Record, *rows: dict[str, object]) -> tuple[float | None, ValidationResult]:
    """The value and validation result that the record has by these rows."""
    mapped = remap(table(record), [body(*rows)])
    check(mapped)
    found = validate_stored(mapped)
    value = float(found.values[0])
    return (None if value != value else value), ValidationResult(int(found.validation_results[0]))


@pytest.mark.parametrize(("record", "row", "expected"), [
    (named(72), HR, (72.0, ValidationResult.ACCEPTED)),
    (named(72, code="102^HR"), HR, (72.0, ValidationResult.UNMAPPED_CODE)),
    (named(72), HR | {"text": "hr"}, (72.0, ValidationResult.ACCEPTED)),
    (named(72), HR | {"text": "Pulse"}, (72.0, ValidationResult.UNMAPPED_CODE)),
    (named(72), HR | {"system": "99Y"}, (72.0, ValidationResult.UNMAPPED_CODE)),
    (named(720), HR | {"power_of_ten": -1}, (72.0, ValidationResult.ACCEPTED)),
    (named(7, exponent=125), HR | {"power_of_ten": 12}, (7 * 1e125, ValidationResult.UNMAPPED_CODE)),
    (named(-100), HR | {"missing": ["-100"]}, (None, ValidationResult.MISSING)),
    (named("72"), HR, (72.0, ValidationResult.ACCEPTED)),
    (named("72,5"), HR, (None, ValidationResult.DOUBTFUL_TEXT)),
    (named("72,5"), HR | {"decimal_comma": True}, (72.5, ValidationResult.ACCEPTED)),
    (named("<30"), HR, (30.0, ValidationResult.ACCEPTED_BOUND)),
    (named("asystole"), HR, (None, ValidationResult.DOUBTFUL_TEXT)),
    (named("---"), HR, (None, ValidationResult.MISSING)),
    (named(" off "), HR | {"missing": ["off"]}, (None, ValidationResult.MISSING)),
    (named(72, unit="Cel"), HR, (72.0, ValidationResult.DOUBTFUL_UNIT)),
    (named(72, unit="Cel"), HR | {"unit_is_wrong": True}, (72.0, ValidationResult.ACCEPTED)),
    (named(72, validity=Validity.QUESTIONABLE), HR, (72.0, ValidationResult.DOUBTFUL_VALIDITY)),
    (named(0, validity=Validity.NOT_AVAILABLE), HR, (None, ValidationResult.MISSING)),
    (named(72, marks=Mark.TRAINING), HR, (72.0, ValidationResult.DOUBTFUL_TRAINING)),
    (named(980, code="t", unit="[degF]", exponent=-1), {"metric": "MDC_TEMP", "code": "t"},
        (None, ValidationResult.ACCEPTED)),
    (Record(HR_CODE, BPM, mantissa=72, as_sent=AsSent("99X", "101^HR")),
     {"metric": "MDC_TEMP", "code": "101"}, (72.0, ValidationResult.ACCEPTED)),
    (Record(mantissa=72), HR, (72.0, ValidationResult.UNMAPPED_CODE)),
])  # fmt: skip
def test_a_value_is_what_an_edge_would_have_had(
    record: Record, row: dict[str, object], expected: tuple[float | None, ValidationResult]
) -> None:
    value, validation_result = outcome(record, row)
    assert validation_result == expected[1]
    if expected[0] is not None or validation_result != ValidationResult.ACCEPTED:
        assert value == expected[0]
    else:
        assert value == pytest.approx(36.6667, abs=1e-4)  # 98.0 °F


def test_the_bytes_as_sealed_are_never_changed() -> None:
    sent = table(named(72), named("72"))
    before = sent.records.tobytes()
    mapped = remap(sent, [body(HR)])
    assert sent.records.tobytes() == before
    assert mapped.tails == sent.tails
    assert (mapped.code.tolist(), mapped.unit.tolist()) == ([HR_CODE] * 2, [BPM] * 2)


@pytest.mark.parametrize("kind", [Kind.EVENT, Kind.SETTING, Kind.WAVEFORM, Kind.REJECTED])
def test_only_metric_reports_are_meant(kind: Kind) -> None:
    sent = table(named("72"), kind=kind)
    assert remap(sent, [body(HR)]) is sent


@pytest.mark.parametrize(("scope", "is_meant"), [
    ({"since_us": T0_US + 5_000}, True), ({"since_us": T0_US + 5_001}, False),  # by when the edge received it
    ({"until_us": T0_US + 5_001}, True), ({"until_us": T0_US + 5_000}, False),
    ({"device": str(device_id("ward:1"))}, True), ({"device": str(device_id("ward:2"))}, False),
])  # fmt: skip
def test_an_act_is_of_its_time_and_device(scope: dict[str, object], is_meant: bool) -> None:
    sent = table(named(72))
    assert (remap(sent, [body(HR, **scope)]) is not sent) == is_meant


def test_of_two_acts_about_one_value_the_later_holds() -> None:
    pulse: dict[str, object] = {"metric": "MDC_PULS_OXIM_PULS_RATE", "code": "101"}
    for later, code in ((HR, HR_CODE), (pulse, 149530)):
        earlier = pulse if later is HR else HR
        assert remap(table(named(72)), [body(earlier), body(later)]).code.tolist() == [code]


def test_a_match_says_which_row_it_was() -> None:
    (match,) = matches(table(named(72, code="102"), named(71)), body({"metric": "MDC_TEMP", "code": "7"}, HR))
    assert (match.record, match.mapped.row, match.as_sent.code) == (1, "mapping 2 (code '101')", "101^HR")


@pytest.mark.parametrize("details", [
    {"rows": 7}, {"rows": [{"metric": "MDC_NONE", "code": "1"}]}, {"rows": [HR], "device": "bed 7"},
    {"rows": [HR], "since_us": "yesterday"}, {"rows": [HR], "more": 1}, {"rows": [HR, HR]},
])  # fmt: skip
def test_an_act_that_says_no_mapping_is_refused(details: dict[str, object]) -> None:
    with pytest.raises(LayoutError, match="an act that says no mapping"):
        remap(table(named(72)), [_act(details)])


def _act(details: dict[str, object]) -> bytes:
    return Act(MAPPING_CHANGE, "os:ann@ward", T0_US, "", details).body


def test_an_act_of_another_kind_is_refused() -> None:
    with pytest.raises(LayoutError, match=r"an act limits\.change says no mapping"):
        remap(table(named(72)), [body(HR, kind="limits.change")])
