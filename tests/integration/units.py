"""The units of deploy/systemd, started as systemd starts them, on a machine where systemd does not run.

What a unit says is read from its file: another directive there is another start here. The program runs in a root of its
own, made of mounts that end with it: nothing can be written but what the unit grants, as a user whom only that root
knows. The program itself is this checkout's wheel, installed where the unit looks for it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from sysconfig import get_path
from typing import Self

from tests.faults.system import ROOT

USER_ID = 64123
# As `useradd --system` makes it: the home is named, and there is none.
HOME = "/home/vitalwire"
BUILD_S, STOP_S = 120, 30  # systemd itself waits 90 s for a unit to stop
# By whom each is granted, below the root; systemd makes them the user's.
FOLDERS = {
    "StateDirectory": "var/lib",
    "RuntimeDirectory": "run",
    "CacheDirectory": "var/cache",
    "LogsDirectory": "var/log",
}
# The directives whose effect this start has, as `Unit.script` says.
BINDING = {
    "ExecStart", "User", "SupplementaryGroups", "UMask", "NoNewPrivileges", "CapabilityBoundingSet", "ProtectSystem",
    "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectKernelTunables", "ProtectControlGroups", "Environment",
    *FOLDERS, *(f"{folder}Mode" for folder in FOLDERS),
}  # fmt: skip
# What only systemd does: filters of system calls and devices, and when it starts a program (again).
UNBOUND = {
    "Type", "Restart", "RestartSec", "SystemCallFilter", "RestrictAddressFamilies", "RestrictSUIDSGID",
    "ProtectKernelModules", "DevicePolicy", "DeviceAllow", "LimitNOFILE",
}  # fmt: skip
# A root with this machine's programs. What is mounted, is so for this process and its children alone.
MACHINE = """\
mount -t tmpfs -o mode=0755 tmpfs "$root"
cd "$root"
mkdir usr proc sys dev opt run tmp var var/lib var/tmp var/cache var/log
mount --rbind /usr usr
mount -o remount,bind,ro usr
mount --rbind /proc proc
mount --rbind /sys sys
for name in bin sbin lib lib32 lib64; do [ ! -e "/$name" ] || ln -s "usr/$name" "$name"; done
cp -a /etc etc
echo "vitalwire:x:$user:$user::$home:/usr/sbin/nologin" >>etc/passwd
echo "vitalwire:x:$user:" >>etc/group
mount --bind "$program" opt
mkdir -p opt/python opt/dependencies
mount --bind "$python" opt/python
mount --bind "$dependencies" opt/dependencies
mkdir -p etc/ld.so.conf.d
echo /opt/python/lib >etc/ld.so.conf.d/python.conf
chroot . /sbin/ldconfig
"""
DEVICES = """\
mount -t tmpfs -o mode=0755 tmpfs dev
mkdir -m 1777 dev/shm
for name in null zero full random urandom tty; do touch "dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -o remount,ro dev
"""
# An environment of the program's own, which reads its libraries where ours are: what pip would only copy.
INSTALL = """\
chroot . /opt/python/bin/python3 -m venv --without-pip /opt/vitalwire
ln -s . opt/vitalwire/current
packages=$(echo opt/vitalwire/lib/python3*/site-packages)
echo /opt/dependencies >"$packages/dependencies.pth"
mount --bind "$wheels" tmp
chroot . /opt/vitalwire/bin/python -m pip install -q --no-deps --no-index --ignore-installed --no-cache-dir \
    --disable-pip-version-check --root-user-action ignore "/$(echo tmp/*.whl)"
