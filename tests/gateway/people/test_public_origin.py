from __future__ import annotations

import pytest

from gateway.people.cookies import session_cookie
from gateway.people.public_origin import PublicOrigin, parse_public_origin
from runtime.errors import UserError


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://icu.hospital.example", "https://icu.hospital.example"),
        ("https://ICU.hospital.example:443/", "https://icu.hospital.example"),
        ("https://vitalwire:8443", "https://vitalwire:8443"),
    ],
)
def test_an_origin_is_as_browsers_send_it(text: str, origin: str) -> None:
    assert parse_public_origin(text).origin == origin


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://10.1.2.3", "is an IP address"), ("https://[::1]:8443", "is an IP address"),
        ("https://2130706433", "is an IP address"), ("http://icu.hospital.example", "write https://"),
        ("icu.hospital.example", "write https://"), ("https://a.example/path", "nothing may follow"),
        ("https://me@a.example", "nothing may follow"), ("https://a_b.example", "is no DNS name"),
        ("https://a.example:99999", "its port"), ("https://a..example", "is no DNS name"),
    ],
)  # fmt: skip
def test_what_browsers_cannot_keep_to_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        parse_public_origin(text)


def test_the_cookie_of_https_is_bound_to_the_host() -> None:
    assert session_cookie(parse_public_origin("https://icu.example")) == "__Host-vitalwire"
    assert session_cookie(PublicOrigin()) == "vitalwire_session"
    assert PublicOrigin().allowed_hosts == ["127.0.0.1", "localhost"]
    assert parse_public_origin("https://icu.example").allowed_hosts == ["icu.example"]
