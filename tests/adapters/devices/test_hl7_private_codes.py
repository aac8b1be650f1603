"""A number of the private partition is its sender's own: it is never taken for ours."""

import pytest

from adapters.devices import hl7_oru
from adapters.driver import Source
from schemas.nomenclature import METRIC_BY_REFERENCE_ID, METRICS, is_private
from schemas.report import Kind

HEMOGLOBIN = METRIC_BY_REFERENCE_ID["VITALWIRE_CONC_HB_BLD"].code


def code_of(identifier: str) -> int:
    frame = rf"MSH|^~\&|S|F|||20260501101500+0000||ORU^R01|1|P|2.6{chr(13)}OBX|1|NM|{identifier}|1.1.1|12|g/dL"
    (report,) = [r for r in hl7_oru.read(frame.encode(), Source("s", hl7_oru.Hl7Settings())) if r.kind is Kind.METRIC]
    return report.records[0].code


@pytest.mark.parametrize("number", [m.code for m in METRICS if is_private(m.code)])
def test_a_private_number_under_mdc_is_another_senders(number: int) -> None:
    assert code_of(f"{number}^^MDC") == code_of(f"{number}^AIR_QUALITY^MDC") == 0


def test_a_private_reference_id_is_ours() -> None:
    assert code_of("VITALWIRE_CONC_HB_BLD") == HEMOGLOBIN
