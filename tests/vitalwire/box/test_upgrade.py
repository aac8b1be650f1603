"""From one version to the next on another root, with the real spool in an invented next form, and back."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.spool import schema
from runtime.bundle import open_bundle
from runtime.errors import UserError
from tests.commands import vitalwire
from tests.vitalwire.box.conftest import NEXT_FORM, Machine, killed_at
from vitalwire.box.health import AgentProbe, Clock, wait_healthy
from vitalwire.box.layout import DOWNTIME_UNIT, UNIT
from vitalwire.box.service import NoService
from vitalwire.box.steps import Step, run_steps
from vitalwire.box.upgrade import Upgrade

THIS_FORM = schema.VERSION


@pytest.fixture
def box(machine: Machine, programs: Path) -> Machine:
    """A box on which 1.0 runs; 2.0, which writes an invented next form, is unpacked already."""
    machine.make_root(programs)
    machine.install()
    machine.service.start()
    return machine


def upgrade_to(box: Machine, version: str = "2.0", form: int = NEXT_FORM, clock: Clock | None = None) -> Upgrade:
    opened = open_bundle(box.bundle(version, form), box.trusted)
    change = Upgrade(box.layout, opened, box.service, AgentProbe(box.port), box.said.append)
    return dataclasses.replace(change, clock=clock) if clock else change


def run(change: Upgrade, before: Callable[[Step], object] = lambda _: None) -> None:
    change.require()
    if change.is_needed:
        run_steps(change.steps(), emit=change.emit, before=before)


def clock_of(box: Machine, seen: list[int]) -> Clock:
    """A minute passes with each look; `seen` gets the spool's form at each, as its file says."""
    now = [0.0]

    def sleep(_: float) -> None:
        now[0] += 60
        seen.append(int.from_bytes((box.layout.spool / "spool.db").read_bytes()[60:64]))

    return Clock(lambda: now[0], sleep)


def log(box: Machine) -> list[str]:
    return (box.root / "log").read_text().splitlines()


def form_of(box: Machine) -> int:
    box.service.stop()
    return box.layout.spool_form()


def test_the_new_version_holds_the_old_form_until_it_is_healthy_and_then_takes_its_own(box: Machine) -> None:
    assert upgrade_to(box).is_needed
    run(upgrade_to(box))
    assert log(box) == [f"1.0 form {THIS_FORM}", f"2.0 form {THIS_FORM}", f"2.0 form {NEXT_FORM}"]
    assert (box.layout.installed(), box.layout.held()) == ("2.0", {})
    for name in (UNIT, DOWNTIME_UNIT):
        assert box.layout.unit_named(name).read_text().startswith("# 2.0")
    assert [line for line in box.said if "a receipt came" in line]
    assert not upgrade_to(box).is_needed
    assert form_of(box) == NEXT_FORM


def test_one_that_is_not_healthy_goes_back_by_itself_and_wrote_nothing_newer(box: Machine) -> None:
    (box.root / "sick-2.0").touch()
    before = box.state()
    seen: list[int] = []
    with pytest.raises(UserError, match=r"not within 120 s: the agent is ready .* all that was done is taken back"):
        run(upgrade_to(box, clock=clock_of(box, seen)))
    assert set(seen) <= {0, THIS_FORM}, "0: it stands in the log alone as yet"
    assert log(box)[-2:] == [f"2.0 form {THIS_FORM}", f"1.0 form {THIS_FORM}"]
    assert AgentProbe(box.port).is_ready(), "the old version runs again"
    assert box.state() == before
    assert form_of(box) == THIS_FORM


def test_killed_before_each_step_it_comes_to_the_same_end(machine: Machine, programs: Path) -> None:
    def begin() -> None:
        machine.service.stop()
        machine.make_root(programs)
        machine.install()
        machine.service.start()

    begin()
    run(upgrade_to(machine))
    expected, number = machine.state(), 0
    begin()
    while killed_at(number, lambda before: run(upgrade_to(machine), before)):
        run(upgrade_to(machine))
        assert machine.state() == expected, f"killed before step {number}"
        assert AgentProbe(machine.port).is_ready()
        number += 1
        begin()
    assert number == 9, "all but the program"


@pytest.mark.parametrize("number", [3, 5, 6])
def test_killed_and_then_not_healthy_it_goes_back_to_where_it_came_from(box: Machine, number: int) -> None:
    before = box.state()
    assert killed_at(number, lambda before: run(upgrade_to(box), before))
    (box.root / "sick-2.0").touch()
    with pytest.raises(UserError, match="all that was done is taken back"):
        run(upgrade_to(box, clock=clock_of(box, [])))
    (box.root / "sick-2.0").unlink()
    assert box.state() == before
    assert log(box)[-1] == f"1.0 form {THIS_FORM}"


