"""Whatever comes, the doctor has an answer, and nothing that was made up is certain."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.session import Moment
from benchmarks.doctor import SERIAL_DRIVERS
from vitalwire.doctor.port.conclusion import conclude
from vitalwire.doctor.port.examination import Examination
from vitalwire.doctor.port.hl7_sender import HL7Sender
from vitalwire.doctor.port.hl7_words import answer_about
from vitalwire.doctor.port.line_settings import RATES, LineSettings, Sample
from vitalwire.doctor.port.mqtt_topics import TopicsHeard, answer_about_topics
from vitalwire.doctor.port.tls_offer import offered_version
from vitalwire.doctor.port.words import sentences

AT_US = 1_700_000_000_000_000
SETTINGS = st.builds(LineSettings, st.sampled_from(RATES), st.just(8), st.sampled_from("NEO"))


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    data = draw(st.binary(max_size=200))
    return Sample(draw(SETTINGS), data, bytes(draw(st.integers(0, 1)) for _ in data), 1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(samples(), max_size=6))
def test_on_a_serial_line(heard: list[Sample]) -> None:
    examination = Examination(SERIAL_DRIVERS)
    for sample in heard:
        examination.add(sample)
        assert examination.next_window().settings.baud in RATES
    answer = conclude(examination, "model")
    assert answer.slug != "certain"
    assert sentences(answer, "en")
    assert sentences(answer, "zh")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b"\x0bMSH|^~\\&|A|B\r", b"\x1c\r", b"OBX|1|NM|"]))))
def test_from_a_sender_of_hl7(chunks: list[bytes]) -> None:
    sender = HL7Sender("10.0.0.7", lambda: Moment(1.0, AT_US))
    sender.connected()
    for chunk in chunks:
        sender.feed(chunk)
        offered_version(chunk)
    sender.disconnected(orderly=False)
    assert answer_about(sender, "en", has_tls=False).slug != "read"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=100)))
def test_under_a_topic(payloads: list[bytes]) -> None:
    heard = TopicsHeard("10.0.0.7:1883", "#")
    for payload in payloads:
        heard.take("ward/1", payload, AT_US, is_asked_for=True)
    assert answer_about_topics(heard, 1.0, "en").text
