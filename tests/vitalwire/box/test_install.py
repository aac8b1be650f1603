"""Installing on another root: what it leaves, what it refuses, and that it can be killed anywhere."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Container
from pathlib import Path

import pytest

from edge_agent.spool import schema
from runtime import keys
from runtime.bundle import open_bundle
from runtime.errors import UserError
from tests import bundling
from tests.commands import vitalwire
from tests.vitalwire.box.conftest import Machine, killed_at
from vitalwire.box.layout import DOWNTIME_UNIT, UNIT
from vitalwire.box.steps import Step, run_steps


def test_it_leaves_a_program_a_key_and_an_own_user_and_nothing_half(machine: Machine) -> None:
    machine.install()
    layout, user = machine.layout, machine.layout.user()
    assert user is not None
    assert (layout.installed(), layout.is_whole("1.0")) == ("1.0", True)
    assert "dialout:x:20:vitalwire" in (machine.root / "etc" / "group").read_text()
    for path, mode in ((layout.settings, 0o700), (layout.state, 0o700), (layout.key, 0o600), (layout.config, 0o600)):
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (mode, user[0]), path
    assert keys.load(layout.key).public_der == keys.read_public(layout.key.with_suffix(".pub"))
    assert 'edge = "' in layout.config.read_text()
    for name in (UNIT, DOWNTIME_UNIT):
        assert layout.unit_named(name).read_text() == "# 1.0\n[Service]\n"
    python = layout.current / "bin" / "python3"
    shown = subprocess.run([python, "-I", "-c", "import vitalwire; print(vitalwire.VERSION)"], capture_output=True)
    assert shown.stdout == b"1.0\n"
    assert (layout.current / "bin" / "vitalwire").read_text().splitlines()[1] == (
        'exec /opt/vitalwire/1.0/bin/python3 -P -m vitalwire "$@"'
    )
    assert not [path for path in machine.root.rglob("*") if ".half" in path.name or ".bundle" in path.name]


def test_a_second_time_changes_nothing(machine: Machine) -> None:
    machine.install()
    before, key = machine.state(), machine.layout.key.read_bytes()
    machine.said.clear()
    machine.install()
    assert (machine.state(), machine.layout.key.read_bytes()) == (before, key)
    # What the service manager is told twice does no harm.
    assert [line for line in machine.said if line.startswith("now")] == [
        "now     have the agent started with the machine"
    ]


def test_killed_before_each_step_it_comes_to_the_same_end(machine: Machine, programs: Path) -> None:
    machine.make_root(programs)
    machine.install()
    expected, number = machine.state(), 0
    machine.make_root(programs)
    while killed_at(number, lambda before: machine.install(before=before)):
        machine.install()
        assert machine.state() == expected, f"killed before step {number}"
        number += 1
        machine.make_root(programs)
    assert number == len(machine.installation().steps()) - 1, "all but the program"


def test_killed_within_pip_it_begins_the_program_again(machine: Machine) -> None:
    installation = machine.installation()

    def before(step: Step) -> None:
        if "out of the bundle" in step.says:
            folder = machine.layout.version("1.0")
            installation.bundle.unpack(machine.layout.programs / ".1.0.bundle")
            (folder / "lib").mkdir(parents=True)
            (folder / "lib" / "half").touch()
            os.kill(os.getpid(), 9)

    assert killed_at(-1, lambda _: run_steps(installation.steps(), emit=print, before=before))
    machine.install()
    assert machine.layout.is_whole("1.0")
    assert not (machine.layout.version("1.0") / "lib" / "half").exists()


def fail_at(machine: Machine, number: int) -> None:
    """Install, and let this step fail once it has done its work."""
    steps = machine.installation().steps()
    whole = steps[number]

    def fail() -> None:
        whole.do()
        raise OSError(28, "No space left on device")

    steps[number] = dataclasses.replace(whole, do=fail)
    with pytest.raises(UserError, match="No space left on device; all that was done is taken back"):
        run_steps(steps, emit=machine.said.append)


# What useradd leaves of its own, and folders that are any Debian's.
ANYBODYS = {"etc/systemd", "etc/systemd/system", "etc/.pwd.lock", "etc/subuid", "etc/subgid", "etc/gshadow"}


def left(machine: Machine, before: Container[str]) -> set[str]:
    there = {name for name in machine.state() if not name.endswith("-") and name not in before}
    return there - ANYBODYS


def test_where_a_step_fails_nothing_is_left(machine: Machine) -> None:
    before = machine.state()
    program = next(i for i, step in enumerate(machine.installation().steps()) if "out of the bundle" in step.says)
    for number in (*range(program), len(machine.installation().steps()) - 1):
        fail_at(machine, number)
        assert left(machine, before) == set(), number
        assert machine.layout.user() is None


def test_a_configuration_that_is_there_gets_an_id_and_keeps_the_rest(machine: Machine, programs: Path) -> None:
    machine.make_root(programs)
    machine.layout.settings.mkdir()
    machine.layout.config.write_text('kafka = "broker:9092"\n')
    machine.install()
    text = machine.layout.config.read_text()
    assert re.fullmatch(r'edge = "[0-9a-f-]{36}"\nkafka = "broker:9092"\n', text)
    machine.install()
    assert machine.layout.config.read_text() == text


def test_a_root_without_space_is_refused_before_anything_is_changed(machine: Machine) -> None:
    before = machine.state()
    installation = dataclasses.replace(machine.installation(), free=lambda _: 150_000_000)
    with pytest.raises(UserError, match=r"needs 2\d\d MB, and there are 150 MB: free some, .* nothing was changed"):
        installation.require()
    assert machine.state() == before


def test_a_newer_spool_and_another_version_are_refused(machine: Machine) -> None:
    machine.install()
    machine.bundle("0.9", spool_form=2)
    with pytest.raises(UserError, match=r"1\.0 is installed already: `vitalwire edge upgrade"):
        machine.installation("0.9").require()
    machine.service.start()  # makes a spool of this form
    machine.service.stop()
    machine.layout.current.unlink()
    with pytest.raises(UserError, match=rf"is of form {schema.VERSION}, and 0\.9 knows 2: it would keep nothing"):
        machine.installation("0.9").require()


def test_the_same_version_of_another_commit_is_refused(machine: Machine) -> None:
    machine.install()
    manifest = dataclasses.replace(machine.installation(), bundle=open_bundle(machine.bundle("1.0"), machine.trusted))
    other = dataclasses.replace(
        manifest.bundle,
        manifest=type(manifest.bundle.manifest)(**{
            name: getattr(manifest.bundle.manifest, name) for name in manifest.bundle.manifest.__struct_fields__
        } | {"commit": "beef"}),
    )  # fmt: skip
    with pytest.raises(UserError, match=r"1\.0 is installed from the commit c0ffee, and this bundle is of beef"):
        dataclasses.replace(manifest, bundle=other).require()


def test_the_command_says_what_it_would_do_and_then_what_a_person_needs(machine: Machine) -> None:
    bundle, root = machine.bundle("1.0"), str(machine.root)
    words = ["edge install", str(bundle), "--root", root]
    code, text = vitalwire(*words)
    assert (code, "name the release key by --trust release.pub" in text) == (2, True)
    before = machine.state()
    code, text = vitalwire(*words, "--trust", str(machine.folder / "release.pub"), "--dry-run")
    assert (code, machine.state()) == (0, before)
    assert "would   make the user vitalwire, in dialout" in text
    code, text = vitalwire(*words, "--trust", str(machine.folder / "release.pub"))
    assert code == 0
    public = keys.read_public(machine.layout.key.with_suffix(".pub"))
    assert f"this box's key: {keys.fingerprint(public)}" in text
    assert "vitalwire registry edge add" in text
    assert "not started: no systemd runs" in text
    code, text = vitalwire(*words)
    assert (code, "now     make" in text) == (0, False)


@pytest.mark.parametrize("change", ["unsigned", "byte", "signer", "machine"])
def test_a_bundle_that_is_not_what_was_signed_for_here_changes_nothing(machine: Machine, change: str) -> None:
    bundle = machine.bundle("1.0")
    words = {"unsigned": "is not signed", "byte": "is not what was signed", "signer": "is trusted here",
             "machine": "holds nothing for this machine"}[change]  # fmt: skip
    trusted = "release.pub"
    match change:
        case "unsigned":
            target = machine.folder / "unpacked"
            open_bundle(bundle, machine.trusted).unpack(target)
            (target / "manifest.json").write_text("{}")
            bundle = target
        case "byte":
            content = bytearray(bundle.read_bytes())
            content[content.index(b"notes of") + 3] ^= 1
            bundle.write_bytes(content)
        case "signer":
            bundling.release_key(machine.folder, "other")
            trusted = "other.pub"
        case "machine":
            (machine.folder / "else").mkdir()
            bundle = bundling.bundle(machine.folder / "else", machine.key, targets=("cp39-sparc64",))
    before = machine.state()
    code, text = vitalwire("edge install", str(bundle), "--root", str(machine.root),
                           "--trust", str(machine.folder / trusted))  # fmt: skip
    assert (code, machine.state()) == (2, before)
    assert words in text
