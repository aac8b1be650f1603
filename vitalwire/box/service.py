"""The agent as a service: by systemd where it runs; elsewhere it is nobody's."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from vitalwire.box.layout import DOWNTIME_UNIT, UNIT, Layout

SYSTEMD = Path("/run/systemd/system")  # there where systemd is the init: sd_booted(3)
LIMIT_S = 120.0


class Service(Protocol):
    """What starts and stops the agent. Each method raises OSError or subprocess.SubprocessError."""

    is_there: bool

    def enable(self) -> None:
        """Have it started with the machine."""

    def disable(self) -> None:
        """No more."""

    def reload(self) -> None:
        """Read the unit anew."""

    def start(self) -> None:
        """Now; nothing where it runs."""

    def stop(self) -> None:
        """Now; nothing where it does not run."""


class Systemd:
    """systemctl, on this machine."""

    is_there = True

    def enable(self) -> None:
        """See Service."""
        self._call("enable", UNIT)

    def disable(self) -> None:
        """See Service."""
        self._call("disable", UNIT)
        if Layout().unit_named(DOWNTIME_UNIT).is_file():  # nobody starts it anew
            self._call("disable", "--now", DOWNTIME_UNIT)

    def reload(self) -> None:
        """See Service."""
        self._call("daemon-reload")

    def start(self) -> None:
        """See Service."""
        self._call("start", UNIT)

    def stop(self) -> None:
        """See Service."""
        self._call("stop", UNIT)

    def _call(self, *words: str) -> None:
        subprocess.run(["systemctl", *words], check=True, capture_output=True, text=True, timeout=LIMIT_S)


class NoService:
    """A root without systemd: the agent is started by other means, and nobody waits for it."""

    is_there = False

    def enable(self) -> None:
        """Nothing."""

    disable = reload = start = stop = enable


def service_of(layout: Layout) -> Service:
    """Of this machine where the root is its own and systemd runs."""
    return Systemd() if layout.root == Path("/") and SYSTEMD.is_dir() else NoService()
