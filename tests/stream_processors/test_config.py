"""What the processors' configuration refuses of itself."""

from __future__ import annotations

import pytest

from runtime.config import decode
from runtime.errors import UserError
from stream_processors.config import ProcessorsConfig

CA, CERT, KEY = 'kafka_ca = "ca"\n', 'kafka_cert = "cert"\n', 'kafka_key = "key"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CA + CERT, "kafka_cert and kafka_key need each other"),
        (CA + KEY, "kafka_cert and kafka_key need each other"),
        (CERT + KEY, "kafka_cert is of no use without kafka_ca"),
    ],
)
def test_half_of_tls_is_a_slip(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        decode(text, ProcessorsConfig, "processors.toml")


def test_plaintext_is_what_a_ca_ends() -> None:
    whole = decode(CA + CERT + KEY, ProcessorsConfig, "processors.toml")
    assert [str(path) for path in (whole.kafka_ca, whole.kafka_cert, whole.kafka_key)] == ["ca", "cert", "key"]
    assert not whole.insecure
