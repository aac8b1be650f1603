import numpy as np
import pytest
from msgspec.structs import replace

from evidence.dead_letter import DeadLetter
from evidence.receipt import ReceiptOutcome
from evidence.seal import seal
from schemas.block import Block, ReportFlag, ValidationResult, read_block
from schemas.errors import LayoutError
from schemas.layout import LAYOUT, REPORT_ROW
from schemas.nomenclature import NOMENCLATURE_HASH
from schemas.report import (
    COMPARATORS,
    Alarm,
    ClockQuality,
    Kind,
    Lane,
    Mark,
    Record,
    RecordKind,
    Report,
    Samples,
    Validity,
)
from stream_processors.validation import (
    DRIFT_US,
    FUTURE_US,
    KEY_GRACE_US,
    LATE_US,
    EdgeKey,
    Memory,
    to_float,
    validate,
)
from tests.making import (
    PER_MIN,
    PERCENT,
    PULSE,
    SPO2,
    T0_US,
    Key,
    encoded_reports,
    of_newer_layout,
    report,
    sealed,
)

KEY, STRANGER = Key(), Key()
NOW_US = T0_US + 1_000_000
TEMP, DEGC, FAHR = 150364, 268192, 266560
ETCO2, MMHG, KPA = 151708, 266016, 265987
GLUCOSE, MMOL_PER_L, MG_PER_DL, PH = 160020, 266866, 264274, 160004
MEMORY = {KEY.key_id: EdgeKey(b"E" * 16, KEY.public_der, 0, 2**62, False)}


def validated(reports: list[Report]) -> Block:
    (block,) = validate("live.raw", [sealed(reports, KEY)], Memory(MEMORY), NOW_US)
    assert isinstance(block, Block)
    return block


def result_of(record: Record, kind: Kind = Kind.METRIC) -> tuple[ValidationResult, float]:
    block = validated([report(records=[record], kind=kind)])
    return ValidationResult(block.validation_results[0]), float(block.values[0])


def bound(sign: str, number: int, code: int = SPO2, unit: int = PERCENT) -> Record:
    return Record(code, unit, kind=RecordKind.BOUND, mantissa=number, marks=COMPARATORS[sign])


