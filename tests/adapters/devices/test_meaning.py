"""What an HL7 value means: the neighbours of the cases that messages were found with (docs/adr/0007)."""

from __future__ import annotations

import pytest

from adapters.devices.hl7_oru import Hl7Settings
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, unit_from_text
from schemas.report import Kind, Lane, Mark, RecordKind, Validity
from tests.hl7 import (
    MSH,
    OBR,
    PERCENT,
    PV1,
    SPO2,
    frame,
    measured,
    obx,
    records,
    reports,
    source,
    value_of,
)

NIBP = "150021^MDC_PRESS_BLD_NONINV_SYS^MDC"
TEMP = "150344^MDC_TEMP^MDC"
SPO2_CODE = METRIC_BY_REFERENCE_ID["MDC_PULS_OXIM_SAT_O2"].code
MMHG, KPA, CEL = (unit_from_text(text) for text in ("mmHg", "kPa", "Cel"))
assert MMHG
assert KPA
assert CEL


def row(metric: str, *more: str, code: str = "x") -> str:
    return "\n".join(["[[mapping]]", f'code = "{code}"', f'metric = "{metric}"', *more]) + "\n"


# --- numbers, bounds, texts ---


@pytest.mark.parametrize(
    ("kind", "sent", "mantissa", "exponent"),
    [("NM", "97", 97, 0), ("NM", " 97.0 ", 970, -1), ("nm ", "97", 97, 0), ("NM^x", "97", 97, 0), ("SN", "^82", 82, 0),
     ("SN", "=^82", 82, 0), ("SN", " = ^ 82 ", 82, 0), ("SN", "^82^^", 82, 0), ("SN", "82", 82, 0), ("ST", "82", 82, 0),
     ("TX", " 82.5", 825, -1), ("FT", "82", 82, 0), ("", "82", 82, 0), ("NM", "0", 0, 0), ("SN", "^0", 0, 0)],
)  # fmt: skip
def test_a_number_is_a_number(kind: str, sent: str, mantissa: int, exponent: int) -> None:
    (record,) = records(measured(obx(sent, kind=kind)))
    assert (record.kind, record.validity, record.text) == (RecordKind.NUMERIC, Validity.VALID, None)
    assert value_of(record) == (mantissa, exponent, 0)


@pytest.mark.parametrize(
    ("kind", "sent", "mantissa", "marks"),
    [("NM", "<70", 70, Mark.LESS), ("ST", "> 70", 70, Mark.GREATER), ("SN", "<^70", 70, Mark.LESS),
     ("SN", ">=^70", 70, Mark.GREATER | Mark.OR_EQUAL), ("SN", "<70", 70, Mark.LESS), ("SN", " < ^ 0", 0, Mark.LESS)],
)  # fmt: skip
def test_a_bound_is_a_bound(kind: str, sent: str, mantissa: int, marks: Mark) -> None:
    (record,) = records(measured(obx(sent, kind=kind)))
    assert (record.kind, record.validity) == (RecordKind.BOUND, Validity.VALID)
    assert value_of(record) == (mantissa, 0, int(marks))


@pytest.mark.parametrize(
    ("kind", "sent"),
    [("NM", "~97"), ("NM", "97~98"), ("SN", "^1^:^128"), ("SN", "^10^-^20"), ("SN", "~^5"), ("SN", "<>^5"),
     ("ST", "97 %"), ("NR", "90^100")],
)  # fmt: skip
def test_what_is_neither_keeps_its_text(kind: str, sent: str) -> None:
    (record,) = records(measured(obx(sent, kind=kind)))
    assert (record.code, record.kind, record.validity) == (SPO2_CODE, RecordKind.TEXT, Validity.VALID)
    assert (record.text, record.mantissa) == (sent, 0)


@pytest.mark.parametrize("sent", ["", '""', " ", "--.-", "None", "N/A "])
@pytest.mark.parametrize("kind", ["NM", "SN", "ST", "TX", ""])
def test_no_reading_is_one_of_every_type_that_may_hold_a_number(kind: str, sent: str) -> None:
    (record,) = records(measured(obx(sent, kind=kind)))
    assert (record.kind, record.validity, record.mantissa) == (RecordKind.NUMERIC, Validity.NOT_AVAILABLE, 0)
    assert record.text == (None if sent.strip() in ("", '""') else sent.strip())


@pytest.mark.parametrize("sent", ["None", "---", "n/a"])
def test_the_text_of_what_is_no_metric_is_content(sent: str) -> None:
    (record,) = records(measured(obx(sent, "pacing^Pacing^L", "", kind="ST")))
    assert (record.kind, record.validity, record.text) == (RecordKind.TEXT, Validity.VALID, sent)


