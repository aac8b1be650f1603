"""What is no number that a record can hold is never a value: kept as it was sent, or the frame is refused."""

import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Channel, Source
from adapters.site import read_site
from schemas.errors import FrameError
from schemas.report import Kind, RecordKind, Report, Validity

SITE = read_site('[[mapping]]\ncode = "hr"\nmetric = "MDC_ECG_HEART_RATE"', "test")[""]
HL7 = "MSH|^~\\&|M||||20260501101500+0000||ORU^R01|1|P|2.6||||||UNICODE UTF-8\rOBX|1|NM|hr||{}|/min"
TEXTS = [
    "1e999",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "infinity",
    "-inf",
    "+-5",
    "９８",
    "٥",
    "1_000",
    "0x10",
    "1 2",
    "5,2",
]


def read(driver: str, frame: str) -> list[Report]:
    found = DRIVER_BY_NAME[driver]
    reports = found.read(frame.encode(), Source("test", found.settings(), SITE, received_at_us=1))
    return [r for r in reports if r.kind is Kind.METRIC]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:9])
@pytest.mark.parametrize(("driver", "frame"), [("hl7_oru", HL7), ("mqtt_json", '{{"hr": "{}"}}')], ids=["hl7", "json"])
def test_it_is_kept_as_a_text(driver: str, frame: str, text: str) -> None:
    ((record,),) = [r.records for r in read(driver, frame.format(text))]
    kind = RecordKind.TEXT
    if (driver, text) == ("hl7_oru", "NaN"):  # one of the words that say that there is no reading
        kind = RecordKind.NUMERIC
        assert record.validity is Validity.NOT_AVAILABLE
    assert (record.code, record.kind, record.mantissa, record.text) == (147842, kind, 0, text)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:9])
@pytest.mark.parametrize(
    ("driver", "frame"),
    [("mqtt_json", '{{"hr": {0}, "ts": {0}}}'), ("nonin_ascii", "SPO2={} HR=072"), ("nonin_ascii", "SPO2=097 HR={}")],
)
def test_or_the_frame_is_refused(driver: str, frame: str, text: str) -> None:
    try:
        reports = read(driver, frame.format(text))
    except FrameError:
        return
    assert [(r.kind, r.text) for r in reports[0].records if r.code] == [(RecordKind.TEXT, text)]


@pytest.mark.parametrize("text", ["", *TEXTS], ids=lambda text: text[:9])
def test_a_channel_takes_numbers_alone(text: str) -> None:
    with pytest.raises(FrameError, match="not-a-number: HR"):
        Channel("HR", 147842, 264864).record(text)
