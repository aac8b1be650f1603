import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats.json_values import JsonShape, NoValueError, Numeral, plain_text, read_leaves, read_value, split
from schemas.errors import FrameError

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda child: st.lists(child, max_size=4) | st.dictionaries(st.text(max_size=5), child, max_size=4),
)
_objects = st.dictionaries(st.text(max_size=5), _values)


def test_values_come_by_their_path_and_as_they_are_written() -> None:
    leaves = read_leaves(b'{"a": {"b": [37.0, -0, "x", {}]}, "c": null, "d": true}')
    assert leaves == {"a.b.0": "37.0", "a.b.1": "-0", "a.b.2": "x", "c": None, "d": True}
    assert [isinstance(leaf, Numeral) for leaf in leaves.values()] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(b"[1]", "json"), (b'{"a":1,"a":1}', "json"), (b'{"a":NaN}', "json"), (b'{"a":01}', "json"), (b"", "json"),
     (b'{"a.b":1,"a":{"b":2}}', "path-twice"), (b'{"' + b"a" * 257 + b'":1}', "path-too-long")],
)  # fmt: skip
def test_what_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as refused:
        read_leaves(payload)
    assert refused.value.reason == reason


@settings(deadline=None)
@given(_objects, st.sampled_from([None, 0, 2]), st.booleans())
def test_a_text_is_split_at_its_values(payload: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(payload, indent=indent, ensure_ascii=ascii_only)
    between, values = split(text)
    assert "".join(a + b for a, b in zip(between, [*values, ""], strict=True)) == text
    try:
        leaves = read_leaves(text.encode())
    except FrameError:
        return
    assert [read_value(value) for value in values] == list(leaves.values())


def test_a_shape_fits_what_differs_in_its_values_alone() -> None:
    shape = JsonShape(*split('{"hr": 72, "mode": "a, b", "x": [null ]}'))
    assert shape.values('{"hr": 61.5, "mode": "c}", "x": ["on" ]}') == ["61.5", '"c}"', '"on"']
    assert shape.values('{"hr": null, "mode": 7, "x": [true ]}') == ["null", "7", "true"]
    for other in ('{"hr":72, "mode": "a", "x": [1 ]}', '{"pr": 72, "mode": "a", "x": [1 ]}', '{"hr": 72}',
                  '{"hr": [72], "mode": "a", "x": [1 ]}', '{"hr": 72, "mode": "a", "x": [1 ]}}'):  # fmt: skip
        assert shape.values(other) is None


@pytest.mark.parametrize("text", ["", "01", "1.", "+1", ".5", "NaN", "nul", '"a', '"a" ', '"a" : 1', r'"\x"', '"\n"'])
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(NoValueError):
        read_value(text)


@pytest.mark.parametrize(
    "frame", [b"", b"[1]", b' {"a":1}', b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16-le"), b"{\xff}"]
)
def test_what_no_shape_may_fit(frame: bytes) -> None:
    assert plain_text(frame) == ""
