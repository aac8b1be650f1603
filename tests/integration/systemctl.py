#!/usr/bin/python3
"""systemctl for a root where systemd does not run: starts the unit's ExecStart as User=, and again as Restart= says.

Of the standard library alone, as it runs in that root. What it honours of a unit: ExecStart, User,
SupplementaryGroups, UMask, StateDirectory, StateDirectoryMode, Restart, RestartSec. The rest is tried by units.py.
"""

import grp
import os
import pwd
import signal
import subprocess
import sys
import time

UNITS, RUN = "/etc/systemd/system", "/run/supervised"
STOP_S = 90


def main() -> None:
    """VERB [UNIT]; what is not known ends with 1."""
    verb, *names = sys.argv[1:]
    os.makedirs(RUN, exist_ok=True)
    link = "{}/multi-user.target.wants/{}".format(UNITS, names[0] if names else "")
    if verb == "enable":
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if not os.path.islink(link):
            os.symlink(f"{UNITS}/{names[0]}", link)
    elif verb == "disable":
        if os.path.islink(link):
            os.unlink(link)
    elif verb == "start":
        start(names[0])
    elif verb in ("stop", "restart"):
        stop(names[0])
        if verb == "restart":
            start(names[0])
    elif verb != "daemon-reload":
        sys.exit(1)


def supervisor_of(unit: str) -> int:
    """Its process; 0: none runs."""
    try:
        with open(f"{RUN}/{unit}", encoding="ascii") as file:
            pid = int(file.read())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return 0
    return pid


def start(unit: str) -> None:
    """Returns once the program was started, as for Type=exec."""
    if supervisor_of(unit):
        return
    service = read(unit)
    ready, started = os.pipe()
    if os.fork() == 0:
        os.setsid()
        supervise(unit, service, started)
    os.close(started)
    if not os.read(ready, 1):
        sys.exit(f"{unit} cannot be started")


def stop(unit: str) -> None:
    """Returns once the program has ended."""
    pid = supervisor_of(unit)
    if not pid:
        return
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + STOP_S
    while os.path.exists(f"{RUN}/{unit}"):
        if time.monotonic() > end:
            sys.exit(f"{unit} does not stop")
        time.sleep(0.02)


def read(unit: str) -> dict:
    """The [Service] section; the last of each directive."""
    found, section = {}, ""
    with open(f"{UNITS}/{unit}", encoding="utf-8") as file:
        for line in map(str.strip, file):
            if line.startswith("["):
                section = line
            elif section == "[Service]" and "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                found[key] = value
    return found


def supervise(unit: str, service: dict, started: int) -> None:
    """Until it is told to stop; never returns."""
    with open(f"{RUN}/{unit}", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    log = os.open(f"/var/log/{unit}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, to in ((null, 0), (log, 1), (log, 2)):
        os.dup2(number, to)
    process, stopping = None, []

    def on_term(*_: object) -> None:
        stopping.append(True)
        if process is not None:
            process.terminate()

    signal.signal(signal.SIGTERM, on_term)
    try:
        while not stopping:
            process = launch(service)
            if started:
                os.write(started, b"1")
                os.close(started)
                started = 0
            process.wait()
            if service.get("Restart") != "always":
                break
            if not stopping:
                time.sleep(float(service.get("RestartSec", "0.1")))
    finally:
        os.unlink(f"{RUN}/{unit}")
        os._exit(0)


def launch(service: dict) -> subprocess.Popen:
    """ExecStart as its user, with the groups, the umask and the folder that the unit grants."""
    user = pwd.getpwnam(service["User"])
    groups = [grp.getgrnam(name).gr_gid for name in service.get("SupplementaryGroups", "").split()]
    for name in service.get("StateDirectory", "").split():
        folder = f"/var/lib/{name}"
        os.makedirs(folder, exist_ok=True)
        os.chown(folder, user.pw_uid, user.pw_gid)
        os.chmod(folder, int(service.get("StateDirectoryMode", "0755"), 8))
    return subprocess.Popen(
        service["ExecStart"].split(), cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=groups,
        umask=int(service.get("UMask", "0022"), 8),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": user.pw_dir, "USER": user.pw_name},
    )  # fmt: skip


if __name__ == "__main__":
    main()
