from enum import IntEnum, StrEnum

import pytest

from schemas.report import AlarmKind, AlarmPriority, AlarmState
from schemas.transition import Side, TransitionKind
from tests import catalogues
from tests.catalogues import table

# Codes that only the running program knows, with what they may be: each stands in its file as a text.
PASSED_ON: dict[str, set[str]] = {
    "edge_agent/bugs.py: what": set(),  # of log_bug, whose calls are looked at
    "edge_agent/process.py: code": set(),  # of _emit, whose calls are looked at
    "edge_agent/publisher/witness.py: finding.slug": {"log-began", "log-forked", "log-shrunk"},
    "edge_agent/supervisor.py: code": set(),
    "edge_agent/events.py: code": set(),
    "edge_agent/events.py: reason": set(),  # of a rejection
    "edge_agent/spool/encoded_reports.py: reason": set(),
    "edge_agent/spool/spool.py: *self._set_aside": {"spool-damaged", "spool-set-aside"},
    "edge_agent/supervisor.py: self._back_code": {"gap", "source-restored"},
}


def first_cells(page: str, heading: str = "") -> list[str]:
    return [row[0] for row in table(page, heading)]


def test_every_metric_stands_in_its_catalogue() -> None:
    listed = {
        catalogues.Metric(name, type_, tuple(labels.split(", ")) if labels else ())
        for name, type_, labels, _ in table("metrics.md")
    }
    assert listed == catalogues.metrics()


def test_every_log_event_stands_in_its_catalogue() -> None:
    events, _ = catalogues.log_events()
    assert set(first_cells("log-events.md")) == events


def test_every_event_of_the_edge_stands_in_its_catalogue() -> None:
    codes, unknown = catalogues.edge_events()
    passed_on = set().union(*(PASSED_ON[call] for call in unknown & PASSED_ON.keys()))
    assert set(first_cells("alarms.md", "Events of the edge")) == codes | passed_on


def test_every_reason_of_a_rejection_stands_in_its_catalogue() -> None:
    assert set(first_cells("alarms.md", "Reasons of rejected frames")) == catalogues.rejection_reasons()


def test_every_kind_of_act_stands_in_its_catalogue() -> None:
    assert set(first_cells("places.md", "Acts")) == catalogues.act_kinds()


def test_no_code_is_known_to_the_program_alone() -> None:
    unknown = catalogues.log_events()[1] | catalogues.edge_events()[1]
    assert unknown == PASSED_ON.keys()
    for call, codes in PASSED_ON.items():
        source = (catalogues.ROOT / call.partition(":")[0]).read_text("utf-8")
        assert all(f'"{code}"' in source for code in codes)


@pytest.mark.parametrize(("field", "words"), [
    ("state", AlarmState), ("priority", AlarmPriority), ("kind", AlarmKind), ("side of a limit", Side),
    ("transition", TransitionKind),
])  # fmt: skip
def test_words_of_alarms_are_those_of_the_schema(field: str, words: type[IntEnum] | type[StrEnum]) -> None:
    (listed,) = (row[1] for row in table("alarms.md", "Alarms of devices and of limits") if row[0] == field)
    assert listed.split(", ") == [word.name.lower() for word in words]


@pytest.mark.parametrize(
    ("page", "cells"), [("metrics.md", 4), ("log-events.md", 3), ("alarms.md", 3)]
)  # fmt: skip
def test_each_name_stands_once_with_what_it_means(page: str, cells: int) -> None:
    rows = table(page, "Events of the edge" if page == "alarms.md" else "")
    assert len({row[0] for row in rows}) == len(rows) > 10
    assert all(len(row) == cells and row[-1] for row in rows)
