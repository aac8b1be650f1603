from __future__ import annotations

import pytest

from adapters.driver import NoSettings, Source
from adapters.formats.site_rows import mapped_records
from adapters.site import read_site
from schemas.report import AsSent, Record, RecordKind, Samples, Validity

SENT = AsSent("Acme", "PI", "%")
INDEX, PERCENT = 150488, 262688


def source(row: str) -> Source[NoSettings]:
    site = read_site(f'[[mapping]]\nsystem = "Acme"\ncode = "PI"\n{row}\n', "site")[""]
    return Source("bed", NoSettings(), site=site)


def only(record: Record, row: str) -> Record:
    (found,) = mapped_records([record], source(row))
    return found


def test_a_row_gives_the_code() -> None:
    record = Record(0, PERCENT, mantissa=210, exponent=-2, as_sent=SENT)
    assert only(record, 'metric = "MDC_BLD_PERF_INDEX"') == Record(INDEX, PERCENT, mantissa=210, exponent=-2)


def test_what_has_no_row_or_has_a_code_stays_as_it_is() -> None:
    records = [
        Record(0, PERCENT, mantissa=1, as_sent=AsSent("Acme", "PVI", "%")),
        Record(INDEX, PERCENT, mantissa=1, as_sent=SENT),
        Record(kind=RecordKind.TEXT, text="PI", as_sent=SENT),
        Record(INDEX, PERCENT, mantissa=1),
    ]
    assert mapped_records(records, source('metric = "MDC_BLD_PERF_INDEX"')) == records


def test_no_reading_stays_none() -> None:
    record = Record(0, PERCENT, validity=Validity.NOT_AVAILABLE, as_sent=SENT)
    found = only(record, 'metric = "MDC_BLD_PERF_INDEX"')
    assert found == Record(INDEX, PERCENT, validity=Validity.NOT_AVAILABLE)


def test_a_value_that_means_none_is_none() -> None:
    record = Record(0, PERCENT, mantissa=-10, exponent=-1, as_sent=SENT)
    found = only(record, 'metric = "MDC_BLD_PERF_INDEX"\nmissing = ["-1.0"]')
    assert found == Record(INDEX, PERCENT, validity=Validity.NOT_AVAILABLE)


def test_a_unit_that_contradicts_the_row_is_in_doubt() -> None:
    record = Record(0, 266016, mantissa=1, as_sent=AsSent("Acme", "PI", "mmHg"))
    found = only(record, 'metric = "MDC_BLD_PERF_INDEX"\nunit = "%"')
    assert (found.code, found.unit, found.as_sent) == (INDEX, 0, record.as_sent)


def test_a_wave_is_mapped_too() -> None:
    samples = Samples(100, 1, 1, 0, -2, b"\x01\x00")
    record = Record(0, PERCENT, kind=RecordKind.SAMPLES, as_sent=SENT, samples=samples)
    found = only(record, 'metric = "MDC_BLD_PERF_INDEX"')
    assert found == Record(INDEX, PERCENT, kind=RecordKind.SAMPLES, samples=samples)


@pytest.mark.parametrize("shift", [3, -3])
def test_a_value_is_shifted_as_the_row_says(shift: int) -> None:
    record = Record(0, 0, mantissa=5, as_sent=AsSent("Acme", "PI"))
    found = only(record, f'metric = "MDC_ECG_ELEC_POTL"\nunit = "mV"\npower_of_ten = {shift}')
    assert (found.mantissa, found.exponent, found.unit) == (5, shift, 266418)
