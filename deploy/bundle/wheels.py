"""Wheels by pip, as its configuration says where from: fetched for other machines, and ours built."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from deploy.bundle.locked import ROOT, Locked, Target

CACHE = Path.home() / ".cache" / "vitalwire" / "wheels"
PIP = (sys.executable, "-m", "pip")
QUIETLY = ("-q", "--no-deps", "--disable-pip-version-check")


class BuildError(Exception):
    """What keeps a bundle from being made, with its remedy."""


@dataclass(frozen=True)
class Wheel:
    """A wheel on this disk."""

    path: Path

    @property
    def name(self) -> str:
        """The package's, as others name it."""
        return canonicalize_name(parse_wheel_filename(self.path.name)[0])

    @property
    def version(self) -> str:
        """The package's."""
        return str(parse_wheel_filename(self.path.name)[1])

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal."""
        return sha256(self.path.read_bytes()).hexdigest()

    @property
    def metadata(self) -> Message:
        """What it says of itself."""
        with ZipFile(self.path) as archive:
            (name,) = (
                each for each in archive.namelist() if each.endswith(".dist-info/METADATA") and each.count("/") == 1
            )
            return HeaderParser().parsestr(archive.read(name).decode("utf-8"))

    @property
    def installed_bytes(self) -> int:
        """What its files take, unpacked."""
        with ZipFile(self.path) as archive:
            return sum(each.file_size for each in archive.infolist())

    def needs(self, target: Target) -> list[str]:
        """Names of the packages that it asks for there."""
        asked = map(Requirement, self.metadata.get_all("Requires-Dist", []))
        held = (each for each in asked if each.marker is None or each.marker.evaluate(target.environment))
        return [canonicalize_name(each.name) for each in held]


def box_wheels(roots: Iterable[str], lock: Iterable[Locked], target: Target, cache: Path) -> list[Wheel]:
    """The wheels of these packages and of all that they need there; raises BuildError."""
    locked = {each.name: each for each in lock if each.holds(target)}
    found: dict[str, Wheel] = {}
    missing = set(roots)
    while missing:
        if unknown := missing - locked.keys():
            raise BuildError(f"{', '.join(sorted(unknown))} is in no lock: run `make lock`")
        fetched = _fetch([locked[name] for name in sorted(missing)], target, cache / target.name)
        found |= {wheel.name: wheel for wheel in fetched}
        missing = {name for wheel in fetched for name in wheel.needs(target)} - found.keys()
    return [found[name] for name in sorted(found)]


def _fetch(wanted: list[Locked], target: Target, folder: Path) -> list[Wheel]:
    there = {each.name: wheel for each in wanted if (wheel := _cached(each, target, folder))}
    if missing := [each for each in wanted if each.name not in there]:
        print(f"  {target.name}: fetching {', '.join(each.name for each in missing)}", flush=True)
        _download(missing, target, folder)
    for each in missing:
        wheel = _cached(each, target, folder)
        if wheel is None:
            raise BuildError(f"{each.name} {each.version} has no wheel for {target.name}: lock a version that has one")
        there[each.name] = wheel
    return list(there.values())


def _cached(locked: Locked, target: Target, folder: Path) -> Wheel | None:
    for path in sorted(folder.glob("*.whl")):
        name, version, _, tags = parse_wheel_filename(path.name)
        is_it = canonicalize_name(name) == locked.name and str(version) == locked.version and tags & target.tags
        if is_it and (wheel := Wheel(path)).digest in locked.hashes:
            return wheel
    return None


def _download(missing: list[Locked], target: Target, folder: Path) -> None:
    """By pip alone, for another machine than this one, if need be; each file has a locked checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / "asked.txt"
    lines = (
        f"{each.name}=={each.version} {' '.join(f'--hash=sha256:{h}' for h in sorted(each.hashes))}" for each in missing
    )
    asked.write_text("\n".join(lines) + "\n")
    abi = target.name.partition("-")[0]
    tags = [word for name in target.platforms for word in ("--platform", name)]
    tags += [
        "--implementation",
        "cp",
        "--python-version",
        target.python,
        "--abi",
        abi,
        "--abi",
        "abi3",
        "--abi",
        "none",
    ]
    only = ["--only-binary", ":all:", "--require-hashes", "--dest", str(folder), *tags, "-r", str(asked)]
    _pip(["download", *QUIETLY, *only], "fetch wheels", "look at pip's own configuration (`pip config list`)")
    asked.unlink()


def own_wheel(folder: Path, epoch: int, checkout: Path = ROOT) -> Wheel:
    """This checkout's wheel, built without a look at any index; raises BuildError."""
    build = ["wheel", *QUIETLY, "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(checkout)]
    _pip(build, "build our own wheel", "run `make check` first", SOURCE_DATE_EPOCH=str(epoch))
    (path,) = folder.glob("vitalwire-*.whl")
    return Wheel(path)


def _pip(words: list[str], what: str, remedy: str, **environment: str) -> None:
    done = subprocess.run([*PIP, *words], env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"cannot {what}: {remedy}\n{done.stderr.strip()[-2000:]}")
