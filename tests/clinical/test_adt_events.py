"""The table holds each event that the product answers for, with its source."""

from __future__ import annotations

import pytest

from clinical.adt_events import EVENTS, AdtEvent, Effect

DUE = [*range(1, 19), 21, 22, 23, 24, 28, *range(31, 39), 40, 42, 44, 45, 47, 50, 52, 53]


def test_the_table_has_exactly_these_events() -> None:
    assert sorted(EVENTS) == [f"A{event:02}" for event in DUE]


@pytest.mark.parametrize("row", EVENTS.values(), ids=lambda row: row.code)
def test_each_row_names_its_section(row: AdtEvent) -> None:
    assert row.source.startswith(f"HL7 3.3.{int(row.code[1:])}")
    assert bool(row.strikes) == (row.effect is Effect.CANCEL)
    assert bool(row.merges) == (row.effect in (Effect.MERGE, Effect.RENUMBER))


@pytest.mark.parametrize(
    ("cancel", "struck"),
    [
        ("A11", ("A01", "A04")), ("A12", ("A02",)), ("A13", ("A03",)), ("A32", ("A10",)), ("A33", ("A09",)),
        ("A38", ("A05",)), ("A52", ("A21",)), ("A53", ("A22",)),
    ],
)  # fmt: skip
def test_a_cancel_strikes_its_own_kind(cancel: str, struck: tuple[str, ...]) -> None:
    assert EVENTS[cancel].strikes == struck


@pytest.mark.parametrize("event", ["A23", "A44", "A45"])
def test_what_names_no_visit_goes_to_a_person(event: str) -> None:
    assert EVENTS[event].effect is Effect.WORKLIST


@pytest.mark.parametrize("event", ["A28", "A31"])
def test_a_person_update_has_no_effect(event: str) -> None:
    assert EVENTS[event].effect is Effect.NONE
