from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from runtime.errors import UserError
from tests.vitalwire.box.conftest import Machine, killed_at
from tests.wire import eventually
from vitalwire.box.health import AgentProbe
from vitalwire.box.layout import DOWNTIME_UNIT
from vitalwire.box.steps import Step, run_steps
from vitalwire.box.uninstall import Removal


@pytest.fixture
def box(machine: Machine, programs: Path) -> Machine:
    machine.make_root(programs)
    machine.install()
    return machine


def removal(box: Machine, *, is_purge: bool = False, discard: int | None = None) -> Removal:
    return Removal(box.layout, box.service, AgentProbe(box.port), is_purge, discard)


def run(work: Removal) -> None:
    work.require()
    run_steps(work.steps(), emit=lambda _: None)


def speak(box: Machine) -> None:
    """The agent keeps a report, and nobody receipts it."""
    (box.root / "reports").touch()
    box.service.start()
    log = box.layout.spool / "spool.db-wal"
    eventually(lambda: log.exists() and log.stat().st_size > 0, 20, "a commit")


def test_program_unit_and_start_go_and_the_spool_and_the_key_stay(box: Machine) -> None:
    box.service.start()
    run(removal(box))
    assert not box.layout.programs.exists()
    assert not box.layout.unit.exists()
    assert not box.layout.unit_named(DOWNTIME_UNIT).exists()
    assert not (box.root / "enabled").exists()
    assert box.layout.key.is_file()
    assert (box.layout.spool / "spool.db").is_file()
    with pytest.raises(UserError, match="nothing is installed in"):
        run(removal(box))


def test_with_purge_nothing_stays(box: Machine) -> None:
    box.service.start()
    run(removal(box, is_purge=True))
    for path in (box.layout.programs, box.layout.unit, box.layout.settings, box.layout.state):
        assert not path.exists()
    assert box.layout.user() is None
    assert not list(box.root.rglob("*.removed"))


def test_it_is_refused_while_reports_wait_and_the_agent_goes_on(box: Machine) -> None:
    speak(box)
    (box.root / "reports").unlink()
    before = box.state()
    for work in (removal(box), removal(box, is_purge=True), removal(box, is_purge=True, discard=2)):
        with pytest.raises(
            UserError, match=r"1 reports wait for a receipt .*--purge --discard 1 throws them away"
        ) as e:
            run(work)
        assert e.value.exit_code == 4
        assert box.state() == before
        assert AgentProbe(box.port).is_ready(), "it runs again"
    run(removal(box, is_purge=True, discard=1))
    assert not box.layout.state.exists()


def test_to_discard_without_purge_is_refused(box: Machine) -> None:
    with pytest.raises(UserError, match="--discard throws reports away, and only --purge does"):
        run(removal(box, discard=1))


def test_what_fails_is_put_back(box: Machine) -> None:
    box.service.start()
    box.service.enable()
    before = box.state()
    steps = removal(box, is_purge=True).steps()

    def fail() -> None:
        raise OSError(16, "Device or resource busy")

    for number in range(2, len(steps)):
        broken = [*steps[:number], dataclasses.replace(steps[number], do=fail), *steps[number + 1 :]]
        with pytest.raises(UserError, match="busy; all that was done is taken back"):
            run_steps(broken, emit=lambda _: None)
        after = box.state()
        assert {name: what for name, what in after.items() if name in before} == before
        assert AgentProbe(box.port).is_ready()


@pytest.mark.parametrize("is_purge", [False, True])
def test_killed_before_each_step_it_comes_to_the_same_end(machine: Machine, programs: Path, is_purge: bool) -> None:
    number = 0

    def work(before: object) -> None:
        assert callable(before)
        change = removal(machine, is_purge=is_purge)
        change.require()
        run_steps(change.steps(), emit=lambda _: None, before=before)

    def begin() -> None:
        machine.make_root(programs)
        machine.install()

    begin()
    while killed_at(number, work):
        run(removal(machine, is_purge=is_purge))
        assert not machine.layout.programs.exists()
        assert machine.layout.state.exists() == machine.layout.settings.exists() == (not is_purge)
        assert not list(machine.root.rglob("*.removed"))
        number += 1
        begin()
    assert number > 4


def test_a_step_is_said_by_what_it_does(box: Machine) -> None:
    says = [step.says for step in removal(box).steps() if isinstance(step, Step)]
    assert says[0] == "stop the agent"
    assert says[-1].endswith(os.fspath(box.layout.programs))
