"""Installing on a machine that has only python3: `vitalwire edge install`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_agent.sources import sample_edge
from runtime import keys
from runtime.bundle import Bundle, this_target
from runtime.errors import UserError
from vitalwire.box.layout import DOWNTIME_UNIT, MANIFEST, SERIAL_GROUP, UNIT, USER, Layout
from vitalwire.box.service import Service
from vitalwire.box.steps import Step

# Beside what wheels take unpacked: compiled modules, and the wheels themselves while they are installed.
COMPILED_SHARE = 0.6
SPOOL_BYTES_MIN = 200_000_000  # some hours of a ward; `spool_bytes_max` says how much it may become
LIMIT_S = 600.0
LAUNCHER = """\
#!/bin/sh
exec {python} -P -m vitalwire "$@"
"""
FreeBytes = Callable[[Path], int]


def free_bytes(path: Path) -> int:
    """What may still be written at a place that is there already or is to be made."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


@dataclass(frozen=True)
class Installation:
    """What is installed where; `config` and `platform_key` are files to begin with, None where there are none."""

    layout: Layout
    bundle: Bundle
    service: Service
    release_key: Path
    config: Path | None = None
    platform_key: Path | None = None
    free: FreeBytes = free_bytes

    @property
    def version(self) -> str:
        """The bundle's."""
        return self.bundle.manifest.version

    def require(self) -> None:
        """What must hold before anything is changed; raises UserError."""
        layout, there = self.layout, self.layout.installed()
        if there and there != self.version:
            raise UserError(f"{there} is installed already: `vitalwire edge upgrade {self.bundle.path}`")
        require_same(layout, self.bundle)
        require_python(layout)
        require_space(layout, self.bundle, self.free, spool_bytes=SPOOL_BYTES_MIN)
        require_spool(layout, self.bundle)
        if shutil.which("useradd") is None and layout.user() is None:
            raise UserError("useradd is missing: apt-get install passwd, or make a system user vitalwire yourself")
        for path in filter(None, (self.config, self.platform_key)):
            if not path.is_file():
                raise UserError(f"{path} is not there: name a file that is")

    def steps(self) -> list[Step]:
        """In order."""
        layout, version = self.layout, self.version
        return [
            user_step(layout),
            folder_step(layout, layout.settings, 0o700),
            folder_step(layout, layout.state, 0o700),
            copy_step(layout, self.release_key, layout.release_key, "the key whose bundles are believed here"),
            *self._platform_key_steps(),
            self._config_step(),
            key_step(layout),
            folder_step(layout, layout.state / "spool", 0o700),
            program_step(layout, self.bundle),
            unit_step(layout, version, UNIT),
            unit_step(layout, version, DOWNTIME_UNIT),
            link_step(layout, version),
            Step("have the agent started with the machine", self._enable, self.service.disable),
        ]

    def _platform_key_steps(self) -> list[Step]:
        if self.platform_key is None:
            return []
        to = self.layout.settings / "platform.pub"
        return [copy_step(self.layout, self.platform_key, to, "the platform's key, by which receipts are believed")]

    def _config_step(self) -> Step:
        layout = self.layout

        before = layout.config.read_text("utf-8") if layout.config.is_file() else None

        def write() -> None:
            text = self.config.read_text("utf-8") if self.config else _sample(layout)
            write_whole(layout.config, _with_id(before or text, str(uuid.uuid4())), 0o600, layout)

        def restore() -> None:
            if before is None:
                layout.config.unlink(missing_ok=True)
            else:
                write_whole(layout.config, before, 0o600, layout)

        def is_done() -> bool:
            if not layout.config.is_file():
                return False
            text = layout.config.read_text("utf-8")
            return _with_id(text, "") == text

        return Step(f"write {layout.config} with an id of its own", write, restore, is_done)

    def _enable(self) -> None:
        self.service.reload()
        self.service.enable()


def _sample(layout: Layout) -> str:
    """The sample with this box's place for the spool; its sources are left out in it."""
    spool = layout.seen_from_inside(layout.state / "spool")
    return re.sub(r'(?m)^spool = "[^"]*"', f'spool = "{spool}"', sample_edge())


def _with_id(text: str, edge: str) -> str:
    """A configuration whose edge has this id, unless it has one."""
    if '\nedge = "EDGE"' in f"\n{text}":
        return re.sub(r'(?m)^edge = "EDGE"', f'edge = "{edge}"', text)
    return text if re.search(r"(?m)^edge *=", text) else f'edge = "{edge}"\n{text}'


# --- what must hold -------------------------------------------------------------------------------------------------


def require_same(layout: Layout, bundle: Bundle) -> None:
    """Raises UserError where this version was installed from another commit: a version is one program."""
    there, commit = read_manifest(layout, bundle.manifest.version).get("commit"), bundle.manifest.commit
    if there not in (None, commit):
        raise UserError(
            f"{bundle.manifest.version} is installed from the commit {there}, and this bundle is of {commit}:"
            " make a bundle with a version of its own"
        )


