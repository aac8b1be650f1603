"""The dialogue with a Mindray monitor that is dialled."""

from __future__ import annotations

import pytest

from adapters.devices.hl7_oru import DRIVER, Hl7Settings
from adapters.formats.hl7v2 import Hl7Message
from adapters.session import Moment, Outcome
from adapters.sessions.mindray_pds import SIGN_OF_LIFE, MindrayPdsSession, query
from adapters.sessions.mllp import MllpSession, wrap

UTC_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
VALUES = wrap(b"MSH|^~\\&|||||||ORU^R01|204|P|2.3.1|\rOBX||NM|101^HR|2101|72||||||F\r")


def at(steady_s: float) -> Moment:
    return Moment(steady_s, UTC_US + round(steady_s * 1_000_000))


def test_the_query_is_the_protocols() -> None:
    """Bytes written by hand from the fields that public clients send."""
    assert query(1, UTC_US) == (
        b"\x0bMSH|^~\\&|||||||QRY^R02|1203|P|2.3.1\rQRD|20260921141320|R|I|Q1|||||RES\rQRF|MON||||0&0^1^1^1^\r\x1c\r"
    )
    assert Hl7Message(query(1, UTC_US)[1:-2]).field("MSH", 10) == "1203"


def test_it_asks_after_2_s_and_says_every_3_s_that_it_is_there() -> None:
    session, sent = MindrayPdsSession(), []
    step = session.opened(at(0))
    assert step.send == b""
    while step.wake_at_s is not None and step.wake_at_s < 11:
        now_s = step.wake_at_s
        step = session.tick(at(now_s))
        sent.append((now_s, step.send))
        session.feed(VALUES, at(now_s))
    assert sent == [(2, query(1, UTC_US + 2_000_000)), *((s, SIGN_OF_LIFE) for s in (3, 6, 9))]


def test_it_asks_again_where_nothing_comes() -> None:
    session = MindrayPdsSession()
    session.opened(at(0))
    assert b"|Q1|" in session.tick(at(2)).send
    session.feed(VALUES, at(10))
    assert b"QRY" not in session.tick(at(39.9)).send
    assert b"|Q2|" in session.tick(at(40)).send


def test_messages_are_answered_as_with_mllp() -> None:
    session, plain = MindrayPdsSession(), MllpSession()
    session.opened(at(0))
    (piece,), (expected,) = session.feed(VALUES, at(1)).pieces, plain.feed(VALUES, at(1)).pieces
    assert piece == expected
    assert piece.token is not None
    assert b"MSA|AA|204" in session.kept(piece.token, Outcome.KEPT, "", at(1)).send
    assert session.closed(True, at(2)).wake_at_s is None


def test_only_who_is_told_to_asks() -> None:
    assert DRIVER.session is not None
    assert isinstance(DRIVER.session(Hl7Settings(dialect="mindray-pds")), MllpSession)
    asking = DRIVER.session(Hl7Settings(dialect="mindray-pds", query=True))
    asking.opened(at(0))
    sent = asking.tick(at(5)).send
    assert all(request.code in sent for request in DRIVER.requests)
    with pytest.raises(ValueError, match="mindray-pds"):
        Hl7Settings(query=True)
