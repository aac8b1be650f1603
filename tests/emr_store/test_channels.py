import pytest

from emr_store import channels
from schemas.block import ValidationResult
from schemas.report import AsSent, Record, RecordKind, device_id
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, report
from tests.storing import Store, event

SECOND = 1_000_000


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


def numeric(code: int, unit: int, value: int, channel: int = 0) -> Record:
    return Record(code, unit, channel=channel, mantissa=value)


def test_the_view_has_a_row_a_value_with_names(store: Store) -> None:
    store.emit(report(records=[numeric(SPO2, PERCENT, 97), Record(1, 2, mantissa=3), numeric(PULSE, PER_MIN, 70)]))
    store.emit(event("x", "connected", ""))
    found = store.rows(
        "SELECT metric, value, unit, validation_result, record, bed, kind FROM observation ORDER BY record"
    )
    assert found == [
        ("MDC_PULS_OXIM_SAT_O2", 97.0, "%", 0, 0, None, 1),
        (None, 3.0, None, ValidationResult.UNMAPPED_CODE, 1, None, 1),
        ("MDC_PULS_OXIM_PULS_RATE", 70.0, "/min", 0, 2, None, 1),
    ]


def test_what_has_no_code_is_counted_by_name(store: Store) -> None:
    heart = AsSent("99MR", "HR^Heart", "bpm")
    position = Record(kind=RecordKind.TEXT, text="坐位", as_sent=AsSent("", "POS"))
    store.emit(report(records=[numeric(SPO2, PERCENT, 97), Record(mantissa=72, as_sent=heart), position]),
              report(records=[Record(mantissa=64, as_sent=heart)]),
              report("b", records=[Record(mantissa=64, as_sent=heart)]), event("a", "connected", "x"))  # fmt: skip
    with store.open() as conn:
        found = [(u.device, u.system, u.code, u.unit, u.times, u.example) for u in channels.unmapped(conn)]
    first, second = device_id("demo:nonin:1"), device_id("b")
    assert found[0] == (first, "99MR", "HR^Heart", "bpm", 2, "64")
    assert found[1:] == [(first, "", "POS", "", 1, "坐位"), (second, "99MR", "HR^Heart", "bpm", 1, "64")]