def require_python(layout: Layout) -> None:
    """Raises UserError where the other root's python3 is another one: what is installed by this runs by this alone."""
    python = layout.root / "usr" / "bin" / "python3"
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if layout.root != Path("/") and python.is_symlink() and python.readlink().name != name:
        raise UserError(
            f"{layout.root} has {python.readlink().name}, and this is {name}: run the bundle's `install` in that root"
        )


def require_space(layout: Layout, bundle: Bundle, free: FreeBytes, spool_bytes: int) -> None:
    """Raises UserError where the program, or what a spool needs at least, would not fit."""
    wheels = sum(bundle.manifest.files[name].size for name in bundle.wheels(this_target()))
    program = int(bundle.manifest.installed_bytes * (1 + COMPILED_SHARE)) + wheels
    if layout.is_whole(bundle.manifest.version):
        program = 0
    needed = {layout.programs: program, layout.state: spool_bytes}
    if _device(layout.programs) == _device(layout.state):
        needed = {layout.programs: program + spool_bytes}
    for path, size in needed.items():
        if (there := free(path)) < size:
            raise UserError(
                f"{path} needs {size / 1e6:.0f} MB, and there are {there / 1e6:.0f} MB: free some, or take a larger"
                " disk; nothing was changed"
            )


def require_spool(layout: Layout, bundle: Bundle) -> None:
    """Raises UserError where the bundle's version could not read the spool that lies here."""
    form, manifest = layout.spool_form(), bundle.manifest
    if form > manifest.spool_form:
        raise UserError(
            f"the spool {layout.spool} is of form {form}, and {manifest.version} knows {manifest.spool_form}:"
            " it would keep nothing; take a bundle that is as new as what wrote it"
        )


