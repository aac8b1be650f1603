"""The form that every signed statement has; what one says is tested beside its own module."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import signature, statement
from schemas.errors import LayoutError
from tests.making import Key

KEY, OTHER = Key(), Key()
MAGIC = b"VWTEST\x00\x01"


@given(st.binary(max_size=300))
def test_round_trip(body: bytes) -> None:
    message = statement.encode(MAGIC, KEY.key_id, body, KEY.sign)
    assert len(message) == statement.size(len(body))
    signed_statement = statement.decode(message, MAGIC)
    assert (signed_statement.key_id, signed_statement.body) == (KEY.key_id, body)
    assert signed_statement.signed_bytes + signed_statement.signature == message
    assert signed_statement.is_signed_by(KEY.public_der)
    assert not signed_statement.is_signed_by(OTHER.public_der)


def test_every_one_byte_change_is_refused() -> None:
    message = statement.encode(MAGIC, KEY.key_id, b"what it says", KEY.sign)
    for at in range(len(message)):
        for bit in range(8):
            broken = message[:at] + bytes([message[at] ^ 1 << bit]) + message[at + 1 :]
            try:
                assert not statement.decode(broken, MAGIC).is_signed_by(KEY.public_der)
            except LayoutError:
                continue


def test_every_cut_and_anything_behind_is_refused() -> None:
    message = statement.encode(MAGIC, KEY.key_id, b"what it says", KEY.sign)
    for cut in [message[:end] for end in range(len(message))] + [message + b"\x00"]:
        try:
            assert not statement.decode(cut, MAGIC).is_signed_by(KEY.public_der)
        except LayoutError:
            continue


def test_a_statement_that_names_another_key_is_not_signed_by_its_signer() -> None:
    message = statement.encode(MAGIC, OTHER.key_id, b"", KEY.sign)
    signed_statement = statement.decode(message, MAGIC)
    assert signature.verify(KEY.public_der, signed_statement.signature, signed_statement.signed_bytes)
    assert not signed_statement.is_signed_by(KEY.public_der)
    assert not signed_statement.is_signed_by(OTHER.public_der)


def test_a_statement_of_another_kind_is_refused() -> None:
    with pytest.raises(LayoutError, match="magic"):
        statement.decode(statement.encode(MAGIC, KEY.key_id, b"", KEY.sign), b"VWTEST\x00\x02")


def test_a_suite_that_nobody_knows_is_refused() -> None:
    message = statement.encode(MAGIC, KEY.key_id, b"", KEY.sign)
    with pytest.raises(LayoutError, match="unknown-enum"):
        statement.decode(message[:8] + b"\x02\x00" + message[10:], MAGIC)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_statement_or_refused(data: bytes) -> None:
    for message in (data, MAGIC + data, MAGIC + b"\x01" + bytes(7) + data):
        try:
            signed_statement = statement.decode(message, MAGIC)
        except LayoutError:
            continue
        assert signed_statement.signed_bytes + signed_statement.signature == message
        assert not signed_statement.is_signed_by(KEY.public_der)
