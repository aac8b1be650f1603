"""Redaction: what names a person is gone, lengths and values are as before, and it is told what was removed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices import astm, hl7_oru, mqtt_json
from adapters.devices.registry import DRIVERS
from adapters.driver import DeviceDriver, Source
from adapters.formats.astm_redaction import redact_astm
from adapters.formats.hl7_redaction import redact_hl7
from adapters.formats.json_redaction import redact_json
from adapters.formats.recording import Direction, Entry
from adapters.formats.redaction import Redaction, nothing_to_redact, redacted
from adapters.session import Moment
from adapters.sessions.astm import AstmSession
from adapters.sessions.mllp import wrap
from schemas.report import Kind, Record
from simulators.astm import ENQ, EOT, frames

KEY = b"k" * 32
NOW = Moment(0, 1_790_000_000_000_000)
ORU = (
    "MSH|^~\\&|MON|ICU|||20261124101500+0000||ORU^R01|7|P|2.6|||||||UNICODE UTF-8\r"
    "PID|1||MRN88421^^^HOSP^MR||Zhang^Wei^^^^^L||19620317|M|||12 Long Road^^Leeds\r"
    "NK1|1|Zhang^Mei|SPO|||07700900123\r"
    "PV1|1|I|ICU^^07|||||^Okafor^Ada|||||||||||V5551212\r"
    "OBR|1|P99|PLACER7777^GW|x|||20261124101500+0000|||NURSE77^Bell^Ann\r"
    "OBX|1|NM|147842^MDC_ECG_HEART_RATE^MDC|1|72|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||F|||||NURSE77^Bell\r"
    "OBX|2|ST|note^Note^L|1|called Okafor about MRN88421||||||F|||seen by NURSE77\r"
    "OBX|3|XPN|name^Name^L|1|Zhang^Wei||||||F\r"
    "NTE|1||relative Zhang Mei rang\r"
    "ZPI|1|Zhang^Wei\r"
)
NAMES = ["Zhang", "Wei", "Mei", "MRN88421", "19620317", "Long Road", "07700900123", "Okafor", "Ada", "V5551212", "Bell",
         "NURSE77", "PLACER7777", "rang"]  # fmt: skip


def values(driver: DeviceDriver, frame: bytes, **settings: object) -> list[Record]:  # type: ignore[type-arg]
    source = Source("t", driver.settings(**settings), peer="p", received_at_us=NOW.utc_us)
    return [r for report in driver.read(frame, source) if report.kind is Kind.METRIC for r in report.records if r.code]


def test_of_hl7_the_names_are_gone_and_the_values_are_as_before() -> None:
    frame, redaction = ORU.encode(), Redaction(KEY)
    clean = redact_hl7(wrap(frame), redaction)
    assert len(clean) == len(wrap(frame))
    text = clean.decode()
    assert [name for name in NAMES if name in text] == []
    assert "ICU^^07" in text
    assert values(hl7_oru.DRIVER, clean[1:-2]) == values(hl7_oru.DRIVER, frame) != []
    fields = {name for name in redaction.removed if redaction.removed[name]}
    assert {"PID-3", "PID-5", "PID-7", "PID-11", "NK1-2", "PV1-8", "PV1-19", "OBR-10", "OBX-16", "OBX-5", "NTE-3",
            "ZPI-2"} <= fields  # fmt: skip
    assert not {"PID-8", "MSH-9", "OBX-3"} & fields


@pytest.mark.parametrize("charset", ["", "GB18030-2000", "UNICODE UTF-8"])
def test_a_second_byte_that_looks_like_a_separator_moves_no_field(charset: str) -> None:
    """In GB 18030 the second byte of 亅 is "|", and that of 匸 is "^"."""
    assert "亅".encode("gb18030")[1:] == b"|"
    name = "王亅亅匸"
    head = f"MSH|^~\\&|MON||||20261124101500+0000||ORU^R01|7|P|2.6|||||||{charset}\r"
    frame = (head + f"PID|1||MRN8^^^H||{name}^{name}||19620317|F|||{name}19620317\r").encode("gb18030")
    clean = redact_hl7(frame, Redaction(KEY))
    assert len(clean) == len(frame)
    assert b"19620317" not in clean
    assert all(byte < 0x80 for byte in clean)
    assert clean.split(b"\r")[1].split(b"|")[8] == b"F"


def test_equal_texts_become_equal_ones_and_another_key_gives_others() -> None:
    first, second = ORU.replace("MRN88421", "MRN00001"), ORU
    clean = redact_hl7((first + second + first).encode(), Redaction(KEY)).decode()
    ids = [line.split("|")[3] for line in clean.split("\r") if line.startswith("PID")]
    assert ids[0] == ids[2] != ids[1]
    other = redact_hl7(first.encode(), Redaction(b"x" * 32)).decode()
    assert other.split("\r")[1].split("|")[3] != ids[0]


def test_of_json_what_stands_under_a_persons_key_is_replaced_and_it_is_json_still() -> None:
    frame = (
        '{"ts":"2026-09-21T22:13:05+08:00","patient":{"name":"Zhang \\"W\\" \\u5f20","ids":[8842100,{"x":"A7"}]},'
        '"wristband":"0000123^HOSPITAL^MR","wristband_of":"patient","spo2": 97, "serial":"SIM000001"}'
    )  # fmt: skip
    redaction = Redaction(KEY)
    clean = redact_json(frame.encode(), redaction).decode()
    assert len(clean) == len(frame)
    for gone in ("Zhang", "u5f20", "8842100", "A7", "0000123"):
        assert gone not in clean
    for kept in ('"wristband_of":"patient"', '"spo2": 97', "SIM000001", "2026-09-21T22:13:05+08:00"):
        assert kept in clean
    reports = [list(mqtt_json.DRIVER.read(f, Source("t", mqtt_json.DRIVER.settings(), peer="p", received_at_us=1)))
               for f in (frame.encode(), clean.encode())]  # fmt: skip
    assert len(reports[0][0].records) == len(reports[1][0].records)
    assert set(redaction.removed) == {"name", "ids", "x", "wristband"}


def test_of_astm_the_patient_is_gone_and_the_checksums_hold() -> None:
    message = (
        b"H|\\^&|||GEM^1|||||||P|1|20261124101500\rP|1||MRN88421||Zhang^Wei||19620317|M\r"
        b"O|1|SPEC777||^^^pH|||20261124101400||||||||||Okafor\r"
        b"R|1|^^^pH|7.41||||N||||20261124101400\rL|1|N\r"
    )
    stream = ENQ + b"".join(frames(message)) + EOT
    redaction = Redaction(KEY)
    clean = redact_astm(stream, redaction)
    assert len(clean) == len(stream)
    assert not any(name in clean for name in (b"MRN88421", b"Zhang", b"19620317", b"SPEC777", b"Okafor"))
    found = []
    for each in (stream, clean):
        session = AstmSession()
        session.opened(NOW)
        pieces = session.feed(each, NOW).pieces
        assert [piece.reason for piece in pieces] == [""]
        found.append(values(astm.DRIVER, pieces[0].data))
    assert found[0] == found[1]
    assert {"P-4", "P-6", "P-8", "O-3", "O-18"} <= set(redaction.removed)


def test_a_recording_keeps_its_pieces_whatever_their_borders() -> None:
    stream = wrap(ORU.encode())
    entries = [Entry(0, 1, Direction.NOTE, note="opened 10.0.0.7")]
    entries += [Entry(n, 1, Direction.IN, stream[n : n + 7]) for n in range(0, len(stream), 7)]
    entries.insert(3, Entry(8, 1, Direction.OUT, b"\x0bMSH|^~\\&|VW\r\x1c\r"))
    redaction = Redaction(KEY)
    clean = redacted(entries, redact_hl7, redaction)
    assert [(e.at_us, e.direction, len(e.data), e.note) for e in clean] == [
        (e.at_us, e.direction, len(e.data), e.note) for e in entries
    ]
    joined = b"".join(e.data for e in clean if e.direction is Direction.IN)
    assert joined == redact_hl7(stream, Redaction(KEY))


def test_binary_identifiers_become_bytes_that_no_line_escapes() -> None:
    redaction, data = Redaction(KEY), bytes(range(128, 256))
    replaced = redaction.replace_binary(data, "id")
    assert len(replaced) == len(data)
    assert set(replaced) <= set(range(0x01, 0x7D))
    assert replaced == Redaction(KEY).replace_binary(data, "id") != Redaction(b"x" * 32).replace_binary(data, "id")
    assert redaction.replace_binary(b"", "id") + redaction.replace_binary(bytes(4), "id") == bytes(4)
    assert redaction.replace_binary(b"\xff" * 8, "id") == b"\xff" * 8
    assert redaction.removed == Counter({"id": 1})


def test_what_names_nobody_stays() -> None:
    redaction = Redaction(KEY)
    assert nothing_to_redact(b"SPO2=097 HR=072\r\n", redaction) == b"SPO2=097 HR=072\r\n"
    assert redaction.removed == Counter()


STARTS = [
    b"", b"\x0bMSH|^~\\&|", b'{"patient":', b"H|\\^&|", b"\x021P|", b"\xe1\x00\x00\x02\x00\x02\x00",
    b"\xc0\x11\x01\x00", b"\x0100040\x02B/1/1>1,50112,PATIEX,", b"<PT><PT.patient_id V=",
]  # fmt: skip
REDACTED = [driver for driver in DRIVERS if driver.redact is not None]


@pytest.mark.parametrize("driver", REDACTED, ids=lambda driver: driver.name)
@given(data=st.binary(max_size=200), start=st.sampled_from(STARTS))
def test_any_bytes_keep_their_number(driver: DeviceDriver, data: bytes, start: bytes) -> None:  # type: ignore[type-arg]
    assert driver.redact is not None
    assert len(driver.redact(start + data, Redaction(KEY))) == len(start + data)
