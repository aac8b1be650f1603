"""HL7 reading beside hl7apy and python-hl7: code, value and unit of all 12 OBX of one ORU^R01, on one core."""

from __future__ import annotations

import time

import hl7
from hl7apy.parser import parse_message

from adapters.formats.hl7v2 import Hl7Message

ORU = "\r".join(
    [
        r"MSH|^~\&|MON^0011223344556677^EUI-64|ICU|VW|H|20260501101500+0800||ORU^R01^ORU_R01|17|P|2.6|||NE|AL",
        "PID|||1001^^^HOSPITAL^MR||DOE^JOHN",
        "PV1||I|ICU^^07",
        "OBR|1|||182777000^monitoring of patient^SCT|||20260501101500+0800",
        *(
            f"OBX|{n}|NM|{150455 + n}^MDC_{n}^MDC|1.1.1.{n}|{97 + n}.0|262688^MDC_DIM_PERCENT^MDC|||||R"
            for n in range(12)
        ),
    ]
).encode()
Rows = list[tuple[str, str, str]]


def ours() -> Rows:
    """Ours, as a driver reads."""
    obx = [segment for segment in Hl7Message(ORU).segments if segment.name == "OBX"]
    return [(segment.field(3, 1), segment.field(5), segment.field(6, 1)) for segment in obx]


def python_hl7() -> Rows:
    """python-hl7."""
    return [(str(s[3][0][0]), str(s[5]), str(s[6][0][0])) for s in hl7.parse(ORU.decode()).segments("OBX")]


def hl7apy() -> Rows:
    """hl7apy, without groups as it is quickest."""
    obx = [segment for segment in parse_message(ORU.decode(), find_groups=False).children if segment.name == "OBX"]
    return [(s.obx_3.obx_3_1.value, s.obx_5.value, s.obx_6.obx_6_1.value) for s in obx]


def ratios(seconds_each: float = 1.0) -> dict[str, float]:
    """How many messages ours reads while each of the others reads one; in turns, so that all share the weather."""
    assert ours() == python_hl7() == hl7apy()
    readers = (ours, python_hl7, hl7apy)
    read, spent_s = dict.fromkeys(readers, 0), dict.fromkeys(readers, 0.0)
    while min(spent_s.values()) < seconds_each:
        for reader in readers:
            start = time.perf_counter()
            while (turn_s := time.perf_counter() - start) < seconds_each / 10:
                reader()
                read[reader] += 1
            spent_s[reader] += turn_s
    own, theirs, slowest = (read[reader] / spent_s[reader] for reader in readers)
    return {"hl7_vs_hl7apy": own / slowest, "hl7_vs_python_hl7": own / theirs}
