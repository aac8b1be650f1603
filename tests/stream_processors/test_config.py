"""What the processors' configuration refuses of itself."""

from __future__ import annotations

import pytest

from runtime.config import decode
from runtime.errors import UserError
from stream_processors.config import ProcessorsConfig

CA, CERT, KEY = 'kafka_ca = "ca"\n', 'kafka_cert = "cert"\n', 'kafka_key = "key"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CA + CERT, "kafka_cert and kafka_key need each other"),
        (CA + KEY, "kafka_cert and kafka_key need each other"),
        (CERT + KEY, "kafka_cert is of no use without kafka_ca"),
    ],
)
def test_half_of_tls_is_a_slip(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        decode(text, ProcessorsConfig, "processors.toml")


def test_plaintext_is_what_a_ca_ends() -> None:
    whole = decode(CA + CERT + KEY, ProcessorsConfig, "processors.toml")
    assert [str(path) for path in (whole.kafka_ca, whole.kafka_cert, whole.kafka_key)] == ["ca", "cert", "key"]
    assert not whole.insecure


def limit(text: str, metric: str = "MDC_PULS_OXIM_SAT_O2") -> str:
    return f'[[limits]]\nmetric = "{metric}"\n{text}\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (limit(""), "neither low nor high: it would never alarm"),
        (limit("low = 90.0\nhigh = 90.0"), "low is not below its high"),
        (limit("low = nan"), "is no number"),
        (limit("high = inf"), "is no number"),
        # The episode that one opens, the next value ends by the other: nobody would see it.
        (limit("low = 90.0") + limit('low = 85.0\npriority = "high"'), "two limits on its low side"),
        (limit("high = 99.0") + limit("low = 90.0\nhigh = 98.0"), "two limits on its high side"),
    ],
)
def test_a_limit_that_would_not_do_what_it_says_is_a_slip(text: str, words: str) -> None:
    with pytest.raises(UserError, match=f"MDC_PULS_OXIM_SAT_O2.*{words}"):
        decode(text, ProcessorsConfig, "processors.toml")


def test_a_side_each_may_stand_in_limits_of_their_own() -> None:
    text = limit('low = 90.0\npriority = "high"') + limit("high = 99.0") + limit("low = 50.0", "MDC_ECG_HEART_RATE")
    assert [(each.low, each.high) for each in decode(text, ProcessorsConfig, "processors.toml").limits] == [
        (90.0, None), (None, 99.0), (50.0, None)
    ]  # fmt: skip


FHIR = 'protocol = "fhir"\naddress = "https://emr.example/fhir"\n'
HL7 = 'protocol = "hl7v2"\naddress = "127.0.0.1:2575"\n'


def destination(text: str, name: str = "emr") -> str:
    return f'[[destination]]\nname = "{name}"\n{text}\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'protocol = "fhir"\naddress = "http://emr.example/fhir"',
            "plaintext to emr.example can be .*: write https",
        ),
        (
            'protocol = "hl7v2"\naddress = "emr.example:2575"',
            "plaintext to emr.example can be .*: set tls_ca",
        ),
        ('protocol = "fhir"\naddress = "emr.example"', "is no base URL: write https://host/fhir"),
        ('protocol = "fhir"\naddress = "https://us:secret@emr.example"', "a password stands in its address"),
        ('protocol = "hl7v2"\naddress = "emr.example"', "is no host:port: write emr.example:2575"),
        ('protocol = "hl7v2"\naddress = "127.0.0.1:99999"', "is no host:port"),
        (FHIR + 'begins = "yesterday"', "is no instant: write 2026-11-24T10:00Z"),
        (FHIR + 'begins = "2026-11-24T10:00"', "is no instant"),
        (FHIR + 'tls_cert = "c"', "tls_cert and tls_key need each other"),
        (HL7 + 'tls_cert = "c"\ntls_key = "k"', "tls_cert is of no use in plaintext"),
        (FHIR + 'user = "us"', "user needs secret_file"),
        (HL7 + 'secret_file = "t"', "MLLP knows no token"),
        (HL7 + 'answers = {AX = "park"}', "'AX' is none of AA, AE"),
        (FHIR + 'answers = {AE = "park"}', "'AE' is no HTTP status"),
        (FHIR + '[destination.hl7v2]\nversion = "2.4"', "is of no use with protocol"),
        (HL7 + '[destination.hl7v2]\ntime_zone = "Mars"', "time zone 'Mars' is not known"),
        (HL7 + '[destination.hl7v2]\nversion = "2.9"', "'2.9' is none of"),
        (FHIR + destination(FHIR), r"\[\[destination\]\] 'emr' is there twice"),
        (FHIR.replace("fhir", "fihr", 1), "did you mean 'fhir'"),
        (FHIR + "conections_max = 4", "did you mean 'connections_max'"),
    ],
)
def test_a_destination_that_cannot_be_served_is_a_slip(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        decode(destination(text), ProcessorsConfig, "processors.toml")


def test_plaintext_beyond_loopback_is_asked_for_by_name() -> None:
    text = destination('protocol = "hl7v2"\naddress = "emr.example:2575"\ninsecure = true')
    (found,) = decode(text, ProcessorsConfig, "processors.toml").destination
    assert found.mllp_address() == ("emr.example", 2575)
    assert found.begins_at() is None