@pytest.mark.parametrize(
    ("record", "validation_result", "value"),
    [
        (Record(SPO2, PERCENT, mantissa=97), ValidationResult.ACCEPTED, 97.0),
        (Record(SPO2, PERCENT, mantissa=0), ValidationResult.ACCEPTED, 0.0),  # zero is not missing
        (Record(SPO2, PERCENT, validity=Validity.NOT_AVAILABLE), ValidationResult.MISSING, np.nan),
        (Record(SPO2, PERCENT, mantissa=101), ValidationResult.DOUBTFUL_RANGE, 101.0),
        (Record(SPO2, PERCENT, mantissa=-1), ValidationResult.DOUBTFUL_RANGE, -1.0),
        (Record(SPO2, DEGC, mantissa=97), ValidationResult.DOUBTFUL_UNIT, 97.0),
        (Record(SPO2, 0, mantissa=97), ValidationResult.DOUBTFUL_UNIT, 97.0),
        (Record(SPO2, PERCENT, mantissa=97, validity=Validity.QUESTIONABLE), ValidationResult.DOUBTFUL_VALIDITY, 97.0),
        (Record(12345, PERCENT, mantissa=97), ValidationResult.UNMAPPED_CODE, 97.0),
        (Record(0, 0, mantissa=97), ValidationResult.UNMAPPED_CODE, 97.0),
        (Record(0, kind=RecordKind.TEXT, text="x"), ValidationResult.UNMAPPED_TEXT, np.nan),
        (Record(0, kind=RecordKind.TEXT, text=b"\xb0", marks=Mark.UNDECODED), ValidationResult.DOUBTFUL_TEXT, np.nan),
        (
            Record(SPO2, kind=RecordKind.TEXT, text="82 (low)"),
            ValidationResult.DOUBTFUL_TEXT,
            np.nan,
        ),  # SpO2 is a number
        (
            Record(SPO2, PERCENT, mantissa=97, marks=Mark.UNDECODED),
            ValidationResult.ACCEPTED,
            97.0,
        ),  # its remark alone is not
        (Record(SPO2, PERCENT, mantissa=97, marks=Mark.AMBIGUOUS), ValidationResult.ACCEPTED, 97.0),
        (Record(SPO2, PERCENT, mantissa=97, marks=Mark.CORRECTION), ValidationResult.ACCEPTED, 97.0),
        (Record(SPO2, PERCENT, mantissa=97, marks=Mark.TRAINING), ValidationResult.DOUBTFUL_TRAINING, 97.0),
        (Record(SPO2, PERCENT, mantissa=97, marks=Mark.WITHDRAWAL), ValidationResult.WITHDRAWN, 97.0),
        (
            Record(SPO2, PERCENT, validity=Validity.NOT_AVAILABLE, marks=Mark.WITHDRAWAL),
            ValidationResult.WITHDRAWN,
            np.nan,
        ),
        (bound("<", 70), ValidationResult.ACCEPTED_BOUND, 70.0),
        (bound(">=", 100), ValidationResult.ACCEPTED_BOUND, 100.0),
        (bound(">", 101), ValidationResult.DOUBTFUL_RANGE, 101.0),  # nothing is
        (bound("<", 101), ValidationResult.ACCEPTED_BOUND, 101.0),  # everything is
        (bound("<", -1), ValidationResult.DOUBTFUL_RANGE, -1.0),
        (bound(">", -1), ValidationResult.ACCEPTED_BOUND, -1.0),
        (bound("<", 93, TEMP, FAHR), ValidationResult.ACCEPTED_BOUND, 33.888888888888886),
        (bound("<", 70, SPO2, DEGC), ValidationResult.DOUBTFUL_UNIT, 70.0),
        (bound("<", 70, 12345), ValidationResult.UNMAPPED_CODE, 70.0),
        (Record(SPO2, kind=RecordKind.CODE, mantissa=3, text="searching"), ValidationResult.ACCEPTED_CODE, np.nan),
        (Record(0, kind=RecordKind.CODE, mantissa=3, text="SIMV"), ValidationResult.UNMAPPED_TEXT, np.nan),
        (Record(SPO2, kind=RecordKind.ALARM, mantissa=3, alarm=Alarm("low")), ValidationResult.NOT_A_VALUE, np.nan),
        (Record(TEMP, DEGC, mantissa=370, exponent=-1), ValidationResult.ACCEPTED, 37.0),
        (Record(TEMP, FAHR, mantissa=986, exponent=-1), ValidationResult.ACCEPTED, 37.0),
        # Several canonical units: each has its range, and nothing is converted between them.
        (Record(ETCO2, MMHG, mantissa=38), ValidationResult.ACCEPTED, 38.0),
        (Record(ETCO2, KPA, mantissa=5), ValidationResult.ACCEPTED, 37.503084),
        (Record(ETCO2, PERCENT, mantissa=5), ValidationResult.ACCEPTED, 5.0),
        (Record(ETCO2, PERCENT, mantissa=101), ValidationResult.DOUBTFUL_RANGE, 101.0),
        (Record(GLUCOSE, MMOL_PER_L, mantissa=10), ValidationResult.ACCEPTED, 10.0),
        (Record(GLUCOSE, MG_PER_DL, mantissa=180), ValidationResult.ACCEPTED, 180.0),
        (Record(GLUCOSE, MMOL_PER_L, mantissa=180), ValidationResult.DOUBTFUL_RANGE, 180.0),
        (Record(GLUCOSE, 0, mantissa=10), ValidationResult.DOUBTFUL_UNIT, 10.0),
        (Record(PH, 0, mantissa=741, exponent=-2), ValidationResult.ACCEPTED, 7.41),  # a pH is written without one
    ],
)
def test_each_record_has_its_result(record: Record, validation_result: ValidationResult, value: float) -> None:
    found, canonical = result_of(record)
    assert found == validation_result
    assert canonical == pytest.approx(value, nan_ok=True)