def test_a_version_that_was_not_there_is_installed_and_taken_away_where_a_step_fails(box: Machine) -> None:
    shutil.rmtree(box.layout.version("2.0"))
    steps = upgrade_to(box).steps()

    def fail() -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(UserError, match="Input/output error; all that was done is taken back"):
        run_steps([*steps[:2], dataclasses.replace(steps[2], do=fail)], emit=box.said.append)
    assert not box.layout.version("2.0").exists()
    assert box.layout.is_whole("1.0")
    assert box.layout.held() == {}


def test_back_over_a_newer_spool_is_refused_before_anything_is_changed(box: Machine) -> None:
    run(upgrade_to(box))
    before = box.state()
    back = upgrade_to(box, "1.0", THIS_FORM)
    with pytest.raises(UserError, match=rf"is of form {NEXT_FORM}, and 1\.0 knows {THIS_FORM}: it would keep nothing"):
        back.require()
    box.service.stop()
    with pytest.raises(UserError, match=rf"is of form {NEXT_FORM}, and 1\.0 knows {THIS_FORM}"):
        back.require()
    assert box.state() == before


def test_a_version_that_no_longer_reads_the_spool_is_refused(box: Machine) -> None:
    change = upgrade_to(box)
    manifest = type(change.bundle.manifest)(**{
        name: getattr(change.bundle.manifest, name) for name in change.bundle.manifest.__struct_fields__
    } | {"spool_oldest_form": THIS_FORM + 1})  # fmt: skip
    later = dataclasses.replace(change, bundle=dataclasses.replace(change.bundle, manifest=manifest))
    with pytest.raises(UserError, match=f"of form {THIS_FORM}, and 2.0 reads from {THIS_FORM + 1} on"):
        later.require()


def test_without_a_service_the_spool_stays_held_until_it_is_run_where_there_is_one(box: Machine) -> None:
    box.service.stop()
    elsewhere = dataclasses.replace(upgrade_to(box), service=NoService())
    run(elsewhere)
    assert (box.layout.installed(), box.layout.held()["from"]) == ("2.0", "1.0")
    box.service.start()
    assert log(box)[-1] == f"2.0 form {THIS_FORM}"
    assert upgrade_to(box).is_needed
    run(upgrade_to(box))
    assert (log(box)[-1], box.layout.held()) == (f"2.0 form {NEXT_FORM}", {})


def test_what_cannot_be_seen_or_is_not_installed_is_refused(box: Machine) -> None:
    config = box.layout.config.read_text()
    box.layout.config.write_text(config.replace(f"metrics_port = {box.port}", "metrics_port = 0"))
    with pytest.raises(UserError, match=r"metrics_port is 0 .* nobody could see whether 2\.0 is healthy: set it"):
        upgrade_to(box).require()
    box.layout.current.unlink()
    with pytest.raises(UserError, match=r"nothing is installed in .*: `vitalwire edge install"):
        upgrade_to(box).require()


def test_the_command_takes_the_key_that_is_trusted_there_and_no_other_bundle(machine: Machine, programs: Path) -> None:
    machine.make_root(programs)
    machine.install()
    bundle, root = str(machine.bundle("2.0", NEXT_FORM)), str(machine.root)
    code, text = vitalwire("edge upgrade", bundle, "--root", root, "--dry-run")
    assert (code, machine.layout.installed()) == (0, "1.0")
    assert f"would   hold the spool in form {THIS_FORM} while 2.0 is not known to be well" in text
    machine.layout.spool.mkdir(exist_ok=True)
    code, text = vitalwire("edge upgrade", bundle, "--root", root)
    assert (code, machine.layout.installed()) == (0, "2.0")
    assert "the spool is held in its form until" in text


def test_each_of_the_three_has_two_minutes(box: Machine) -> None:
    now = [0.0]

    class Slow(AgentProbe):
        """Each holds after 119 s of its own."""

        def is_ready(self) -> bool:
            return now[0] >= 119

        def commits(self) -> bool:
            return now[0] >= 2 * 119

        def has_receipt(self) -> bool:
            return now[0] >= 4 * 119

    def sleep(_: float) -> None:
        now[0] += 7

    with pytest.raises(UserError, match=r"not within 120 s: a receipt came .* is this edge registered"):
        wait_healthy(Slow(1), Clock(lambda: now[0], sleep), box.said.append)
    assert any("the spool commits" in line for line in box.said)
