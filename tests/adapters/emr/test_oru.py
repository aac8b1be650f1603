"""ORU^R01 out of a chart: each field, what has no message, and hl7apy's judgement over any of them."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import hl7  # type: ignore[import-untyped,unused-ignore]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters.emr.oru import NOT_CONFIRMED, VERSIONS, OruStyle, escape, oru_r01, result_of, validate_oru
from adapters.formats.hl7v2 import Hl7Message, Segment, syntax, unescape
from clinical.chart import Status
from clinical.chart_items import ITEMS, TEXT_MAX
from clinical.charted import ChartedVersion, Instrument, Person, Place, Stay
from schemas.adt import Identifier
from schemas.errors import ConfigError, VitalwireError
from schemas.nomenclature import METRICS
from tests.adapters.emr.charted import DEVICE, ENTRY, PERSON, PLACE, SLOT_US, STAY, charted

SENT_AT_US = SLOT_US + 2_000_000
STYLE = OruStyle(
    sending_facility="ICU", receiving_application="EMR", receiving_facility="MAIN", time_zone="Asia/Shanghai"
)


def message(*versions: ChartedVersion, style: OruStyle = STYLE) -> Hl7Message:
    return Hl7Message(oru_r01(versions or (charted(),), "ABCDEFGHIJKLMNOPQRST", style, SENT_AT_US))


def obx_of(*versions: ChartedVersion, style: OruStyle = STYLE) -> Segment:
    found = message(*versions, style=style).first("OBX")
    assert found is not None
    return found


def test_a_whole_message_is_this() -> None:
    versions = [
        charted("MDC_TEMP", 36.5, unit="Cel", decimals=2, status=Status.AMENDED, number=3, reason="typed wrong",
                by_name="Li Na", device=None),
        charted(),
    ]  # fmt: skip
    assert oru_r01(versions, "ABCDEFGHIJKLMNOPQRST", STYLE, SENT_AT_US).decode().split("\r") == [
        r"MSH|^~\&|VITALWIRE|ICU|EMR|MAIN|20260921221322+0800||ORU^R01^ORU_R01|ABCDEFGHIJKLMNOPQRST|P|2.5.1||||||"
        "UNICODE UTF-8",
        "PID|1||4711^^^HOSPITAL^MR~ZY9^^^HIS&1.2.3&ISO^VN||张^三||19700501|M",
        "PV1|1|I|icu^1^bed-07^main^^^^^ICU bed 7||||||||||||||||V1^^^HOSPITAL^VN|||||||||||||||||||||||||"
        "20260920221320+0800",
        "OBR|1||ff2ccdfa7cdd184544be^VITALWIRE|8716-3^Vital signs^LN|||20260921221320+0800|||||||||||||||"
        "20260921221323+0800|||C",
        "OBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC^59408-5^Oxygen saturation, pulse oximetry^LN|1|97|%^%^UCUM|||||F|||"
        "20260921221310+0800||||0190aaaa-0000-7000-8000-0000000000dd^VITALWIRE~"
        "0012210000000001^^0012210000000001^EUI-64",
        "OBX|2|NM|150344^MDC_TEMP^MDC^8310-5^Temperature, site not stated^LN|1|36.50|Cel^Cel^UCUM|||||C|||"
        "20260921221310+0800||^Li Na",
        "NTE|1|L|typed wrong",
        "",
    ]


@pytest.mark.parametrize(
    ("status", "style", "expected", "of_order"),
    [
        (Status.PRELIMINARY, STYLE, "P", "P"),
        (Status.PRELIMINARY, replace(STYLE, preliminary_as="R"), "R", "R"),
        (Status.FINAL, STYLE, "F", "F"),
        (Status.AMENDED, STYLE, "C", "C"),
        (Status.ENTERED_IN_ERROR, STYLE, "W", "C"),
        (Status.ENTERED_IN_ERROR, replace(STYLE, withdrawn_as="D"), "D", "C"),
    ],
)
def test_obx_11_and_obr_25_by_the_charts_status(status: Status, style: OruStyle, expected: str, of_order: str) -> None:
    found = message(charted(status=status), style=style)
    assert (found.field("OBX", 11), found.field("OBR", 25)) == (expected, of_order)


def test_without_any_value_the_result_could_not_be_obtained() -> None:
    found = obx_of(charted(value=None, unit=""))
    assert (found.field(2), found.field(5), found.field(6), found.field(11)) == ("ST", "", "", "X")
    withdrawn = charted(value=None, unit="", status=Status.ENTERED_IN_ERROR)
    assert obx_of(withdrawn).field(11) == "W"


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        (36.5, 2, "36.50"),
        (37.0, 0, "37"),
        (37.0, 1, "37.0"),
        (-0.0, 1, "0.0"),
        (0.1 + 0.2, 1, "0.3"),
        (1e6, 0, "1000000"),
    ],
)
def test_decimals_leave_as_they_came(value: float, decimals: int, expected: str) -> None:
    assert obx_of(charted(value=value, decimals=decimals)).field(5) == expected


@pytest.mark.parametrize(
    ("item", "text", "kind", "value"),
    [
        ("acvpu", "V", "CWE", "V^responds to voice^99VW"),
        ("acvpu", "no longer a choice", "ST", "no longer a choice"),
        ("stool", "1 2/E", "ST", "1 2/E"),
        ("MDC_PULS_OXIM_SAT_O2", "<70", "ST", "<70"),
        ("observation", "长" * 300, "TX", "长" * 300),
    ],
)
def test_what_is_no_number_has_a_type_of_its_own(item: str, text: str, kind: str, value: str) -> None:
    found = obx_of(charted(item, None, text=text, unit=""))
    assert (found.field(2), found.field(5)) == (kind, value)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("MDC_ECG_HEART_RATE", "147842^MDC_ECG_HEART_RATE^MDC^8867-4^心率^LN"),
        ("weight", "weight^体重^99VW^29463-7^体重^LN"),
        ("drain", "drain^引流^99VW"),
        ("of-another-release", "of-another-release^^99VW"),
    ],
)
def test_what_was_measured_is_named_by_mdc_and_loinc(item: str, expected: str) -> None:
    assert obx_of(charted(item, unit=""), style=replace(STYLE, language="zh")).field(3) == expected


def test_in_another_unit_than_its_first_a_metric_has_no_loinc() -> None:
    of_pressure = obx_of(charted("MDC_CONC_AWAY_CO2_ET", 38.0, unit="mm[Hg]"))
    of_fraction = obx_of(charted("MDC_CONC_AWAY_CO2_ET", 5.0, unit="%"))
    assert of_pressure.field(3, 6) == "LN"
    assert of_fraction.field(3) == "151708^MDC_CONC_AWAY_CO2_ET^MDC"


def test_every_metric_and_item_has_a_code_of_its_own() -> None:
    items = [metric.reference_id for metric in METRICS] + list(ITEMS)
    codes = {result_of(charted(item)).code for item in items}
    assert len(codes) == len(items)


def test_a_correction_and_a_withdrawal_name_the_result_that_they_are_of() -> None:
    first = obx_of(charted())
    for later in (
        charted(value=96.0, status=Status.AMENDED, number=2),
        charted(status=Status.ENTERED_IN_ERROR, number=2),
    ):
        found = message(later)
        assert found.field("OBR", 3) == message().field("OBR", 3)
        assert [found.field("OBX", n) for n in (3, 4)] == [first.field(n) for n in (3, 4)]
    entered_anew = charted(entry="0190aaaa-0000-7000-8000-000000000002", ordinal=2)
    assert obx_of(entered_anew).field(4) == "2"
    elsewhere = charted(stay=replace(STAY, key="visit:V2^HOSPITAL"))
    assert message(elsewhere).field("OBR", 3) != message().field("OBR", 3)
    assert result_of(charted()).filler_number == message().field("OBR", 3, 1)


def test_from_2_6_on_obx_21_is_the_entry() -> None:
    assert obx_of().field(21) == ""
    assert obx_of(style=replace(STYLE, version="2.6")).field(21) == f"{ENTRY}^VITALWIRE"


@pytest.mark.parametrize(
    ("key", "prefix_type", "expected"),
    [
        ("visit:V1^HOSPITAL", "", ("V1^^^HOSPITAL^VN", "")),
        ("visit:V1^A&1.2&ISO", "", ("V1^^^A&1.2&ISO^VN", "")),
        ("visit:ZY9-2^HOSPITAL", "VN", ("2^^^HOSPITAL^VN", "")),
        ("visit:ZY9-2^HOSPITAL", "", ("ZY9-2^^^HOSPITAL^VN", "")),
        ("account:A5^HOSPITAL", "", ("", "A5^^^HOSPITAL^AN")),
        ("admitted:4711^HOSPITAL^MR@29833333", "", ("", "")),
    ],
)
def test_the_visit_is_numbered_as_the_admission_office_does(
    key: str, prefix_type: str, expected: tuple[str, str]
) -> None:
    found = message(charted(stay=replace(STAY, key=key)), style=replace(STYLE, visit_prefix_type=prefix_type))
    assert (found.field("PV1", 19), found.field("PID", 18)) == expected


def test_the_place_is_that_of_the_measurement() -> None:
    moved = charted(
        "MDC_TEMP", 36.5, unit="Cel", decimals=1, observed_at_us=SLOT_US - 1, place=Place(key="^er^^2", name="")
    )
    by_hand = charted("pain", 3.0, unit="{score}", observed_at_us=SLOT_US, place=None, device=None)
    assert message(charted(), moved, by_hand).field("PV1", 3) == "er^^2"
    assert message(by_hand).field("PV1", 3) == ""


def test_a_person_with_one_name_and_half_a_birth_date() -> None:
    person = replace(PERSON, family="", given="", name="无名氏", birth_date="1970", sex="")
    found = message(charted(person=person))
    assert [found.field("PID", n) for n in (5, 7, 8)] == ["无名氏", "1970", ""]
    assert message(charted(person=replace(PERSON, birth_date="unknown"))).field("PID", 7) == ""


def test_what_a_device_calls_itself_stands_beside_our_name_for_it() -> None:
    named = replace(DEVICE, claim="main:mindray:AB-1")
    assert obx_of(charted(device=named)).field(18) == f"{DEVICE.uuid}^VITALWIRE~main:mindray:AB-1"


def test_an_entry_that_became_final_by_itself_says_so() -> None:
    assert message(charted(by_time=True)).field("NTE", 3) == NOT_CONFIRMED
    assert message(charted()).first("NTE") is None


def test_the_same_versions_are_the_same_bytes_in_any_order() -> None:
    versions = [charted(item, ordinal=n) for n in (1, 2, 3) for item in ("MDC_PULS_OXIM_SAT_O2", "MDC_ECG_HEART_RATE")]
    first = oru_r01(versions, "A", STYLE, SENT_AT_US)
    random.Random(1).shuffle(versions)
    assert oru_r01(versions, "A", STYLE, SENT_AT_US) == first


@pytest.mark.parametrize(
    ("versions", "control_id", "message"),
    [
        ([], "A", "no versions"),
        ([charted(), charted(slot_us=SLOT_US + 1)], "A", "several encounters or slots"),
        ([charted(), charted(stay=replace(STAY, key="visit:V2^HOSPITAL"))], "A", "several encounters or slots"),
        ([charted(person=None)], "A", "nobody knows whose"),
        ([charted(person=replace(PERSON, erased=True))], "A", "has been erased"),
        ([charted()], "A" * 21, "MSH-10"),
        ([charted()], "", "MSH-10"),
    ],
)
def test_what_has_no_message(versions: list[ChartedVersion], control_id: str, message: str) -> None:
    with pytest.raises(VitalwireError, match=message) as caught:
        oru_r01(versions, control_id, STYLE, SENT_AT_US)
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"version": "2.2"}, {"character_set": "EBCDIC"}, {"time_zone": "Mars/Base"}, {"withdrawn_as": "X"}]
)
def test_a_style_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"2\.2|EBCDIC|Mars/Base|withdrawn_as"):
        OruStyle(**wrong)


def test_delimiters_and_controls_are_escaped() -> None:
    text = "a|b^c~d\\e&f\r\n\x0b\x1c\udcff"
    assert escape(text) == r"a\F\b\S\c\R\d\E\e\T\f\X0D\\X0A\\X0B\\X1C\\XFF" + "\\"


@given(st.text(st.characters(codec="utf-8")))
def test_what_is_escaped_reads_back_as_it_was(text: str) -> None:
    escaped = escape(text)
    assert not set(escaped) & set("|^~&\r\n\x0b\x1c\0")
    assert unescape(escaped, syntax("|", r"^~\&", "utf-8")) == text


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)
NAMES = st.text("ABz09-.", min_size=1, max_size=12)
IDENTIFIERS = st.builds(Identifier, value=NAMES, authority=NAMES, type=st.sampled_from(["MR", "PI", ""]))
PERSONS = st.builds(
    Person, key=st.just("4711^HOSPITAL^MR"), identifiers=st.lists(IDENTIFIERS, min_size=1, max_size=3).map(tuple),
    family=TEXTS, given=TEXTS, name=NAMES, birth_date=st.sampled_from(["", "1970", "1970-05", "1970-05-01"]),
    sex=st.sampled_from(["", "F", "M", "U"]), erased=st.just(False),
)  # fmt: skip
STAYS = st.builds(
    Stay, key=st.sampled_from(["visit:V1^A", "account:7^B", "admitted:4711^HOSPITAL^MR@29833333"]),
    patient_class=st.sampled_from(["", "I", "E"]), admitted_at_us=st.none() | st.just(SLOT_US),
    discharged_at_us=st.none(),
)  # fmt: skip
NUMBERS = st.floats(-999, 99_999, allow_nan=False)


@st.composite
def slots(draw: st.DrawFn) -> list[ChartedVersion]:
    person, stay = draw(PERSONS), draw(STAYS)
    versions = []
    for ordinal in range(1, draw(st.integers(1, 4)) + 1):
        has_value = draw(st.booleans())
        value, text = (draw(NUMBERS), "") if has_value else (None, draw(TEXTS | st.text("x", max_size=TEXT_MAX)))
        versions.append(charted(
            draw(st.sampled_from([*ITEMS, *(metric.reference_id for metric in METRICS)])), value, text=text.strip(),
            decimals=draw(st.integers(0, 4)), status=draw(st.sampled_from(Status)), ordinal=ordinal, person=person,
            stay=stay, by_time=draw(st.booleans()), reason=draw(TEXTS), by_name=draw(TEXTS),
            device=draw(st.none() | st.just(DEVICE) | st.just(Instrument(uuid=DEVICE.uuid, claim="", name=""))),
            place=draw(st.none() | st.just(PLACE)), observed_at_us=draw(st.integers(SLOT_US - 10**10, SLOT_US)),
        ))  # fmt: skip
    return versions


@settings(max_examples=40, deadline=None)
@given(slots(), st.sampled_from(VERSIONS), st.sampled_from(["UNICODE UTF-8", "GB18030"]))
def test_hl7apy_and_two_readers_agree_with_any_message(
    versions: list[ChartedVersion], version: str, character_set: Any
) -> None:
    style = OruStyle(version=version, character_set=character_set, time_zone="Asia/Shanghai")
    data = oru_r01(versions, "ABCDEFGHIJKLMNOPQRST", style, SENT_AT_US)
    validate_oru(data)
    ours = Hl7Message(data)
    theirs = hl7.parse(data.decode("gb18030" if character_set == "GB18030" else "utf-8"))
    found = [segment for segment in ours.segments if segment.name == "OBX"]
    assert len(found) == len(theirs.segments("OBX")) == len(versions)
    by_ordinal = {each.ordinal: each for each in versions}
    for segment, other in zip(found, theirs.segments("OBX"), strict=True):
        each = by_ordinal[int(segment.field(4))]
        assert str(other[4]) == segment.field(4)
        assert segment.field(5, 1) == (each.version.text if each.version.value is None else written(each))
    person = versions[0].person
    assert person is not None
    assert ours.segments[1].repetitions(3) == len(person.identifiers)
    assert ours.field("PID", 5, 1) == (person.family if person.family or person.given else person.name)


def written(charted: ChartedVersion) -> str:
    """By decimal, half even as IEEE 754 has it: another way than the one under test."""
    value = Decimal(charted.version.value or 0).quantize(Decimal(1).scaleb(-charted.version.decimals))
    return str(abs(value) if value == 0 else value)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b"PID|1||4711^^^HOSPITAL^MR", b"PID|one||4711^^^HOSPITAL^MR", "segment 2, PID-1"),
        (b"OBX|1|NM|", b"OBX|1|XX|", "segment 5, OBX-2"),
        (b"|97|", b"|4711|", ""),
        (b"|97|", b"|Zhang|", "segment 5, OBX-5: not a number"),
        (b"|97|", b"||", "segment 5, OBX-5: empty"),
        (b"|||||F|", b"|||||Q|", "segment 5, OBX-11: not a code"),
        (b"20260921221322+0800", b"yesterday", "segment 1, MSH-7"),
        (b"OBR|", b"OBX|", "OBX"),
        (b"PV1|1|I", b"PV1|1|", "missing required child PV1.PV1_2"),
        (b"|ABCDEFGHIJKLMNOPQRST|", b"||", "not HL7: no-msh-10"),
    ],
)
def test_what_is_not_valid_is_named_without_what_it_says(old: bytes, new: bytes, error: str) -> None:
    data = oru_r01([charted()], "ABCDEFGHIJKLMNOPQRST", STYLE, SENT_AT_US)
    assert old in data
    spoilt = data.replace(old, new, 1)
    if not error:
        validate_oru(spoilt)
        return
    with pytest.raises(VitalwireError, match=error) as caught:
        validate_oru(spoilt)
    assert not any(word in str(caught.value) for word in ("4711", "Zhang", "张", "yesterday"))