def test_waveforms_are_accepted_and_events_are_no_values() -> None:
    wave = Record(150452, kind=RecordKind.SAMPLES, samples=Samples(75, 1, 1, 0, 0, b"abcd"))
    assert result_of(wave, Kind.WAVEFORM)[0] == ValidationResult.ACCEPTED_SAMPLES
    assert result_of(replace(wave, unit=PERCENT), Kind.WAVEFORM)[0] == ValidationResult.ACCEPTED_SAMPLES
    assert result_of(replace(wave, unit=FAHR), Kind.WAVEFORM)[0] == ValidationResult.DOUBTFUL_UNIT
    assert result_of(replace(wave, code=0), Kind.WAVEFORM)[0] == ValidationResult.UNMAPPED_CODE
    assert (
        result_of(replace(wave, validity=Validity.QUESTIONABLE), Kind.WAVEFORM)[0] == ValidationResult.DOUBTFUL_VALIDITY
    )
    for kind in set(Kind) - {Kind.METRIC, Kind.WAVEFORM}:
        assert result_of(Record(SPO2, PERCENT, mantissa=97), kind)[0] == ValidationResult.NOT_A_VALUE


def test_a_setting_is_in_the_canonical_unit_too() -> None:
    validation_result, value = result_of(Record(TEMP, FAHR, mantissa=1004, exponent=-1), Kind.SETTING)
    assert (validation_result, value) == (
        ValidationResult.NOT_A_VALUE, pytest.approx(38.0)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("behind_us", "flags"),
    [(0, 0), (LATE_US, 0), (LATE_US + 1, ReportFlag.LATE), (-FUTURE_US, 0), (-FUTURE_US - 1, ReportFlag.FUTURE)],
)
def test_clocks_are_flags(behind_us: int, flags: int) -> None:
    stated = Report(Kind.METRIC, "c", T0_US, T0_US + behind_us, ClockQuality.DEVICE, report().records)
    block = validated([stated])
    assert block.flags.tolist() == [flags]
    future = ValidationResult.DOUBTFUL_CLOCK if flags & ReportFlag.FUTURE else ValidationResult.ACCEPTED
    assert block.validation_results.tolist() == [future] * 2  # late is accepted as late, the future is not believed


def test_drift_and_missing_time_are_flagged() -> None:
    records = report().records
    drift = Report(Kind.METRIC, "c", T0_US, T0_US, ClockQuality.DEVICE, records, device_at_us=T0_US - DRIFT_US - 1)
    none = Report(Kind.METRIC, "c", T0_US, T0_US, ClockQuality.RECEIVED, records)
    assert validated([drift, none]).flags.tolist() == [ReportFlag.DRIFT, ReportFlag.NO_TIME]


def test_a_stated_time_that_cannot_be_read_is_doubtful() -> None:
    stated = Report(Kind.METRIC, "c", T0_US, T0_US, ClockQuality.DOUBTFUL, report().records)
    block = validated([stated])
    assert block.flags.tolist() == [ReportFlag.DOUBTFUL_TIME]
    assert block.validation_results.tolist() == [ValidationResult.DOUBTFUL_CLOCK] * 2


@pytest.mark.parametrize(
    ("registry", "reason"),
    [
        ({}, "unknown-edge"),
        ({KEY.key_id: EdgeKey(b"F" * 16, KEY.public_der, 0, 2**62, False)}, "not-this-edge"),
        ({KEY.key_id: EdgeKey(b"E" * 16, KEY.public_der, 0, 2**62, True)}, "key-not-valid"),
        ({KEY.key_id: EdgeKey(b"E" * 16, KEY.public_der, NOW_US + 1, 2**62, False)}, "key-not-valid"),
        ({KEY.key_id: EdgeKey(b"E" * 16, STRANGER.public_der, 0, 2**62, False)}, "signature"),
    ],
)
def test_who_is_not_believed_is_told_nothing(registry: dict[bytes, EdgeKey], reason: str) -> None:
    message = sealed([report()], KEY)
    assert validate("live.raw", [message], Memory(registry), NOW_US) == [DeadLetter(reason, "live.raw", None, message)]


