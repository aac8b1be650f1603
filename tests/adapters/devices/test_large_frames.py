"""A frame that fits its port, and whose report would not fit a batch: refused by name, not an error further on."""

import json

import pytest

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from schemas.errors import FrameError
from schemas.layout import FRAME_BYTES_MAX

HEAD = "MSH|^~\\&|M||||20260501101500+0000||{}|1|P|2.6||||||{}\r"
FACE = "\N{GRINNING FACE}"  # four bytes
CASES = {
    "many texts": ("hl7_oru", HEAD.format("ORU^R01", "") + "OBX||ST|ABCDEFG||HIJKL\r" * 9_990),
    "letters that UTF-8 doubles": ("hl7_oru", HEAD.format("ADT^A01", "8859/1") + "PID|||" + "é " * 109_000),
    "a long name in many paths": ("mqtt_json", json.dumps({FACE * 250: dict.fromkeys(map(str, range(999)), 1)})),
    "a long name and long texts": ("mqtt_json", json.dumps({"n" * 250: ["x" * 250] * 999})),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused(case: str) -> None:
    driver, text = CASES[case]
    frame = text.encode("latin-1")
    assert len(frame) < FRAME_BYTES_MAX
    found = DRIVER_BY_NAME[driver]
    with pytest.raises(FrameError) as refused:
        found.read(frame, Source("test", found.settings(), received_at_us=1))
    assert refused.value.reason in ("report-too-large", "path-too-long")