"""


@dataclass(frozen=True)
class Unit:
    """The [Service] section of a unit: each directive with its values, in the order of the file."""

    name: str
    directives: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises AssertionError for a directive of which this file cannot say whether the start here has it."""
        service = path.read_text("utf-8").partition("[Service]\n")[2].partition("\n[")[0]
        found: dict[str, list[str]] = {}
        for line in service.splitlines():
            if line and not line.startswith("#"):
                key, _, value = line.partition("=")
                found.setdefault(key, []).append(value)
        assert found.keys() <= BINDING | UNBOUND, f"{path.name}: {sorted(found.keys() - BINDING - UNBOUND)}"
        return cls(path.stem, found)

    def without(self, directive: str) -> Unit:
        """The same unit with this directive struck out."""
        assert directive in self.directives
        return replace(self, directives={key: value for key, value in self.directives.items() if key != directive})

    def says(self, directive: str) -> bool:
        """Whether a directive that is a yes or a no is there and yes."""
        return self.last(directive, "no") == "yes"

    def last(self, directive: str, default: str = "") -> str:
        """The value that holds, of a directive that has one."""
        return self.directives.get(directive, [default])[-1]

    def script(self, command: str) -> str:
        """What bash does, from the machine to this command (in the place of ExecStart) under this unit's directives."""
        steps = [MACHINE, 'cp -a "$settings" etc/vitalwire', f"chown -R {USER_ID}:{USER_ID} etc/vitalwire"]
        steps += ["chmod 700 etc/vitalwire", DEVICES if self.says("PrivateDevices") else "mount --rbind /dev dev"]
        match self.last("ProtectHome", "no"):
            case "yes":
                steps.append("mkdir -p -m 000 root home run/user")
            case "tmpfs":
                steps.append("mkdir -p root home run/user")
            case "no":
                steps += ["mkdir root home", "mount --rbind /root root", "mount --rbind /home home"]
        if self.says("ProtectKernelTunables"):
            steps += ["mount --bind /proc/sys proc/sys", "mount -o remount,bind,ro proc/sys"]
        if self.says("ProtectKernelTunables") or self.says("ProtectControlGroups"):
            steps.append("mount -o remount,bind,ro sys")
        for directive, parent in FOLDERS.items():
            for name in self.last(directive).split():
                steps.append(f'mkdir -p "$granted/{directive}/{name}" {parent}/{name}')
                steps.append(f'mount --bind "$granted/{directive}/{name}" {parent}/{name}')
                steps.append(f"chown {USER_ID}:{USER_ID} {parent}/{name}")
                steps.append(f"chmod {self.last(f'{directive}Mode', '0755')} {parent}/{name}")
        if self.says("PrivateTmp"):
            steps += ["mount -t tmpfs -o mode=1777 tmpfs tmp", "mount -t tmpfs -o mode=1777 tmpfs var/tmp"]
        steps.append("mount -o remount,bind,ro opt")
        if self.last("ProtectSystem") == "strict":
            steps.append('mount -o remount,ro "$root"')
        steps.append(f"umask {self.last('UMask', '0022')}")
        return "\n".join([*steps, f"exec chroot . {self._as_user()} {command}"])

    def _as_user(self) -> str:
        """The words that become the user, with the environment that systemd gives it, and nothing else."""
        user = self.last("User")
        assert user, f"{self.name}: no User= is root"
        chosen = " ".join(self.directives.get("Environment", []))
        environment = f"env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 HOME={HOME} USER={user} LOGNAME={user}"
        groups = self.last("SupplementaryGroups").split()
        words = ["setpriv", f"--reuid={user}", f"--regid={user}"]
        words.append(f"--groups={','.join(groups)}" if groups else "--clear-groups")
        if self.says("NoNewPrivileges"):
            words.append("--no-new-privs")
        if "CapabilityBoundingSet" in self.directives:
            assert not self.last("CapabilityBoundingSet"), "a set that is not empty is not told to setpriv"
            words += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        return f"/usr/bin/env {' '.join(words)} /usr/bin/{environment} {chosen}"


class Machine:
    """A machine with vitalwire in /opt/vitalwire. Its files are below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("root", "program", "wheels", "settings", "granted"):
            (folder / name).mkdir()

    @property
    def settings(self) -> Path:
        """What lies in /etc/vitalwire: each start copies it, for the user."""
        return self._folder / "settings"

    def granted(self, directive: str) -> Path:
        """What a unit wrote below the folder of this directive."""
        return self._folder / "granted" / directive

    def install(self) -> None:
        """Build this checkout's wheel and install it."""
        build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
        build += ["--disable-pip-version-check", "--wheel-dir", str(self._folder / "wheels"), str(ROOT)]
        _done(build, dict(os.environ))
        _done(_unshared(f"{MACHINE}{INSTALL}"), self._places())

    def start(self, unit: Unit, command: str = "") -> Started:
        """Start a unit, or this shell command in the place of its program."""
        words = f"/bin/sh -c {shlex.quote(command)}" if command else unit.last("ExecStart")
        log = self._folder / f"{unit.name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                _unshared(unit.script(words)), env=self._places(), stdout=output, stderr=output, cwd="/",
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        return Started(process, log)

    def _places(self) -> dict[str, str]:
        """The variables of the scripts."""
        folders = {name: str(self._folder / name) for name in ("root", "program", "wheels", "settings", "granted")}
        more = {"python": sys.base_prefix, "dependencies": get_path("purelib"), "user": str(USER_ID), "home": HOME}
        return {"PATH": os.environ["PATH"], **folders, **more}


@dataclass
class Started:
    """A unit that was started."""

    process: subprocess.Popen[bytes]
    log: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_S)

    @property
    def words(self) -> str:
        """What it wrote."""
        return self.log.read_text("utf-8")

    def stop(self) -> int:
        """As `systemctl stop`; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


def _unshared(script: str) -> list[str]:
    """Every step to the program is an exec, so the pid stays the same."""
    return ["unshare", "--mount", "--propagation", "private", "bash", "-euc", script]


def _done(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BUILD_S)
    assert done.returncode == 0, done.stderr[-2000:]
