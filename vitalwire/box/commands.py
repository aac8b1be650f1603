"""`vitalwire edge install`, `upgrade` and `uninstall`: each says what it will do, and can be run twice."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from runtime import keys
from runtime.bundle import open_bundle, this_target
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from vitalwire.box.health import AgentProbe
from vitalwire.box.install import Installation
from vitalwire.box.layout import USER, Layout
from vitalwire.box.service import service_of
from vitalwire.box.steps import run_steps
from vitalwire.box.uninstall import Removal
from vitalwire.box.upgrade import Upgrade
from vitalwire.output import console

CHECK_LIMIT_S = 120.0
BundlePath = Annotated[Path, typer.Argument(help="vitalwire-VERSION.bundle, or the folder that was unpacked from it")]
Trust = Annotated[
    Path | None,
    typer.Option("--trust", help="release.pub, from who makes bundles, by another way than the bundle",
                 show_default="/etc/vitalwire/release.pub"),
]  # fmt: skip
Root = Annotated[Path, typer.Option(help="another root that is mounted here, with the same Python")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and change nothing")]


def install(
    bundle: BundlePath,
    trust: Trust = None,
    root: Root = Path("/"),
    config: Annotated[Path | None, typer.Option(help="edge.toml to begin with; its edge gets an id of its own")] = None,
    platform_key: Annotated[Path | None, typer.Option(help="platform.pub, from the hospital's side")] = None,
    dry_run: DryRun = False,
) -> None:
    """Put the agent on this machine: vitalwire edge install vitalwire-0.1.0.bundle --trust release.pub."""
    layout, release_key = _begin(root, trust)
    opened = open_bundle(bundle, keys.read_public(release_key))
    opened.wheels(this_target())
    service = service_of(layout)
    installation = Installation(layout, opened, service, release_key, config, platform_key)
    installation.require()
    run_steps(installation.steps(), emit=_emit, is_dry_run=dry_run)
    if dry_run:
        return
    _show_key(layout)
    is_well = _check(layout)
    if not service.is_there:
        _emit(f"not started: no systemd runs in {layout.root}; start the unit's ExecStart by other means")
    elif (missing := layout.settings / "platform.pub").is_file():
        service.start()
        _emit("started: `vitalwire status` at the hospital's side shows it once it is registered")
    else:
        _emit(f"not started: {missing} is missing; put it there, then `systemctl start vitalwire-edge`")
    if not is_well:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def upgrade(bundle: BundlePath, trust: Trust = None, root: Root = Path("/"), dry_run: DryRun = False) -> None:
    """Bring the agent to a bundle's version, or back if it is not healthy: vitalwire edge upgrade FILE. Exit 4."""
    layout, release_key = _begin(root, trust)
    opened = open_bundle(bundle, keys.read_public(release_key))
    opened.wheels(this_target())
    change = Upgrade(layout, opened, service_of(layout), AgentProbe(layout.metrics_port), _emit)
    change.require()
    if not change.is_needed:
        _emit(f"{change.version} is installed, and known to be well")
        return
    before = change.before
    run_steps(change.steps(), emit=_emit, is_dry_run=dry_run)
    if dry_run:
        return
    if change.service.is_there:
        _emit(f"{change.version} runs, and is healthy; {before} stays in {layout.version(before)}, for the way back")
    else:
        _emit(
            f"{change.version} is in place; the spool is held in its form until `vitalwire edge upgrade` is run again"
            " where systemd runs"
        )


def uninstall(
    purge: Annotated[bool, typer.Option("--purge", help="also keys, configuration, spool and user")] = False,
    discard: Annotated[int | None, typer.Option(help="with --purge: so many reports that wait are thrown away")] = None,
    root: Root = Path("/"),
    dry_run: DryRun = False,
) -> None:
    """Take the agent away; refused while reports wait: vitalwire edge uninstall. Exit 4 where some do."""
    layout = _as_root(root)
    removal = Removal(layout, service_of(layout), AgentProbe(layout.metrics_port), purge, discard)
    removal.require()
    run_steps(removal.steps(), emit=_emit, is_dry_run=dry_run)
    if not dry_run and not purge:
        _emit(f"{layout.settings} and {layout.state} stay: --purge removes them too")


def _emit(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


def _as_root(root: Path) -> Layout:
    if os.geteuid() != 0:
        raise UserError("only root may do this: sudo")
    if not root.is_dir():
        raise UserError(f"{root} is no folder: mount that root there first")
    os.umask(0o022)  # whatever root's is: the agent runs as another user
    return Layout(root.resolve())


def _begin(root: Path, trust: Path | None) -> tuple[Layout, Path]:
    """The layout, and the release key: the one that is named, or the one that is trusted there already."""
    layout = _as_root(root)
    release_key = trust or layout.release_key
    if not release_key.is_file():
        raise UserError(
            f"{release_key} is not there: name the release key by --trust release.pub. It comes from who makes the"
            " bundles, by another way than the bundle; compare its fingerprint with them"
        )
    _emit(f"trusted: the release key {keys.fingerprint(keys.read_public(release_key))}")
    return layout, release_key


def _show_key(layout: Layout) -> None:
    """What a person needs at the hospital's side."""
    public = layout.key.with_suffix(".pub")
    found = re.search(r'(?m)^edge *= *"([^"]*)"', layout.config.read_text("utf-8"))
    edge = found[1] if found else "?"
    _emit(f"this box's key: {keys.fingerprint(keys.read_public(public))}")
    _emit(f"copy {public} to the hospital's side, and register it there; compare what that prints with the line above:")
    _emit(f"vitalwire registry edge add {edge} {public.name} --label 'ICU box 2'")


def _check(layout: Layout) -> bool:
    """`edge check` as the agent's user, in that root; False where something is wrong."""
    program = layout.seen_from_inside(layout.current / "bin" / "vitalwire")
    words = ["edge", "check", "--config", str(layout.seen_from_inside(layout.config))]
    user, uid = layout.user(), USER
    assert user is not None
    as_user = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--init-groups", "--", str(program), *words]
    inside = [] if layout.root == Path("/") else ["chroot", str(layout.root)]
    if inside and not (layout.root / "bin" / "sh").exists():
        _emit(f"not checked: {layout.root} has no programs of its own to run `edge check` with, as {uid}")
        return True
    _emit("edge check:")
    done = subprocess.run([*inside, *as_user], capture_output=True, text=True, timeout=CHECK_LIMIT_S, cwd="/",
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})  # fmt: skip
    for line in (done.stdout + done.stderr).splitlines():
        _emit(f"  {line}")
    return done.returncode == 0