def test_a_decimal_comma_where_the_source_says_so() -> None:
    of = source(row("MDC_TEMP"), decimal_comma=True)
    assert [value_of(r)[:2] for r in records(measured(obx("36,5", "x^T^L", "Cel")), of)] == [(365, -1)]


@pytest.mark.parametrize("kind", ["CE", "CWE", "CNE", " cwe "])
def test_an_enumeration_of_mdc_is_a_code_with_its_words(kind: str) -> None:
    (record,) = records(measured(obx("147842^MDC_ECG_HEART_RATE^MDC", "9^Source^L", "", kind=kind)))
    assert (record.kind, record.mantissa, record.text) == (RecordKind.CODE, 147842, "MDC_ECG_HEART_RATE")
    (second,) = records(measured(obx("1^Sinus^L^5^Rhythm^MDC", "9^Source^L", "", kind=kind)))
    assert (second.kind, second.mantissa, second.text) == (RecordKind.CODE, 5, "Rhythm")


@pytest.mark.parametrize("sent", ["205^Sensor off", "1^a^MDC~2^b^MDC", "x^y^MDC"])
def test_another_coded_value_is_a_text(sent: str) -> None:
    (record,) = records(measured(obx(sent, "9^Source^L", "", kind="CWE")))
    assert (record.kind, record.text) == (RecordKind.TEXT, sent)


@pytest.mark.parametrize("sent", ["8388607", "8388608", "-8388608", "32767", "2047", "8388607.0"])
def test_a_sentinel_is_one_beside_obx_11_x_alone(sent: str) -> None:
    (beside_x,) = records(measured(obx(sent, status="X ")))
    assert (beside_x.validity, beside_x.mantissa, beside_x.text) == (Validity.NOT_AVAILABLE, 0, sent)
    (result,) = records(measured(obx(sent, status="F")))
    assert (result.validity, result.kind) == (Validity.VALID, RecordKind.NUMERIC)


@pytest.mark.parametrize("sent", ["-100", "-100.0", "-100.00", " -1e2"])
def test_mindrays_sentinel_is_one_in_its_dialect_alone(sent: str) -> None:
    data = frame("OBX||NM|160^SpO2|2103|" + sent + "||||||F", msh=r"MSH|^~\&|||||||ORU^R01|204|P|2.3.1|")
    assert [r.validity for r in records(data, source(dialect="mindray-pds"))] == [Validity.NOT_AVAILABLE]
    assert [r.validity for r in records(data)] == [Validity.VALID]


# --- flags ---


@pytest.mark.parametrize(
    ("flags", "status", "validity", "marks"),
    [("INV^Invalid^99X", "R", Validity.INVALID, 0), ("inv", "F", Validity.INVALID, 0), (" QUES ^x", "F", 1, 0),
     ("L~QUES^x^y", "R", Validity.QUESTIONABLE, 0), ("", "X   ", Validity.INVALID, 0), ("", "x^y", Validity.INVALID, 0),
     ("", "C", 0, Mark.CORRECTION), ("", "c ", 0, Mark.CORRECTION), ("", "D", 0, Mark.WITHDRAWAL), ("", "W", 3, 32),
     ("QUES", "D", Validity.QUESTIONABLE, Mark.WITHDRAWAL), ("H", "F", 0, 0), ("cal", "F", Validity.CALIBRATING, 0),
     ("L^Low^HL70078^INV^Invalid^MDC", "F", Validity.INVALID, 0),
     ("<", "F", Validity.UNDERFLOW, 0), ("", "N", Validity.INVALID, 0), ("", "", Validity.VALID, 0)],
)  # fmt: skip
def test_the_first_component_of_a_flag_counts_in_any_case(flags: str, status: str, validity: int, marks: int) -> None:
    (record,) = records(measured(obx("82", flags=flags, status=status)))
    assert (record.validity, int(record.marks), record.mantissa) == (validity, marks, 82)


@pytest.mark.parametrize("method", ["MSET", "ASET^auto-setting^MDC", " rset ", "AMEAS~MSET^x", "1^Set^L^MSET^x^MDC"])
def test_a_setting_is_no_measurement(method: str) -> None:
    data = measured(obx("18", method=method), obx("97", method="AMEAS"))
    assert [r.mantissa for r in records(data, kind=Kind.SETTING)] == [18]
    assert [(r.mantissa, int(r.marks)) for r in records(data)] == [(97, 0)]  # and no twin of it


def test_philips_settings_are_told_by_obx_13() -> None:
    line = f"OBX||NM|{SPO2}||90|%|||||F||SETTING"
    assert [r.mantissa for r in records(measured(line), kind=Kind.SETTING)] == [90]
    assert len(records(measured(line.replace("SETTING", "APERIODIC")))) == 1


