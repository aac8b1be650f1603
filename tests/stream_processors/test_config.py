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