def _device(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return path.stat().st_dev


# --- steps ----------------------------------------------------------------------------------------------------------


def give(path: Path, layout: Layout) -> None:
    """Make it the box user's."""
    found = layout.user()
    if found is None:
        raise UserError(f"there is no user {USER} in {layout.root}: run this again from its beginning")
    os.chown(path, *found, follow_symlinks=False)


def write_whole(path: Path, content: str | bytes, mode: int, layout: Layout | None = None) -> None:
    """Write a file, whole or not at all; given to the box's user where a layout is named."""
    half = path.with_name(f".{path.name}.half")
    with open(half, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        os.fchmod(file.fileno(), mode)
        file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
    if layout is not None:
        give(half, layout)
    half.replace(path)


def user_step(layout: Layout) -> Step:
    """The user that the agent runs as."""
    prefix = [] if layout.root == Path("/") else ["--prefix", str(layout.root)]

    def groups() -> list[str]:
        lines = (layout.root / "etc" / "group").read_text("utf-8").splitlines()
        return [line.partition(":")[0] for line in lines]

    def make() -> None:
        words = ["useradd", *prefix, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        words += ["--gid", USER] if USER in groups() else ["--user-group"]
        if SERIAL_GROUP in groups():
            words += ["--groups", SERIAL_GROUP]
        _run([*words, USER])

    def remove() -> None:
        if layout.user() is not None:
            _run(["userdel", *prefix, USER])
        if USER in groups():  # as login.defs says, it went with the user or did not
            _run(["groupdel", *prefix, USER])

    return Step(f"make the user {USER}, in {SERIAL_GROUP}", make, remove, lambda: layout.user() is not None)


def folder_step(layout: Layout, folder: Path, mode: int) -> Step:
    """A folder of the box's user."""

    def make() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
        give(folder, layout)

    def remove() -> None:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def is_done() -> bool:
        if not folder.is_dir():
            return False
        found = folder.stat()
        return found.st_mode & 0o777 == mode and (found.st_uid, found.st_gid) == layout.user()

    return Step(f"make {folder}, for {USER} alone", make, remove, is_done)


def copy_step(layout: Layout, source: Path, to: Path, what: str) -> Step:
    """A file of the settings, unless the same is there."""
    content = source.read_bytes()
    before = to.read_bytes() if to.is_file() else None

    def restore() -> None:
        if before is None:
            to.unlink(missing_ok=True)
        else:
            write_whole(to, before, 0o644, layout)

    return Step(
        f"put {what}, to {to}", lambda: write_whole(to, content, 0o644, layout), restore,
        lambda: to.is_file() and to.read_bytes() == content,
    )  # fmt: skip


def key_step(layout: Layout) -> Step:
    """The box's own key."""
    public = layout.key.with_suffix(".pub")

    def make() -> None:
        public.unlink(missing_ok=True)  # of a step that was killed between both files
        if layout.key.exists():
            write_whole(public, keys.public_pem(keys.load(layout.key)), 0o644)
        else:
            keys.generate(layout.key)
        for path in (layout.key, public):
            give(path, layout)

    def remove() -> None:
        for path in (layout.key, public):
            path.unlink(missing_ok=True)

    def is_done() -> bool:
        both = (layout.key, public)
        return all(path.is_file() and (path.stat().st_uid, path.stat().st_gid) == layout.user() for path in both)

    is_there = layout.key.exists()
    return Step(f"make the box's key {layout.key}", make, (lambda: None) if is_there else remove, is_done)


def program_step(layout: Layout, bundle: Bundle) -> Step:
    """The version's program in a folder of its own, which counts from the moment that its manifest lies there."""
    version = bundle.manifest.version
    folder, scratch = layout.version(version), layout.programs / f".{version}.bundle"

    def make() -> None:
        remove()
        layout.programs.mkdir(parents=True, exist_ok=True)
        bundle.unpack(scratch)
        _install(folder, scratch, bundle, layout)
        shutil.copyfile(scratch / "systemd" / UNIT, folder / UNIT)
        if (scratch / "systemd" / DOWNTIME_UNIT).is_file():
            shutil.copyfile(scratch / "systemd" / DOWNTIME_UNIT, folder / DOWNTIME_UNIT)
        shutil.rmtree(scratch)
        os.sync()  # a power cut later leaves either all of it or no manifest
        manifest = msgspec.json.encode(bundle.manifest, order="sorted")
        write_whole(folder / MANIFEST, manifest, 0o644)

    def remove() -> None:
        for each in (folder, scratch):
            (each / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(each, ignore_errors=not each.exists())
        if layout.programs.is_dir() and not any(layout.programs.iterdir()):
            layout.programs.rmdir()

    return Step(
        f"install {version} to {folder}, out of the bundle alone", make, remove, lambda: layout.is_whole(version)
    )


def _install(folder: Path, unpacked: Path, bundle: Bundle, layout: Layout) -> None:
    """An environment of the system's Python, without Debian's python3-venv; pip runs out of its wheel."""
    base = getattr(sys, "_base_executable", sys.executable)
    _run([base, "-I", "-m", "venv", "--without-pip", str(folder)])
    (pip,) = (unpacked / "wheels").glob("pip-*.whl")
    python = folder / "bin" / "python3"
    words = [str(python), "-I", str(pip / "pip"), "install", "-q", "--no-index", "--no-deps", "--require-hashes"]
    words += ["--disable-pip-version-check", "--no-cache-dir", "--no-compile", "--root-user-action", "ignore"]
    words += ["--find-links", str(unpacked / "wheels"), "-r", str(unpacked / "requirements.lock")]
    _run(words)
    # The agent may not write there; on all processors, as pip does not.
    _run([str(python), "-I", "-m", "compileall", "-q", "-j", "0", str(folder / "lib")])
    launcher = folder / "bin" / "vitalwire"  # pip's names the folder as it is seen from outside
    launcher.unlink(missing_ok=True)
    launcher.write_text(LAUNCHER.format(python=layout.seen_from_inside(python)))
    launcher.chmod(0o755)


def unit_step(layout: Layout, version: str, name: str) -> Step:
    """A unit of this version; none where the version has none. What stood there is put back by `undo`."""
    unit = layout.unit_named(name)
    before = unit.read_bytes() if unit.is_file() else None

    def content() -> bytes | None:
        path = layout.version(version) / name
        return path.read_bytes() if path.is_file() or name == UNIT else None

    def put(text: bytes | None) -> None:
        if text is None:
            unit.unlink(missing_ok=True)
            return
        unit.parent.mkdir(parents=True, exist_ok=True)
        write_whole(unit, text, 0o644)

    def is_done() -> bool:
        return layout.is_whole(version) and content() == (unit.read_bytes() if unit.is_file() else None)

    return Step(f"write {unit}", lambda: put(content()), lambda: put(before), is_done)


def link_step(layout: Layout, version: str) -> Step:
    """Which version runs, from the next start on."""
    before = layout.installed()

    def point(to: str) -> None:
        half = layout.programs / ".current.half"
        half.unlink(missing_ok=True)
        half.symlink_to(to)
        half.replace(layout.current)

    def restore() -> None:
        if before:
            point(before)
        else:
            layout.current.unlink(missing_ok=True)

    return Step(
        f"let {layout.current} be {version}", lambda: point(version), restore, lambda: layout.installed() == version
    )


def _run(words: list[str]) -> None:
    """Without what this user's environment says to pip and to Python. Raises subprocess.SubprocessError."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "LC_ALL": "C.UTF-8"}
    subprocess.run(words, env=environment, check=True, capture_output=True, text=True, timeout=LIMIT_S, cwd="/")


def read_manifest(layout: Layout, version: str) -> dict[str, object]:
    """Of an installed version; empty where it is not whole."""
    try:
        found = json.loads((layout.version(version) / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
