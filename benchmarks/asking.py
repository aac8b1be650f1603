"""Who asks in benchmarks that read a page without HTTP: a role that sees each stay, whose looks are kept."""

from __future__ import annotations

from gateway.access.viewer import Viewer
from gateway.access.words import Role
from gateway.asking import Asking
from gateway.looks import Looks
from runtime.clock import now_us


def asking(address: str, role: Role) -> Asking:
    """One question of theirs."""
    return Asking(Viewer(f"benchmark:{role}", "benchmark", role), "127.0.0.1", now_us(), Looks(address))
