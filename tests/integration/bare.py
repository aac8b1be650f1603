"""A bare Debian 13 that has only python3: a root of its own, made once by mmdebstrap, and copied for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CACHE = Path.home() / ".cache" / "vitalwire"
# apt needs libstdc++6, so every Debian has it.
PACKAGES = "python3,passwd,libstdc++6"
ROOT = CACHE / f"bare-trixie-{PACKAGES.replace(',', '-')}"
BUILD_S, COMMAND_S = 900, 300
SYSTEMCTL = Path(__file__).with_name("systemctl.py")
# In it the loopback is ours: what listens there is reached from here.
INSIDE = """\
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
[ -z "$small" ] || mount -t tmpfs -o size=20m tmpfs "$root/$small"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root "$@"
"""


def bare_root() -> Path:
    """The one that is copied."""
    if not ROOT.is_dir():
        words = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Created-By: Packages"]
        mirrors = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()
        keyring = "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg"
        half = ROOT.with_suffix(".new")
        shutil.rmtree(half, ignore_errors=True)
        make = ["mmdebstrap", "--mode=root", "--variant=essential", f"--include={PACKAGES}", keyring]
        make += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale")]
        subprocess.run([*make, "trixie", half, *mirrors[:1]], check=True, capture_output=True, timeout=BUILD_S)
        half.rename(ROOT)
    return ROOT


class BareMachine:
    """A copy of it, in which commands run, and a systemctl that keeps units running."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "machine"
        subprocess.run(["cp", "-a", "--reflink=auto", bare_root(), self.root], check=True)
        shutil.copyfile("/etc/hosts", self.root / "etc" / "hosts")
        (self.root / "run" / "systemd" / "system").mkdir(parents=True)
        shutil.copyfile(SYSTEMCTL, self.root / "usr" / "bin" / "systemctl")
        (self.root / "usr" / "bin" / "systemctl").chmod(0o755)

    def run(self, *words: str, small: str = "") -> tuple[int, str]:
        """A command in it, as root: its exit code and all that it wrote. A disk of 20 MB is mounted at `small`."""
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "bash", "-euc", INSIDE, "bash", *words],
            env=os.environ | {"root": str(self.root), "small": small}, capture_output=True, text=True,
            timeout=COMMAND_S,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def do(self, *words: str) -> str:
        """The same, which must end well."""
        code, text = self.run(*words)
        assert code == 0, text[-4000:]
        return text

    def put(self, path: Path, *, to: str = "srv") -> str:
        """Copy a file into it; its path there."""
        shutil.copyfile(path, self.root / to / path.name)
        return f"/{to}/{path.name}"

    def stop(self) -> None:
        """End the unit, where one runs."""
        self.run("systemctl", "stop", "vitalwire-edge.service")
