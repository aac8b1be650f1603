"""Dashboards: what Grafana needs of them, metrics and labels that the source registers, SQL that a reader may run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import catalogues
from tests.deploy.test_prometheus import labels_in, metrics_in

GRAFANA = catalogues.ROOT / "deploy" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
LEGEND_LABEL = re.compile(r"\{\{(\w+)\}\}")
OF_PROMETHEUS = {"box", "worker"}  # labels that deploy/prometheus gives to targets


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def targets(path: Path, key: str) -> list[str]:
    return [
        target[key] for panel in read(path)["panels"] for target in panel["targets"] if key in target
    ]  # fmt: skip


def test_there_is_one_of_the_pipeline_of_edges_and_of_data_quality() -> None:
    assert [path.stem for path in DASHBOARDS] == ["data-quality", "edges", "pipeline"]
    assert len({read(path)["uid"] for path in DASHBOARDS}) == 3


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_what_grafana_needs(path: Path) -> None:
    dashboard = read(path)
    assert dashboard["uid"] == f"vitalwire-{path.stem}"
    assert dashboard["title"]
    assert dashboard["schemaVersion"] >= 36
    variables = {f"${{{each['name']}}}": each["query"] for each in dashboard["templating"]["list"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        assert variables[panel["datasource"]["uid"]] == panel["datasource"]["type"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert all(target.get("legendFormat") or target.get("rawSql") for target in panel["targets"]), panel["title"]


def test_panels_do_not_lie_on_each_other() -> None:
    for path in DASHBOARDS:
        cells = [
            (x, y)
            for grid in (panel["gridPos"] for panel in read(path)["panels"])
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        ]
        assert len(cells) == len(set(cells))


def test_every_metric_that_is_shown_is_registered_and_every_metric_is_shown() -> None:
    known = {metric.name for metric in catalogues.metrics()}
    shown = set[str]().union(*(metrics_in(expr) for path in DASHBOARDS for expr in targets(path, "expr")))
    assert shown == known


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_label_of_a_selector_and_of_a_legend_is_one_of_its_metric(path: Path) -> None:
    labels = {(metric.name, label) for metric in catalogues.metrics() for label in metric.labels}
    for panel in read(path)["panels"]:
        for target in panel["targets"]:
            expr = target.get("expr", "")
            assert labels_in(expr) - labels == set()
            of_metrics = {label for name, label in labels if name in metrics_in(expr)} | OF_PROMETHEUS
            assert set(LEGEND_LABEL.findall(target.get("legendFormat", ""))) <= of_metrics


def test_every_query_runs_as_a_reader_of_the_database(database: str) -> None:
    queries = [sql for path in DASHBOARDS for sql in targets(path, "rawSql")]
    assert len(queries) == 2
    with psycopg.connect(database) as conn:
        for sql in queries:
            conn.execute(sql.encode()).fetchall()


def test_datasources_are_those_that_dashboards_choose_and_hold_no_secret() -> None:
    text = (GRAFANA / "provisioning" / "datasources" / "vitalwire.yaml").read_text("utf-8")
    uids = set(re.findall(r"(?m)^    uid: (.*)$", text))
    chosen = {each["current"]["value"] for path in DASHBOARDS for each in read(path)["templating"]["list"]}
    assert chosen == uids == {"vitalwire-prometheus", "vitalwire-database"}
    assert re.findall(r"password: (\S+?)\}", text) == ["$VITALWIRE_GRAFANA_PASSWORD"]
