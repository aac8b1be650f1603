from __future__ import annotations

import json
from typing import Any

from gateway.access.beds import Bed
from gateway.picture import Picture

ONE, TWO = Bed("bed 1", "1", True), Bed("bed 2", "2", True)


def picture() -> Picture:
    differences, whole = [(ONE, b'{"bed":0}')], [(ONE, b'{"bed":0,"lines":[]}'), (TWO, b'{"bed":1,"lines":[]}')]
    return Picture(7, {"now": 5}, [ONE, TWO], differences, {"sets": {}}, whole)


def event(message: bytes) -> Any:
    assert message.startswith(b"data: ")
    assert message.endswith(b"\n\n")
    return json.loads(message[6:])


def test_differences_and_the_whole_are_events_of_one_number() -> None:
    made = picture()
    nobody = frozenset[Bed]()
    assert event(made.message(nobody, whole=False)) == {"number": 7, "whole": False, "now": 5, "beds": [{"bed": 0}]}
    assert event(made.message(nobody, whole=True)) == {
        "number": 7, "whole": True, "now": 5, "sets": {}, "beds": [{"bed": 0, "lines": []}, {"bed": 1, "lines": []}],
    }  # fmt: skip


def test_those_who_may_see_the_same_share_its_bytes() -> None:
    made = picture()
    first = made.message(frozenset([ONE]), whole=True)
    assert [b["bed"] for b in event(first)["beds"]] == [1]
    assert made.message(frozenset([Bed("bed 1", "1", True)]), whole=True) is first
    assert event(made.message(frozenset([ONE]), whole=False))["beds"] == []


def test_a_document_is_the_whole_without_what_is_hidden() -> None:
    made = picture()
    assert json.loads(made.document(frozenset([ONE]))) == event(made.message(frozenset([ONE]), whole=True))
