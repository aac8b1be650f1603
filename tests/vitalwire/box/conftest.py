from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.bundle.write import ReleaseKey
from edge_agent.spool import schema
from runtime import keys
from runtime.bundle import open_bundle
from tests import bundling
from tests.wire import eventually
from vitalwire.box.health import AgentProbe
from vitalwire.box.install import Installation, program_step
from vitalwire.box.layout import Layout
from vitalwire.box.service import NoService
from vitalwire.box.steps import Step, run_steps
from vitalwire.embedded.services import free_port

START_S = 40
NEXT_FORM = schema.VERSION + 1


class Processes:
    """A service manager that remembers the agent by a file: whoever asks, also after one that was killed."""

    is_there = True

    def __init__(self, root: Path, port: int) -> None:
        self._root, self._port = root, port
        self._pid = root / "pid"

    def enable(self) -> None:
        (self._root / "enabled").touch()

    def disable(self) -> None:
        (self._root / "enabled").unlink(missing_ok=True)

    def reload(self) -> None:
        """There is nothing to read anew."""

    def start(self) -> None:
        if self._pid.exists():
            return
        agent = Path(__file__).with_name("agent.py")
        with (self._root / "out").open("ab") as out:
            process = subprocess.Popen([sys.executable, agent, self._root, str(self._port)], stdout=out, stderr=out)
        self._pid.write_text(str(process.pid))
        probe = AgentProbe(self._port)
        eventually(lambda: bool(probe.figures()) or process.poll() is not None, START_S, "the agent answers")

    def stop(self) -> None:
        if not self._pid.exists():
            return
        pid = int(self._pid.read_text())
        self._pid.unlink()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not _runs(pid), START_S, "the agent ended")


def _runs(pid: int) -> bool:
    """Until its last thread has ended, and with it its hold on files. One of ours is waited for."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    try:
        states = [each.read_text().rpartition(") ")[2][0] for each in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # it ended as we looked
        return True
    return any(state not in "ZX" for state in states)


class Machine:
    """A root with what every Debian has of users, a release key, and bundles that it signed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        self.layout = Layout(self.root)
        self.key: ReleaseKey = bundling.release_key(folder)
        self.trusted = keys.read_public(folder / "release.pub")
        self.port = free_port()
        self.service = Processes(self.root, self.port)
        self.said: list[str] = []
        self.make_root()

    def make_root(self, programs: Path | None = None) -> None:
        """A fresh one, the one before being deleted; with a copy of programs that were installed before."""
        if self.root.exists():
            shutil.rmtree(self.root)
        for name in ("etc", "opt", "var/lib"):
            (self.root / name).mkdir(parents=True)
        (self.root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
        (self.root / "etc" / "group").write_text("root:x:0:\ndialout:x:20:\n")
        (self.root / "etc" / "shadow").write_text("root:*:20000:0:99999:7:::\n")
        if programs is not None:
            shutil.copytree(programs, self.layout.programs, symlinks=True)
            self.layout.current.unlink(missing_ok=True)

    def bundle(self, version: str, spool_form: int = schema.VERSION, key: ReleaseKey | None = None) -> Path:
        path = self.folder / f"vitalwire-{version}.bundle"
        if not path.exists() or key:
            pip = bundling.pip_wheel(self.folder)
            return bundling.bundle(self.folder, key or self.key, version, spool_form, wheels=(pip,))
        return path

    def installation(self, version: str = "1.0", spool_form: int = schema.VERSION) -> Installation:
        opened = open_bundle(self.bundle(version, spool_form), self.trusted)
        (self.folder / "edge.toml").write_text(f"metrics_port = {self.port}\nspool = '/var/lib/vitalwire/spool'\n")
        return Installation(
            self.layout, opened, NoService(), self.folder / "release.pub", config=self.folder / "edge.toml"
        )

    def install(self, version: str = "1.0", before: Callable[[Step], object] = lambda _: None) -> None:
        installation = self.installation(version)
        installation.require()
        run_steps(installation.steps(), emit=self.said.append, before=before)

    def state(self) -> dict[str, tuple[int, int, bytes]]:
        """Mode, owner and content of all that lies there, but for what is another at each time."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if "__pycache__" in name or name in ("pid", "log", "out") or "/spool/" in name:
                continue
            about, content = path.lstat(), b""
            if path.is_symlink():
                content = os.readlink(path).encode()
            elif path.is_file() and path.name not in ("edge.key", "edge.pub", "edge.toml", "pyvenv.cfg", "RECORD"):
                content = path.read_bytes().replace(str(self.root).encode(), b"ROOT")
            found[name] = (about.st_mode, about.st_uid, content)
        return {name: what for name, what in found.items() if not name.startswith(("etc/shadow", "etc/group-"))}


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The versions 1.0 and 2.0, installed, to be put into other roots: pip takes its time."""
    made = Machine(tmp_path_factory.mktemp("programs"))
    made.install()
    upgraded = open_bundle(made.bundle("2.0", NEXT_FORM), made.trusted)
    run_steps([program_step(made.layout, upgraded)], emit=made.said.append)
    return made.layout.programs


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.service.stop()


def killed_at(number: int, work: Callable[[Callable[[Step], object]], object]) -> bool:
    """Do the work in a process that is killed before its step `number`; False: it has not so many, and ended well."""
    pid = os.fork()
    if pid == 0:
        count = iter(range(1000))

        def before(_: Step) -> None:
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            work(before)
        except BaseException as error:  # noqa: BLE001 - of a child that must not go on as pytest
            os.write(2, f"{error}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)
