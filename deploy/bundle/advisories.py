"""Known vulnerabilities of what is bundled, by advisories in OSV's form that lie on this disk: no service is asked.

https://ossf.github.io/osv-schema/ says what an advisory holds. PyPI's, as OSV exports them, are one zip of JSON files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from deploy.bundle.wheels import BuildError


class Advisory(NamedTuple):
    """A known vulnerability of a version that is bundled."""

    ident: str
    package: str
    version: str
    summary: str


def find(path: Path, packages: Iterable[tuple[str, str]]) -> list[Advisory]:
    """What the advisories of a folder, a zip or a file say of these names and versions; raises BuildError."""
    versions: dict[str, set[str]] = {}
    for name, version in packages:
        versions.setdefault(name, set()).add(version)
    found: set[Advisory] = set()
    for advisory in _read(path):
        for affected in advisory.get("affected", []):
            package = affected.get("package", {})
            if package.get("ecosystem") != "PyPI" or "withdrawn" in advisory:
                continue
            name = canonicalize_name(package["name"])
            for version in versions.get(name, ()):
                if _is_affected(affected, version):
                    found.add(Advisory(advisory["id"], name, version, advisory.get("summary", "")))
    return sorted(found)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    count = 0
    try:
        for content in _contents(path):
            count += 1
            yield json.loads(content)
    except (OSError, BadZipFile, ValueError) as error:
        raise BuildError(f"{path} cannot be read as advisories in OSV's form: {error}") from None
    if not count:
        raise BuildError(f"{path} holds no advisory (.json): name OSV's export for PyPI, as zip or unpacked")


def _contents(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        yield from (each.read_bytes() for each in sorted(path.rglob("*.json")))
    elif path.suffix == ".zip":
        with ZipFile(path) as archive:
            yield from (archive.read(name) for name in sorted(archive.namelist()) if name.endswith(".json"))
    else:
        yield path.read_bytes()


def _is_affected(affected: dict[str, Any], version: str) -> bool:
    if version in affected.get("versions", []):
        return True
    for each in affected.get("ranges", []):
        if each.get("type") == "ECOSYSTEM" and _within(each.get("events", []), Version(version)):
            return True
    return False


def _within(events: list[dict[str, str]], version: Version) -> bool:
    """Events in the order of versions: each begins or ends a stretch that is affected."""
    is_in = False
    for event in sorted(events, key=lambda event: (_at(event), "introduced" not in event)):
        if "introduced" in event and version >= _at(event):
            is_in = True
        if ("fixed" in event and version >= _at(event)) or ("last_affected" in event and version > _at(event)):
            is_in = False
    return is_in


def _at(event: dict[str, str]) -> Version:
    try:
        return Version(next(iter(event.values())))
    except InvalidVersion:
        return Version("0")
