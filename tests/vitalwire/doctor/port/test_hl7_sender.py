from __future__ import annotations

from adapters.session import Moment
from simulators.hl7_oru import Monitor
from simulators.patient import Patient
from vitalwire.doctor.port.hl7_sender import HL7Sender
from vitalwire.doctor.port.hl7_words import answer_about

AT_US = 1_700_000_000_000_000
ADT = rb"MSH|^~\&|ADT|HOSPITAL|VW|H|20260501101500+0800||ADT^A01|1|P|2.5|" + b"\rEVN|A01\rPID|||4711\rPV1||I|ICU^^7\r"


def sender(*chunks: bytes) -> HL7Sender:
    made = HL7Sender("10.0.0.7", lambda: Moment(1.0, AT_US))
    made.connected()
    for chunk in chunks:
        made.feed(chunk)
    return made


def spoken(dialect: str, count: int = 3) -> list[bytes]:
    monitor = Monitor(dialect, "ICU-07", Patient(7), 12)
    messages = [*monitor.greeting()]
    for second in range(count):
        messages += monitor.messages(float(second), AT_US + second * 1_000_000)
    return [message.payload for message in messages]


def framed(payloads: list[bytes]) -> bytes:
    return b"".join(b"\x0b" + payload + b"\x1c\r" for payload in payloads)


def text_of(found: HL7Sender, *, has_tls: bool = False) -> tuple[str, str]:
    return answer_about(found, "en", has_tls=has_tls)


def test_a_sender_that_is_right_is_named_with_what_it_sends() -> None:
    slug, text = text_of(sender(framed(spoken("pcd01"))))
    assert slug == "read"
    assert text.startswith("10.0.0.7: ")
    assert "ORU^R01" in text
    assert "SpO2" in text
    assert "dialect plain" in text


def test_the_dialect_that_reads_more_is_named() -> None:
    found = sender(framed(spoken("mindray")))
    assert found.best_dialect == "mindray-pds"
    assert "dialect mindray-pds" in text_of(found)[1]


def test_messages_without_an_end_block() -> None:
    first, second = spoken("pcd01", 2)[:2]
    slug, text = text_of(sender(b"\x0b" + first, b"\x0b" + second))
    assert (slug, text) == (
        "no-end-block", "10.0.0.7: messages come without an end block (1C 0D): set the sender to MLLP"
    )  # fmt: skip


def test_bytes_without_a_start_block() -> None:
    found = sender(b"MSH|^~\\&|A|B\r")
    found.disconnected(orderly=True)
    assert text_of(found)[0] == "not-mllp"


def test_one_that_connects_and_sends_nothing() -> None:
    assert text_of(sender()) == (
        "no-bytes", "10.0.0.7: connects and sends nothing: is its export switched on, and a patient admitted?"
    )  # fmt: skip


def test_adt_and_messages_that_cannot_be_read_are_told_apart() -> None:
    assert text_of(sender(framed([ADT])))[0] == "adt"
    slug, text = text_of(sender(framed([ADT.replace(b"ADT^A01", b"RDE^O11")])))
    assert slug == "unreadable"
    assert "unsupported-type" in text


def test_an_end_of_a_connection_within_a_message_is_counted_beside_the_good_ones() -> None:
    good = spoken("pcd01")
    found = sender(framed(good), b"\x0b" + good[0][:40])
    found.disconnected(orderly=True)
    slug, text = text_of(found)
    assert slug == "read"
    assert "Beside them: no-end-block." in text


def test_what_is_said_of_tls() -> None:
    found = sender()
    found.offered(b"", "no protocols available")
    found.tls_offered = "1.0"
    assert text_of(found, has_tls=True) == (
        "tls-old", "10.0.0.7: a sender connects, TLS fails: it offers 1.0, and at least 1.2 is needed: look for an"
        " update of the sender",
    )  # fmt: skip
    assert text_of(found)[0] == "tls-here-not"
    found.tls_offered = "1.3"
    assert text_of(found, has_tls=True)[0] == "tls-fails"
    found.tls_offered = ""
    assert text_of(found, has_tls=True)[0] == "no-tls"


def test_the_same_in_chinese() -> None:
    assert answer_about(sender(), "zh", has_tls=False).text.startswith("10.0.0.7：已连接但不发送任何内容")
