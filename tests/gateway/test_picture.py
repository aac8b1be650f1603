from __future__ import annotations

import json
from typing import Any

from gateway.access.beds import Bed
from gateway.picture import Fragment, Picture, Visible

ONE, TWO = Bed("bed 1", "1", True), Bed("bed 2", "2", True)
BOTH, FIRST = frozenset([ONE, TWO]), frozenset([ONE])
ALL = Visible(BOTH, BOTH, BOTH, asked=3)


def picture() -> Picture:
    differences = [(ONE, Fragment(b'{"bed":0}'))]
    whole = [
        (ONE, Fragment(b'{"bed":0,"lines":[]}', b"[1]", b'{"name":"Z"}')),
        (TWO, Fragment(b'{"bed":1,"lines":[]}', b"[2]", b'{"name":"L"}')),
    ]
    return Picture(7, {"now": 5}, [ONE, TWO], differences, {"sets": {}}, whole)


def event(message: bytes) -> Any:
    assert message.startswith(b"data: ")
    assert message.endswith(b"\n\n")
    return json.loads(message[6:])


def test_differences_and_the_whole_are_events_of_one_number() -> None:
    made = picture()
    assert event(made.message(ALL, whole=False)) == {
        "number": 7, "whole": False, "now": 5, "asked": 3, "beds": [{"bed": 0}],
    }  # fmt: skip
    assert event(made.message(ALL, whole=True)) == {
        "number": 7, "whole": True, "now": 5, "asked": 3, "sets": {}, "beds": [
            {"bed": 0, "lines": [], "alarms": [1], "patient": {"name": "Z"}},
            {"bed": 1, "lines": [], "alarms": [2], "patient": {"name": "L"}},
        ],
    }  # fmt: skip


def test_those_who_may_see_the_same_share_its_bytes() -> None:
    made = picture()
    first = made.message(Visible(frozenset([TWO])), whole=True)
    assert [b["bed"] for b in event(first)["beds"]] == [1]
    assert made.message(Visible(frozenset([Bed("bed 2", "2", True)])), whole=True) is first
    assert event(made.message(Visible(frozenset([TWO])), whole=False))["beds"] == []


def test_names_and_alarms_are_left_out_where_they_may_not_be_seen() -> None:
    sees = Visible(BOTH, alarms=FIRST, named=frozenset([TWO]))
    one, two = event(picture().message(sees, whole=True))["beds"]
    assert one == {"bed": 0, "lines": [], "alarms": [1], "patient": {"hidden": True}}
    assert two == {"bed": 1, "lines": [], "patient": {"name": "L"}}


def test_a_bed_that_is_gone_is_said_to_those_who_saw_it_alone() -> None:
    made = Picture(8, {}, [], [(ONE, Fragment(b'{"bed":0,"structure":null}'))], {}, None)
    assert event(made.message(Visible(), whole=False))["beds"] == []
    assert event(made.message(Visible(), whole=False, gone=FIRST))["beds"] == [{"bed": 0, "structure": None}]


def test_a_document_is_the_whole_without_what_is_hidden() -> None:
    made = picture()
    assert json.loads(made.document(Visible(FIRST))) == event(made.message(Visible(FIRST), whole=True))
