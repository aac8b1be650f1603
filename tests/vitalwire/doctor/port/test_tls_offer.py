from __future__ import annotations

import ssl

import pytest

from vitalwire.doctor.port.tls_offer import is_hello, offered_version


def hello(newest: ssl.TLSVersion) -> bytes:
    """What OpenSSL says first, at most of this version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = newest
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="x").do_handshake()
    return outgoing.read()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("newest", "answer"),
    [(ssl.TLSVersion.TLSv1, "1.0"), (ssl.TLSVersion.TLSv1_1, "1.1"), (ssl.TLSVersion.TLSv1_2, "1.2"),
     (ssl.TLSVersion.TLSv1_3, "1.3")],
)  # fmt: skip
def test_the_newest_version_that_a_client_offers(newest: ssl.TLSVersion, answer: str) -> None:
    data = hello(newest)
    assert is_hello(data)
    assert offered_version(data) == answer
    assert all(offered_version(data[:size]) in ("", answer) for size in range(len(data)))


def test_what_is_no_hello_offers_nothing() -> None:
    assert not is_hello(b"\x0bMSH|^~\\&|")
    assert offered_version(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00") == ""
