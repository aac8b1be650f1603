"""`make bundle KEY=release.key`: a signed bundle, and a Debian package of it, in dist/."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.bundle import advisories, debian, sbom, write
from deploy.bundle.locked import ROOT, TARGETS, box_packages, read_lock
from deploy.bundle.wheels import CACHE, BuildError, Wheel, box_wheels, own_wheel
from deploy.bundle.write import HERE, Release, ReleaseKey
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_USAGE, UserError

EXAMPLE = "example: python -m deploy.bundle --key release.key --advisories osv-pypi.zip"


def main(words: Sequence[str] | None = None) -> int:
    """The exit code: 2 for what somebody can mend, 4 where an advisory is of something that would be bundled."""
    options = _options(words)
    try:
        return make(options)
    except (BuildError, UserError) as error:
        print(f"bundle: {error}", file=sys.stderr)
        return EXIT_USAGE


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.bundle", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--key", type=Path, help="release key; make one with: vitalwire processors keygen release.key")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="folder to write to (dist)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="fetched wheels (~/.cache/vitalwire/wheels)")
    parser.add_argument("--advisories", type=Path, help="OSV's advisories for PyPI: zip, folder or file")
    parser.add_argument("--accept", action="append", default=[], metavar="ID", help="an advisory that may stand")
    parser.add_argument("--dirty", action="store_true", help="allow files that are not committed; the commit says so")
    parser.add_argument("--no-deb", action="store_true", help="no Debian package")
    return parser.parse_args(words)


def make(options: argparse.Namespace) -> int:
    """Make what is asked for; the exit code. Raises BuildError and UserError."""
    if options.key is None:
        raise BuildError(
            "name the release key: make bundle KEY=release.key (`vitalwire processors keygen release.key`)"
        )
    key, (commit, epoch) = ReleaseKey(options.key), _commit(is_dirty_allowed=options.dirty)
    lock = [*read_lock(ROOT / "requirements.lock"), *read_lock(HERE / "pip.lock")]
    roots = [*box_packages(), "pip"]
    print("wheels of a box:", flush=True)
    by_target = {target.name: box_wheels(roots, lock, target, options.cache) for target in TARGETS}
    every = {wheel.path.name: wheel for wheels in by_target.values() for wheel in wheels}
    found = _advisories(options, list(every.values()))
    if found is not None and any(each.ident not in options.accept for each in found):
        return EXIT_DOES_NOT_HOLD
    with tempfile.TemporaryDirectory(prefix="vitalwire-bundle-") as scratch:
        folder = Path(scratch)
        print("our own wheel", flush=True)
        own = own_wheel(folder / "own", epoch)
        release = Release(own.version, commit, epoch)
        bill = sbom.bill(release.name, release.version, commit, epoch, every.values(), found)
        targets = write.gather(folder / "tree", own, by_target, lock, bill)
        path = write.write(folder / "tree", options.to, release, targets, key)
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB, {len(every) + 1} wheels for {', '.join(targets)}")
        if not options.no_deb:
            print(debian.write(path, options.to, release, folder))
    print(f"signed by {key.fingerprint}; boxes get {options.key.with_suffix('.pub')} by another way than the bundle")
    return 0


def _commit(*, is_dirty_allowed: bool) -> tuple[str, int]:
    """The commit's id, and its moment in seconds since 1970."""
    if _git("status", "--porcelain") and not is_dirty_allowed:
        raise BuildError("there is something that is not committed: commit it, or say --dirty for a trial")
    dirty = "-dirty" if _git("status", "--porcelain") else ""
    commit, epoch = _git("log", "-1", "--format=%H %ct").split()
    return commit + dirty, int(epoch)


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"git says nothing of {ROOT}: {done.stderr.strip()}; make the bundle in a checkout")
    return done.stdout.strip()


def _advisories(options: argparse.Namespace, wheels: Sequence[Wheel]) -> list[advisories.Advisory] | None:
    if options.advisories is None:
        print("known vulnerabilities: not checked, no --advisories; the bill of materials says so")
        return None
    found = advisories.find(options.advisories, {(wheel.name, wheel.version) for wheel in wheels})
    for each in found:
        mark = "accepted" if each.ident in options.accept else "WRONG"
        print(f"{mark:8} {each.package} {each.version}: {each.ident} {each.summary}")
    print(f"known vulnerabilities: {len(found)} in {options.advisories}; lock a version without them, or --accept ID")
    return found


if __name__ == "__main__":
    sys.exit(main())