@pytest.mark.parametrize(
    ("processing", "live", "trains"),
    [("T", ("P",), True), ("D", ("P",), True), ("T^A", ("P",), True), ("P", ("P",), False), ("", ("P",), False),
     ('""', ("P",), False), ("p ^A", ("P",), False), ("T", ("P", "T"), False), ("P", ("T",), True)],
)  # fmt: skip
def test_training_is_marked_on_every_record(processing: str, live: tuple[str, ...], trains: bool) -> None:
    msh = MSH.replace("|P|", f"|{processing}|")
    found = reports(frame(PV1, OBR, obx("74"), obx("1", "x^y^L", ""), msh=msh), source(processing_ids_live=live), None)
    assert {r.kind for r in found} == {Kind.CONTEXT, Kind.DESCRIPTION, Kind.METRIC}
    assert {bool(r.marks & Mark.TRAINING) for report in found for r in report.records} == {trains}
    (adt,) = reports(frame(PV1, msh=msh.replace("ORU^R01^ORU_R01", "ADT^A01")), source(processing_ids_live=live), None)
    assert {bool(r.marks & Mark.TRAINING) for r in adt.records} == {trains}


# --- codes and units ---


@pytest.mark.parametrize(
    ("unit", "code"),
    [("mm(hg)^^ISO+", MMHG), ("mmHg", MMHG), ("266016^MDC_DIM_MMHG^MDC", MMHG), (" mmHg ^", MMHG),
     ("266016^MDC_DIM_MMHG^MDC^mm[Hg]^mm[Hg]^UCUM", MMHG), ("kPa^kilopascal", KPA)],
)  # fmt: skip
def test_a_units_parts_agree(unit: str, code: object) -> None:
    (record,) = records(measured(obx("120", NIBP, unit)))
    assert (record.unit, record.as_sent) == (code.code, None)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "unit",
    ["266560^MDC_DIM_DEGC^MDC", "268192^MDC_DIM_FAHR^MDC", "mmHg^kPa", "266016^MDC_DIM_KILO_PASCAL", "mmHg^^^kPa",
     "%^^^mmHg", "266016^MDC_DIM_MMHG^MDC^kPa^kPa^UCUM", "mmHg~kPa", "~mmHg~kPa"],
)  # fmt: skip
def test_a_unit_that_contradicts_itself_is_none(unit: str) -> None:
    for of in (source(), source(row("MDC_TEMP", 'unit = "Cel"'))):
        for names in (TEMP, "x^T^L"):
            (record,) = records(measured(obx("36.9", names, unit)), of)
            assert record.unit == 0
            assert record.as_sent is not None
            assert record.as_sent.unit


def test_a_units_text_may_be_words() -> None:
    (record,) = records(measured(obx("55", SPO2, "{beats}/min^beats per minute^UCUM")))
    assert record.unit == unit_from_text("{beats}/min").code  # type: ignore[union-attr]


@pytest.mark.parametrize(("stated", "unit"), [("kPa^mmHg", 0), ('""', MMHG.code), ("Torr^x^y", MMHG.code)])
def test_what_the_sender_states_of_a_unit_outranks_the_row(stated: str, unit: int) -> None:
    of = source(row("MDC_PRESS_BLD_NONINV_SYS", 'unit = "mmHg"'))
    (record,) = records(measured(obx("16.5", "x^y^L", stated)), of)
    assert (record.unit, record.as_sent is not None) == (unit, unit == 0)


@pytest.mark.parametrize(
    ("names", "metric"),
    [
        ("150456^MDC_PULS_OXIM_SAT_O2^MDC", SPO2_CODE), (" 150456 ^x^ mdc", SPO2_CODE),
        ("^MDC_PULS_OXIM_SAT_O2", SPO2_CODE),
        ("150456^MDC_PULS_OXIM_PULS_RATE^MDC", 0), ("150456^x^L", 0), ("59408-5^SpO2^LN", SPO2_CODE),
        ("59408-5^SpO2^L", 0), ("1^x^L^150456^y^MDC", SPO2_CODE), ("150456^x^MDC^149530^y^MDC", 0),
        ("8867-4^HR^LN^150456^y^MDC", SPO2_CODE), ("1^x^L^59408-5^y^LN", SPO2_CODE), ("0000000000150456^x^MDC", 0),
    ],
)  # fmt: skip
def test_a_code_is_what_its_triplets_agree_on(names: str, metric: int) -> None:
    assert [r.code for r in records(measured(obx("97", names)))] == [metric]


