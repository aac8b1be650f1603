"""A Debian package that carries a bundle and calls its `install`: the same bytes from the same bundle."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from deploy.bundle.wheels import BuildError
from deploy.bundle.write import Release

PACKAGE = "vitalwire-box"
PLACE = "usr/share/vitalwire-box"
CONTROL = """\
Package: {package}
Version: {version}
Architecture: all
Maintainer: vitalwire <vitalwire@localhost>
Depends: python3 (>= 3.11), passwd, libstdc++6
Recommends: systemd
Section: misc
Priority: optional
Description: vitalwire's bedside agent, with all that it needs
 Reads the devices at a bed and sends what they say, signed, into the record.
 It is installed out of the bundle that this package carries; nothing is
 fetched. Put the release key to /etc/vitalwire/release.pub before.
"""
# What fails here leaves the package unconfigured, and dpkg says so: `dpkg --configure -a` tries again.
POSTINST = """\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -x -f "/{place}/{bundle}" -C "$work"
if [ -e /opt/vitalwire/current ]; then
    "$work/{name}/install" upgrade --trust /etc/vitalwire/release.pub
else
    # 4: it is installed, and `edge check` says what of the configuration is still to be mended.
    "$work/{name}/install" install --trust /etc/vitalwire/release.pub || [ "$?" = 4 ]
fi
"""
# Refuses while reports wait on this box; then dpkg removes nothing.
PRERM = """\
#!/bin/sh
set -e
[ "$1" = remove ] || exit 0
[ ! -x /opt/vitalwire/current/bin/vitalwire ] || /opt/vitalwire/current/bin/vitalwire edge uninstall
"""


def write(bundle: Path, to: Path, release: Release, scratch: Path) -> Path:
    """Write the package of this bundle; raises BuildError."""
    if shutil.which("dpkg-deb") is None:
        raise BuildError("dpkg-deb is missing: apt-get install dpkg, or leave the package out with --no-deb")
    tree = scratch / "package"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / PLACE).mkdir(parents=True)
    shutil.copyfile(bundle, tree / PLACE / bundle.name)
    named = {"place": PLACE, "bundle": bundle.name, "name": release.name}
    contents = {"control": CONTROL.format(package=PACKAGE, version=release.version)}
    contents |= {"postinst": POSTINST.format(**named), "prerm": PRERM}
    for name, text in contents.items():
        (tree / "DEBIAN" / name).write_text(text)
    for path in (tree, *tree.rglob("*")):  # whatever the umask is here
        is_run = path.is_dir() or path.name in ("postinst", "prerm")
        path.chmod(0o755 if is_run else 0o644)
    package = to / f"{PACKAGE}_{release.version}_all.deb"
    # Wheels are compressed already. Times are the commit's.
    words = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(package)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(release.epoch)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"dpkg-deb cannot build the package: {done.stderr.strip()}")
    return package
