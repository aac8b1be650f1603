import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import statement
from evidence.act import (
    ACT_BYTES_MAX,
    ACT_MAGIC,
    LEAF_BYTES_MAX,
    Act,
    LogHead,
    begin_log,
    parse_act,
    predecessor_of,
    read_act,
    sign_act,
)
from schemas.errors import LayoutError
from tests.making import T0_US, Key

KEY, OTHER = Key(), Key()
ACT = Act("device.assign", "os:anna@icu-1", T0_US, "new monitor", {"to": "床 3", "bed": "ICU/3", "n": 1.5, "a": [None]})
_text = st.text(st.characters(codec="utf-8"), max_size=20)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-(2**53) + 1, 2**53 - 1)
    | st.floats(min_value=1e21, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=10,
)
_acts = st.builds(
    Act,
    kind=_text,
    by=_text,
    at_us=st.integers(0, 2**53 - 1),
    why=_text,
    details=st.dictionaries(_text, _json, max_size=4),
)


def test_the_canonical_json_to_the_byte() -> None:
    assert ACT.body.decode() == (
        f'{{"at_us":{T0_US},"by":"os:anna@icu-1","details":{{"a":[null],"bed":"ICU/3","n":1.5,"to":"床 3"}},'
        '"kind":"device.assign","why":"new monitor"}'
    )
    assert ACT.act_id == sha256(ACT.body).digest()


@given(_acts)
def test_round_trip(act: Act) -> None:
    message = act.encode(KEY.key_id, KEY.sign)
    read, signed_statement = read_act(message)
    assert read == act
    assert (read.body, read.act_id) == (act.body, act.act_id)
    assert signed_statement.is_signed_by(KEY.public_der)
    assert not signed_statement.is_signed_by(OTHER.public_der)


def test_an_act_kept_as_json_is_signed_as_it_is() -> None:
    read, signed_statement = read_act(sign_act(ACT.body, KEY.key_id, KEY.sign))
    assert (read, signed_statement.body) == (ACT, ACT.body)
    assert signed_statement.is_signed_by(KEY.public_der)


def test_every_one_byte_change_is_refused() -> None:
    message = ACT.encode(KEY.key_id, KEY.sign)
    for at in range(len(message)):
        broken = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        try:
            assert not read_act(broken)[1].is_signed_by(KEY.public_der)
        except LayoutError:
            continue


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"at_us":1,"by":"b","details":{},"kind":"k"}',
        b'{"at_us":1,"by":"b","details":{},"kind":"k","more":1,"why":""}',
        b'{"at_us":1,"by":"b","details":[],"kind":"k","why":""}',
        b'{"at_us":"1","by":"b","details":{},"kind":"k","why":""}',
        b'{"at_us":1,"by":null,"details":{},"kind":"k","why":""}',
        b'{"at_us":1, "by":"b","details":{},"kind":"k","why":""}',
        b'{"by":"b","at_us":1,"details":{},"kind":"k","why":""}',
        b'{"at_us":1,"by":"b","by":"b","details":{},"kind":"k","why":""}',
        b'{"at_us":1,"by":"\\u0062","details":{},"kind":"k","why":""}',
        b'{"at_us":1,"by":"b","details":{"x":1.0},"kind":"k","why":""}',
        b'{"at_us":1,"by":"b","details":{"x":1e400},"kind":"k","why":""}',
        b'{"at_us":1,"by":"b","details":{"x":9007199254740993},"kind":"k","why":""}',
        b'{"at_us":1,"by":"b","details":{"x":"\\ud800"},"kind":"k","why":""}',
        b'{"at_us":1,"by":"b","details":{"x":' + b"[" * 5000 + b"]" * 5000 + b'},"kind":"k","why":""}',
        b'{"at_us":1,"by":"\xff","details":{},"kind":"k","why":""}',
    ],
)
def test_json_that_is_no_act_in_its_one_form_is_refused(body: bytes) -> None:
    with pytest.raises(LayoutError):
        parse_act(body)


@given(st.one_of(st.binary(max_size=200), _json.map(lambda value: json.dumps(value).encode())))
def test_any_body_is_an_act_or_refused(body: bytes) -> None:
    try:
        act = parse_act(body)
    except LayoutError:
        return
    assert act.body == body


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, 2.0**53, "\ud800", b"bytes", {1: 2}])
def test_details_that_json_cannot_say_are_refused(value: Any) -> None:
    with pytest.raises(LayoutError):
        _ = Act("k", "b", 1, "", {"x": value}).body


def test_the_largest_act_is_a_leaf_and_a_larger_one_is_refused() -> None:
    empty = len(Act("k", "b", 1, "", {"x": ""}).body)
    largest = Act("k", "b", 1, "", {"x": "a" * (ACT_BYTES_MAX - empty)})
    message = largest.encode(KEY.key_id, KEY.sign)
    assert len(message) == LEAF_BYTES_MAX
    assert read_act(message)[0] == largest
    with pytest.raises(LayoutError, match="divide it"):
        _ = Act("k", "b", 1, "", {"x": "a" * (ACT_BYTES_MAX - empty + 1)}).body
    with pytest.raises(LayoutError):
        read_act(statement.encode(ACT_MAGIC, KEY.key_id, largest.body + b" ", KEY.sign))


@pytest.mark.parametrize("predecessor", [None, LogHead(b"P" * 16, 7, b"R" * 32)])
def test_the_first_act_of_a_log_names_its_predecessor(predecessor: LogHead | None) -> None:
    act = begin_log(incarnation=b"I" * 16, predecessor=predecessor, by="os:vitalwire@db", at_us=T0_US)
    assert act.kind == "log.begin"
    assert act.details["incarnation"] == "49" * 16
    assert predecessor_of(parse_act(act.body)) == predecessor


@pytest.mark.parametrize(
    "predecessor", [{}, [], {"incarnation": "zz", "root": "", "size": 1}, {"incarnation": "", "root": "", "size": "1"}]
)
def test_a_predecessor_that_is_none_is_refused(predecessor: Any) -> None:
    with pytest.raises(LayoutError):
        predecessor_of(Act("log.begin", "b", 1, "", {"predecessor": predecessor}))
    with pytest.raises(LayoutError, match="begins no log"):
        predecessor_of(ACT)
