"""Rules name metrics that there are, and each has its section in the runbook; `promtool` has the last word."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests import catalogues

FOLDER = catalogues.ROOT / "deploy" / "prometheus"
RULES = (FOLDER / "vitalwire.rules.yml").read_text("utf-8")
RUNBOOK = (catalogues.ROOT / "docs" / "runbook.md").read_text("utf-8")
UNIT_TESTS = sorted((FOLDER / "tests").glob("*.test.yml"))
ALERTS = re.findall(r"(?m)^      - alert: (\w+)$", RULES)
HISTOGRAM_SUFFIX = re.compile(r"_(?:bucket|sum|count)$")


def metrics_in(text: str) -> set[str]:
    """As a scrape names them, without what a histogram adds."""
    known = {metric.name for metric in catalogues.metrics()}
    found = set(re.findall(r"\bvitalwire_[a-z_]+", text))
    return {name if name in known else HISTOGRAM_SUFFIX.sub("", name) for name in found}


def labels_in(text: str) -> set[tuple[str, str]]:
    """Metric and label, of selectors."""
    return {
        (HISTOGRAM_SUFFIX.sub("", name), label)
        for name, labels in re.findall(r"\b(vitalwire_[a-z_]+)\{([^}]*)\}", text)
        for label in re.findall(r"(\w+)\s*(?:=~|!=|=)", labels)
    }


def test_every_metric_of_a_rule_and_of_its_tests_is_one_that_the_source_registers() -> None:
    known = {metric.name for metric in catalogues.metrics()}
    assert len(metrics_in(RULES)) > 20
    for text in (RULES, *(path.read_text("utf-8") for path in UNIT_TESTS)):
        assert metrics_in(text) - known == set()


def test_every_label_that_a_rule_asks_for_is_one_of_the_metric() -> None:
    labels = {(metric.name, label) for metric in catalogues.metrics() for label in metric.labels}
    assert labels_in(RULES)
    assert labels_in(RULES) - labels == set()


def test_every_rule_has_a_section_of_the_runbook_and_every_section_a_rule() -> None:
    sections = re.split(r"(?m)^## ", RUNBOOK)[1:]
    assert [section.partition("\n")[0] for section in sections] == ALERTS
    assert len(set(ALERTS)) == len(ALERTS)
    for section in sections:
        assert [word for word in ("**Means.**", "**Look at.**", "**Do.**") if section.count(word) != 1] == []


def test_every_rule_links_its_section_and_says_how_urgent_it_is() -> None:
    for alert, body in re.findall(r"(?ms)^      - alert: (\w+)$(.*?)(?=^      - alert:|^  - name:|\Z)", RULES):
        assert f"runbook: docs/runbook.md#{alert.lower()}\n" in body + "\n"
        assert re.search(r"labels: \{severity: (page|ticket)\}", body), alert
        assert "summary: " in body


def test_every_rule_fires_in_a_unit_test() -> None:
    text = "".join(path.read_text("utf-8") for path in UNIT_TESTS)
    fired = set(re.findall(r'alertname="(\w+)"', text)) | set(
        re.findall(r"alertname: (\w+)\n +exp_alerts:\n +- exp_labels", text)
    )
    assert set(ALERTS) - fired == set()


def test_ports_are_those_of_the_processors_configuration() -> None:
    config = (FOLDER / "prometheus.yml").read_text("utf-8")
    assert re.findall(r'127\.0\.0\.1:(946[4-6])"\]\n +labels: \{worker: (\w+)\}', config) == [
        ("9464", "validate"), ("9465", "store"), ("9466", "alarm")
    ]  # fmt: skip


def promtool(*words: str | Path) -> str:
    result = subprocess.run(["promtool", *words], capture_output=True, text=True, cwd=FOLDER)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.integration  # needs Debian's package prometheus
def test_promtool_takes_the_configuration_and_the_rules() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", "vitalwire.rules.yml")
    promtool("check", "config", "prometheus.yml")


@pytest.mark.integration
@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.name)
def test_rules_fire_and_do_not_fire(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", path)
