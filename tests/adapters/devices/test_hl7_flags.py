"""Well-formed and wrong: flagged in the context, by a reason; the message is read all the same."""

import pytest

from adapters.devices import hl7_oru
from adapters.driver import Source
from adapters.formats.hl7_patients import is_nhs_number
from schemas.report import Kind

HEAD = r"MSH|^~\&|S|F|||20260501101500+0000||ORU^R01|1|P|2.3|||AL"


def flags(*segments: str) -> list[str]:
    reports = hl7_oru.read("\r".join([HEAD, *segments, "OBX|1|NM|x||1|"]).encode(), Source("s", hl7_oru.Hl7Settings()))
    (context,) = [r for r in reports if r.kind is Kind.CONTEXT] or [None]
    records = context.records if context else ()
    return [r.as_sent.code for r in records if r.as_sent and r.as_sent.system == "vitalwire"]


@pytest.mark.parametrize(
    ("number", "holds"),
    [("9434765919", True), ("9434765918", False), ("2278322867", False), ("2478684691", True), ("943476591", False),
     ("943476591x", False), ("", False)],
)  # fmt: skip
def test_the_check_digit_of_an_nhs_number(number: str, holds: bool) -> None:
    assert is_nhs_number(number) is holds


def test_an_invalid_nhs_number_is_flagged_among_others() -> None:
    assert flags("PID|1||1^^^^MRN~2278322867^^^NHSNMBR") == ["invalid-nhs-number"]
    assert flags("PID|1||1^^^^MRN~2478684691^^^NHSNBR^NHSNMBR") == []
    assert flags("PID|1||2278322867^^^^MRN") == []


def test_an_order_without_any_number_is_flagged() -> None:
    assert flags("PID|1||7", "ORC|RE", "OBR|1||||x") == ["no-order-number"]
    assert flags("PID|1||7", "ORC|RE", "OBR|1||F1||x") == []
    assert flags("PID|1||7", "OBR|1||||x") == []  # a monitor has no orders
