"""Why a slot is empty, with what shows it."""

from __future__ import annotations

from clinical.chart import GapReason, Window
from clinical.chart_gaps import Heard, HeardKind, explain
from tests.clinical.test_chart_choice import LAST, MONITOR, S, belongs, measured, window

NOW_US = 900 * S


def heard(kind: HeardKind, from_s: float, until_s: float | None, device: str | None = MONITOR) -> Heard:
    until_us = None if until_s is None else int(until_s * S)
    evidence = (("event", kind.name),)
    return Heard(kind=kind, device=device, from_us=int(from_s * S), until_us=until_us, evidence=evidence)


def reasons(asked: Window, *what: Heard) -> list[GapReason]:
    return [gap.reason for gap in explain(asked, LAST, what, NOW_US)]


def test_silence_is_explained_by_what_was_heard_the_strongest_first() -> None:
    silent = heard(HeardKind.DISCONNECTED, -100, 100)
    away = heard(HeardKind.EDGE_SILENT, 50, None, None)
    assert reasons(window(), silent, away) == [GapReason.BOX_AWAY, GapReason.UNPLUGGED]
    assert reasons(window(), heard(HeardKind.NO_READING, 300, 400)) == [GapReason.NOT_MEASURED]
    assert reasons(window(), heard(HeardKind.DISCONNECTED, 0, 100, "another")) == [GapReason.NOT_MEASURED]


def test_a_gap_is_cut_to_its_slot_and_has_its_evidence() -> None:
    (gap,) = explain(window(), LAST, [heard(HeardKind.DISCONNECTED, -100, 100)], NOW_US)
    assert (gap.from_us, gap.until_us, gap.device) == (0, 100 * S, MONITOR)
    assert gap.evidence == (("event", "DISCONNECTED"),)


def test_what_the_choice_says_outranks_what_was_heard() -> None:
    moved = window(measured(200, 70), belongings=(belongs(until_s=100), belongs(100, encounter="E2")))
    assert reasons(moved, heard(HeardKind.DISCONNECTED, 0, 300)) == [GapReason.CUT_BY_MOVE]


def test_a_slot_with_a_value_has_no_gap() -> None:
    assert reasons(window(measured(10, 60))) == []


def test_nobody_asked_and_not_yet() -> None:
    assert [gap.reason for gap in explain(window(), None, (), NOW_US)] == [GapReason.NO_POLICY]
    assert [gap.reason for gap in explain(window(), LAST, (), 299 * S)] == [GapReason.NOT_YET]
