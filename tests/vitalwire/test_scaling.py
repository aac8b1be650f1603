"""`vitalwire scaling`, and that docs/scaling.md says what it computes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from benchmarks.goals import GOALS
from tests.catalogues import table
from vitalwire.__main__ import app
from vitalwire.scaling import COSTS, WORDS, lines, plan

SIZES = (1000, 10_000, 100_000)


def test_the_document_has_the_tables_that_the_command_computes() -> None:
    columns = [dict(lines(devices)) for devices in SIZES]
    assert table("scaling.md", "Plans") == [[words, *(column[words] for column in columns)] for words in WORDS.values()]
    assert [[row[0], row[1]] for row in table("scaling.md", "Costs")] == [
        [cost.name, f"{cost.amount:,} {cost.unit}"] for cost in COSTS
    ]


def test_each_cost_names_a_command_of_the_makefile_and_a_figure_that_there_is() -> None:
    for cost in COSTS:
        command = cost.measured_by.partition(";")[0]
        assert command == "make bench-data" or command.removeprefix("make bench NAME=") in GOALS


@pytest.mark.parametrize("devices", [1, *SIZES, 1_000_000])
def test_a_plan_survives_a_broker_and_has_a_partition_for_each_worker(devices: int) -> None:
    found = plan(devices)
    assert found.brokers >= 3 * found.cells
    assert found.partitions >= 4
    assert found.partitions * found.cells >= found.workers
    assert found.database_gb_90_days >= found.minutes_gb_a_year + found.batches_gb_a_year + found.entries_gb_a_year


def test_sizes_are_what_the_costs_say() -> None:
    found = plan(1000)
    assert found.values_per_s == 12_000
    assert found.reports_gb_a_year == pytest.approx(276 * 1000 * 86_400 * 365 / 1e9, abs=1)
    assert plan(10_000).reports_gb_a_year == pytest.approx(10 * found.reports_gb_a_year, rel=0.01)


def test_waves_weigh_more_than_the_numbers_beside_them() -> None:
    none, one, three = (plan(10_000, waves) for waves in (0, 1, 3))
    assert (none.samples_per_s, none.wave_rows_gb_a_year, none.wave_batches_gb_a_year) == (0, 0, 0)
    assert one.samples_per_s == 2_500_000
    assert one.wave_batches_gb_a_year > one.reports_gb_a_year
    assert three.wave_batches_gb_a_year == pytest.approx(3 * one.wave_batches_gb_a_year, rel=0.01)
    assert none.pipeline_cores < one.pipeline_cores < three.pipeline_cores
    assert none.broker_disk_gb < one.broker_disk_gb < three.broker_disk_gb
    assert none.database_gb_90_days < one.database_gb_90_days < three.database_gb_90_days


def test_waves_are_asked_for_by_their_number() -> None:
    found = json.loads(CliRunner().invoke(app, ["scaling", "--waves", "3", "--json"]).output)
    assert (found["plan"]["waves"], found["plan"]["samples_per_s"]) == (3, 750_000)
    assert CliRunner().invoke(app, ["scaling", "--waves", "-1"]).exit_code == 2


def test_it_prints_a_plan_and_gives_scripts_the_same() -> None:
    printed = CliRunner().invoke(app, ["scaling", "--devices", "10000"])
    assert printed.exit_code == 0
    assert "For 10,000 devices" in printed.output
    found = json.loads(CliRunner().invoke(app, ["scaling", "--devices", "10000", "--json"]).output)
    assert found["plan"]["devices"] == 10_000
    assert len(found["costs"]) == len(COSTS)


def test_no_devices_are_refused() -> None:
    assert CliRunner().invoke(app, ["scaling", "--devices", "0"]).exit_code == 2
