from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import statement
from evidence.alarm import (
    OPEN_SET_MAGIC,
    TRANSITION_MAGIC,
    read_open_set,
    read_transition,
    sign_open_set,
    sign_transition,
)
from schemas.errors import LayoutError
from schemas.transition import Condition, ConditionKind, Episode, OpenSet, Side, Transition
from tests.making import SPO2, T0_US, Key

KEY, OTHER = Key(), Key()
CONDITION = Condition(ConditionKind.LIMIT, SPO2, 0, Side.LOW)
OPEN_SET = OpenSet("device", (Episode("id", CONDITION, "high", T0_US, "SpO2 low"),))
READ: list[tuple[bytes, Callable[[bytes, bytes], Any]]] = [
    (TRANSITION_MAGIC, read_transition),
    (OPEN_SET_MAGIC, read_open_set),
]


@given(st.from_type(Transition))
def test_a_transition_survives_with_its_statement(transition: Transition) -> None:
    message = sign_transition(transition, KEY.key_id, KEY.sign)
    assert read_transition(message, KEY.public_der) == (transition, message)


def test_an_open_set_survives() -> None:
    for open_set in (OPEN_SET, OpenSet("device", ())):
        assert read_open_set(sign_open_set(open_set, KEY.key_id, KEY.sign), KEY.public_der) == open_set


def test_every_one_byte_change_another_key_and_the_other_kind_are_refused() -> None:
    message = sign_open_set(OPEN_SET, KEY.key_id, KEY.sign)
    for at in range(len(message)):
        with pytest.raises(LayoutError):
            read_open_set(message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :], KEY.public_der)
    with pytest.raises(LayoutError, match="signature"):
        read_open_set(message, OTHER.public_der)
    with pytest.raises(LayoutError, match="magic"):
        read_transition(message, KEY.public_der)


@pytest.mark.parametrize(("magic", "read"), READ)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_and_any_signed_body_too(
    magic: bytes, read: Callable[[bytes, bytes], Any], data: bytes
) -> None:
    for message in (data, magic + data, statement.encode(magic, KEY.key_id, data, KEY.sign)):
        with pytest.raises(LayoutError):
            read(message, KEY.public_der)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b'{"device":1,"episodes":[]}', b"[" * 5000 + b"]" * 5000])
def test_json_that_is_no_open_set_is_refused(body: bytes) -> None:
    assert msgspec.json.decode(msgspec.json.encode(OPEN_SET), type=OpenSet) == OPEN_SET
    with pytest.raises(LayoutError):
        read_open_set(statement.encode(OPEN_SET_MAGIC, KEY.key_id, body, KEY.sign), KEY.public_der)