def test_a_broken_batch_of_a_registered_edge_is_quarantined_alone() -> None:
    good = sealed([report()], KEY)
    broken = good[:-1] + bytes([good[-1] ^ 1])
    found = validate("live.raw", [good, broken, b"noise", good], Memory(MEMORY), NOW_US)
    assert [(d.reason, d.outcome) for d in found if isinstance(d, DeadLetter)] == [
        ("body-hash", ReceiptOutcome.QUARANTINED),
        ("size", None),
    ]
    (block,) = [b for b in found if isinstance(b, Block)]
    assert block.batches == (good, good)


def test_a_batch_that_is_not_canonical_is_separated_from_its_neighbours() -> None:
    """Signed and with its root, but with a value where there is none: an edge of ours never writes that."""
    wrong = encoded_reports([report(records=[Record(SPO2, PERCENT, validity=Validity.NOT_AVAILABLE)])])[0]
    wrong = wrong[: REPORT_ROW.itemsize + 16] + (5).to_bytes(8, "little")
    broken = seal(
        [wrong], lane=Lane.LIVE, edge=b"E" * 16, spool=b"S" * 16, batch_no=2, previous=bytes(32), created_at_us=T0_US,
        config_hash=bytes(32), key_id=KEY.key_id, sign=KEY.sign,
    )  # fmt: skip
    good = sealed([report()], KEY)
    found = validate("live.raw", [good, broken, good], Memory(MEMORY), NOW_US)
    assert [(d.reason, d.outcome) for d in found if isinstance(d, DeadLetter)] == [
        ("not-canonical", ReceiptOutcome.QUARANTINED)
    ]
    (block,) = [b for b in found if isinstance(b, Block)]
    assert block.batches == (good, good)


def test_a_gap_in_a_stream_is_flagged() -> None:
    memory = Memory(MEMORY)
    numbers = [1, 2, 5, 6, 3]
    messages = [sealed([report()], KEY, batch_no=n) for n in numbers]
    (block,) = validate("live.raw", messages, memory, NOW_US)
    assert isinstance(block, Block)
    assert [bool(f & ReportFlag.GAP) for f in block.flags] == [False, False, True, False, False]


def test_a_block_reads_as_written() -> None:
    messages = [sealed([report()], KEY, batch_no=n) for n in (1, 2)]
    (block,) = validate("live.raw", messages, Memory(MEMORY), NOW_US, [T0_US, NOW_US + 1])
    assert isinstance(block, Block)
    again = read_block(block.encode())
    assert again.batches == block.batches == tuple(messages)
    assert again.validation == block.validation
    assert again.nomenclature_hash == NOMENCLATURE_HASH
    assert again.appended_at_us.tolist() == [T0_US, NOW_US]  # never later than now, whatever the broker's clock says
    with pytest.raises(LayoutError):
        read_block(block.encode()[:-1])


DAY_US = 24 * 3600 * 1_000_000


@pytest.mark.parametrize(
    ("expired_at_us", "now_us", "outcome"),
    [
        (T0_US + 1, T0_US + 1, "flagged"),  # the batch was made at T0_US
        (T0_US + 1, T0_US + KEY_GRACE_US, "flagged"),
        (T0_US + 1, T0_US + 1 + KEY_GRACE_US, "refused"),
        (T0_US, T0_US + 1, "refused"),  # made when the key had expired
        (T0_US + DAY_US, T0_US + DAY_US - 1, "accepted"),
    ],
)
def test_a_key_that_expired_speaks_for_what_was_made_before(expired_at_us: int, now_us: int, outcome: str) -> None:
    memory = Memory({KEY.key_id: EdgeKey(b"E" * 16, KEY.public_der, 0, expired_at_us, False)})
    message = sealed([report(), report()], KEY)
    (found,) = validate("live.raw", [message], memory, now_us)
    if outcome == "refused":
        assert found == DeadLetter("expired-key", "live.raw", ReceiptOutcome.REFUSED, message)
    else:
        assert isinstance(found, Block)
        assert [bool(f & ReportFlag.EXPIRED_KEY) for f in found.flags] == [outcome == "flagged"] * 2
        assert set(found.validation_results.tolist()) == {ValidationResult.ACCEPTED}


