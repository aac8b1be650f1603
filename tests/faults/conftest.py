"""Real services to break, fresh topics and a fresh database a case; at the end the table and faults.json.

VITALWIRE_FAULTS is "quick" (CI: some 25 s a case, and no faults.json), "long" (outages as the list of faults has them),
or unset.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

import psycopg
import pytest

from benchmarks.databases import drop_database
from tests.faults.oracles import Outcome
from tests.faults.system import ROOT

LENGTH = os.environ.get("VITALWIRE_FAULTS", "")
if LENGTH not in ("", "quick", "long"):
    raise pytest.UsageError(f"VITALWIRE_FAULTS={LENGTH}: set it to quick or long, or leave it out")
Services = Callable[..., None]
NOT_QUICK = pytest.mark.not_quick  # of a case that cannot be had in half a minute
_outcomes: dict[str, tuple[str, Outcome]] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The quick run has no time for some."""
    if LENGTH == "quick":
        left_out = [item for item in items if item.get_closest_marker("not_quick")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def by_length(usual: int, *, quick: int, long: int | None = None) -> int:
    """How often, or for how many seconds, a case breaks something in a run of this length."""
    if LENGTH == "quick":
        return quick
    return long if LENGTH == "long" and long is not None else usual


def _services(*words: str, java_options: str = "") -> None:
    environment = os.environ | {"JDK_JAVA_OPTIONS": java_options}
    subprocess.run([ROOT / "deploy" / "services" / "services", *words], check=True, timeout=120, env=environment)


@pytest.fixture(scope="session")
def java_options() -> Iterator[str]:
    """How a broker is started: in the quick run in half the time, for a minute's work. The last is as usual again."""
    yield "-XX:TieredStopAtLevel=1" if LENGTH == "quick" else ""
    if LENGTH == "quick":
        _services("stop", "kafka")
        _services("start", "kafka")


@pytest.fixture
def services(java_options: str) -> Iterator[Services]:
    """`deploy/services/services VERB NAME...`; whatever a case broke is started again."""
    call = partial(_services, java_options=java_options)
    yield call
    call("start")


@pytest.fixture
def kafka(services: Services) -> str:
    """Its address; `services` starts it again."""
    return os.environ["VITALWIRE_KAFKA"]


@pytest.fixture
def database(services: Services) -> Iterator[str]:
    """A fresh database; no connection is held while the case runs, since the server may be killed."""
    server, name = os.environ["VITALWIRE_DATABASE"], f"t{secrets.token_hex(8)}"
    _at_server(server, f"CREATE DATABASE {name}")
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    services("start")
    drop_database(server, name)


def _at_server(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """This case's line of the table, which the case fills in."""
    _outcomes[request.node.nodeid] = request.node.name.removeprefix("test_"), Outcome()
    return _outcomes[request.node.nodeid][1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and item.nodeid in _outcomes:
        _outcomes[item.nodeid][1].ok = report.passed
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _outcomes:
        return
    if LENGTH != "quick":
        cases = {case: asdict(outcome) for case, outcome in _outcomes.values()}
        found = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "length": LENGTH or "usual", "cases": cases}
        (ROOT / "faults.json").write_text(json.dumps(found, indent=2) + "\n")
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'case':44}{'acked':>8}{'stored':>8}{'lost':>6}{'twice':>7}{'back in':>9}  ok")
    for case, o in _outcomes.values():
        back = "-" if o.recovered_s is None else f"{o.recovered_s:.1f} s"
        line = f"{case:44}{o.acked:8}{o.stored:8}{o.lost:6}{o.duplicated:7}{back:>9}  {'yes' if o.ok else 'NO'}"
        terminalreporter.write_line(line)