def test_spo2_and_pulse_under_one_identifier_by_their_texts() -> None:
    data = measured(obx("97", "0002^SpO2^MDIL", "%"), obx("58", "0002^Pulse^MDIL", "bpm"))
    both = '[[mapping]]\ncode = "0002"\ntext = "{}"\nmetric = "{}"\n'
    of = source(both.format("SpO2", "MDC_PULS_OXIM_SAT_O2") + both.format("pulse", "MDC_PULS_OXIM_PULS_RATE"))
    assert [(r.code, r.mantissa) for r in records(data, of)] == [(SPO2_CODE, 97), (149530, 58)]


def test_a_second_text_takes_a_row_from_the_whole_message() -> None:
    of = source(row("MDC_PULS_OXIM_SAT_O2", code="0002"))
    spo2, pulse = obx("97", "0002^SpO2^MDIL", "%"), obx("58", "0002^Pulse^MDIL", "bpm")
    assert [r.code for r in records(measured(spo2), of)] == [SPO2_CODE]
    assert [r.code for r in records(measured(spo2, pulse), of)] == [0, 0]


# --- texts in bytes ---


def test_bytes_that_do_not_decode_spoil_their_own_text() -> None:
    data = measured(obx("M?ller", "n^Name^L", "", kind="ST"), obx("97"), "NTE|1||?").replace(b"?", b"\xfc")
    text, number = records(data)
    assert (text.text, text.marks) == (b"M\xfcller", Mark.UNDECODED)
    assert (number.mantissa, number.marks, number.note) == (97, Mark(0), "\\udcfc")


def test_a_bed_that_does_not_decode_is_still_a_bed() -> None:
    found = [
        reports(frame(PV1, OBR, obx("97")).replace(b"ICU^^07", b"ICU^^" + bed))[0].claim for bed in (b"\xfcx", b"\xfdx")
    ]
    assert found == ["test/PV1-3=ICU^^\\udcfcx", "test/PV1-3=ICU^^\\udcfdx"]


def test_a_label_that_does_not_decode_still_tells_channels_apart() -> None:
    data = measured(obx("1", "n^x?1^L", ""), obx("2", "n^x!1^L", "")).replace(b"?", b"\xfc").replace(b"!", b"\xfd")
    one, two = records(data)
    assert one.channel != two.channel
    assert not (one.marks | two.marks) & Mark.AMBIGUOUS


# --- the rest ---


def test_adt_is_kept_whole_on_its_own_lane() -> None:
    data = frame("EVN|A01", "PID|||A1||Doe", PV1, msh=MSH.replace("ORU^R01^ORU_R01", "ADT^A01"))
    (found,) = reports(data, None, None)
    assert (found.kind, found.lane, found.frame) == (Kind.CONTEXT, Lane.ADT, data)
    (mdm,) = reports(data.replace(b"ADT^A01", b"MDM^T02"), None, None)
    assert mdm.lane is Lane.LIVE


@pytest.mark.parametrize("kind", ["ORU^R01", " oru ^r01", "ORU"])
def test_padding_and_case_of_msh_9_mean_nothing(kind: str) -> None:
    assert records(frame(PV1, OBR, obx("97"), msh=MSH.replace("ORU^R01^ORU_R01", kind)))


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"dialect": "mindray"}, "'mindray' is none of plain"), ({"device": "PV1"}, "'PV1' is no field: OBX-18, PV1-3"),
     ({"device": "OBX-4"}, "of OBX, 18 alone does"), ({"charset": "EBCDIC"}, "'EBCDIC' is not known")],
)  # fmt: skip
def test_settings_by_which_nothing_can_be_read_are_refused(settings: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Hl7Settings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "claim"),
    [("PV1-3", "test/PV1-3=ICU^^07"), ("PV1-3.3", "test/PV1-3.3=07"), ("MSH-3", "test/MSH-3=MON"),
     ("connection", "test/connection=10.0.0.7"), ("OBX-18", "eui64:080019fffe134535"), ("OBR-4", "test/OBR-4=X"),
     ("ZZZ-1", "test/connection=10.0.0.7"), ("ORC-2", "test/ORC-2=7"), (None, "eui64:080019fffe134535")],
)  # fmt: skip
def test_the_field_that_names_the_device(device: str | None, claim: str) -> None:
    data = frame(PV1, "ORC|RE|7", OBR, obx("97", equipment="080019FFFE134535^B1X5_GE"))
    assert reports(data, source(device=device))[0].claim == claim


def test_both_units_of_percent_read() -> None:
    assert [r.unit for r in records(measured(obx("97", SPO2, PERCENT)))] == [262688]
