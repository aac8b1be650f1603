"""What holds at each moment in turn."""

from __future__ import annotations

from clinical.timeline import Timeline


def test_each_thing_holds_from_its_begin_to_before_its_end() -> None:
    timeline = Timeline([(5, None, "b"), (0, 10, "a"), (7, 7, "never")])
    assert [timeline.at(at) for at in (0, 5, 7, 9, 10, 99)] == [["a"], ["a", "b"], ["a", "b"], ["a", "b"], ["b"], ["b"]]
    assert timeline.cuts == {0, 5, 10}