def test_a_batch_of_a_newer_layout_is_refused_to_its_edge_alone() -> None:
    """Its neighbours are taken; who is not believed is told nothing, whatever the layout."""
    good = sealed([report()], KEY)
    newer, unsigned = of_newer_layout(good, KEY), of_newer_layout(good, STRANGER)
    found = validate("live.raw", [newer, good, unsigned], Memory(MEMORY), NOW_US)
    assert found[:2] == [
        DeadLetter("newer-layout", "live.raw", ReceiptOutcome.REFUSED, newer),
        DeadLetter("signature", "live.raw", None, unsigned),
    ]
    (block,) = [b for b in found if isinstance(b, Block)]
    assert block.batches == (good,)


def test_a_layout_is_refused_until_every_worker_reads_it() -> None:
    """What this worker reads itself is not taken before `batch_layout` says that the others do."""
    message = sealed([report()], KEY)
    (found,) = validate("live.raw", [message], Memory(MEMORY, batch_layout=LAYOUT - 1), NOW_US)
    assert found == DeadLetter("newer-layout", "live.raw", ReceiptOutcome.REFUSED, message)


def test_a_revoked_key_speaks_for_nothing_though_it_expired_too() -> None:
    memory = Memory({KEY.key_id: EdgeKey(b"E" * 16, KEY.public_der, 0, T0_US + 1, True)})
    (found,) = validate("live.raw", [sealed([report()], KEY)], memory, NOW_US)
    assert isinstance(found, DeadLetter)
    assert (found.reason, found.outcome) == ("key-not-valid", None)


KINDS = [RecordKind.NUMERIC, RecordKind.NUMERIC, RecordKind.BOUND, RecordKind.CODE, RecordKind.TEXT]
OTHER_MARKS = [Mark(0), Mark(0), Mark.AMBIGUOUS, Mark.TRAINING, Mark.WITHDRAWAL, Mark.UNDECODED]


def test_result_over_a_block_is_the_result_one_by_one() -> None:
    """The numpy of a whole block against each record alone."""
    random = np.random.default_rng(3)
    records = [
        Record(
            int(random.choice([SPO2, PULSE, TEMP, 0, 99])),
            int(random.choice([PERCENT, PER_MIN, DEGC, FAHR, 0])),
            mantissa=int(random.integers(-50, 500)),
            exponent=int(random.integers(-2, 2)),
            kind=(kind := random.choice(KINDS)),
            marks=random.choice(list(COMPARATORS.values())) if kind == RecordKind.BOUND else random.choice(OTHER_MARKS),
            validity=Validity(int(random.choice([0, 0, 0, 1, 6]))),
        )
        for _ in range(400)
    ]
    block = validated([report(records=records[i : i + 10]) for i in range(0, 400, 10)])
    alone = [result_of(r) for r in records]
    assert block.validation_results.tolist() == [v for v, _ in alone]
    assert np.array_equal(block.values, np.array([x for _, x in alone]), equal_nan=True)


@pytest.mark.parametrize("text", ["37.0", "0.1", "98.6", "-0.05", "1e22", "123456789.123456"])
def test_decimals_become_the_nearest_float(text: str) -> None:
    from schemas.report import decimal_parts

    parts = decimal_parts(text)
    assert parts is not None
    assert to_float(np.array([parts[0]]), np.array([parts[1]], "i1"))[0] == float(text)
