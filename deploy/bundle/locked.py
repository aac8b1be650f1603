"""The lock and what of it a box needs; which wheels fit which Python on which machine."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# Debian 12's C library, the older of the two that boxes have.
GLIBC_MINOR = 36
_OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")
_LOCKED = re.compile(r"^(?P<requirement>[A-Za-z0-9._-]+==[^\\\n]+?) \\\n(?P<hashes>(?: +--hash=\S+(?: \\)?\n)+)", re.M)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Locked:
    """A line of a lock: a version, where it holds, and the checksums of its files."""

    requirement: Requirement
    hashes: frozenset[str]

    @property
    def name(self) -> str:
        """As wheels are named."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """The one that is locked."""
        (specifier,) = self.requirement.specifier
        return specifier.version

    def holds(self, target: Target) -> bool:
        """Whether its marker holds there."""
        return self.requirement.marker is None or self.requirement.marker.evaluate(target.environment)


@dataclass(frozen=True)
class Target:
    """A Python ("3.13") on a machine as `uname -m` names it."""

    python: str
    machine: str

    @property
    def name(self) -> str:
        """As the manifest has it."""
        return f"cp{self.python.replace('.', '')}-{self.machine}"

    @property
    def platforms(self) -> list[str]:
        """The newest C library first, as pip prefers its wheels."""
        manylinux = [f"manylinux_2_{minor}" for minor in range(GLIBC_MINOR, 4, -1)]
        return [f"{name}_{self.machine}" for name in (*manylinux, *_OLD_NAMES)]

    @property
    def tags(self) -> frozenset[Tag]:
        """Of the wheels that run there."""
        major, minor = map(int, self.python.split("."))
        own = cpython_tags((major, minor), platforms=self.platforms)
        return frozenset([*own, *compatible_tags((major, minor), f"cp{major}{minor}", self.platforms)])

    @property
    def environment(self) -> dict[str, str]:
        """What markers ask of."""
        return {
            "python_version": self.python, "python_full_version": f"{self.python}.0", "platform_machine": self.machine,
            "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "implementation_name": "cpython",
            "platform_python_implementation": "CPython", "extra": "",
        }  # fmt: skip


# Debian 12's and 13's Python, on amd64 and arm64.
TARGETS = tuple(Target(python, machine) for python in ("3.11", "3.13") for machine in ("x86_64", "aarch64"))


def box_packages() -> list[str]:
    """What pyproject.toml says that a box runs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return [canonicalize_name(name) for name in project["tool"]["vitalwire"]["box"]["packages"]]


def read_lock(path: Path) -> list[Locked]:
    """The lines of a lock file that `make lock` wrote."""
    text = path.read_text("utf-8")
    if not text.endswith("\n"):
        text += "\n"
    return [
        Locked(Requirement(found["requirement"]), frozenset(_HASH.findall(found["hashes"])))
        for found in _LOCKED.finditer(text)
    ]
