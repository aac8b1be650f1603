"""Whether the agent is healthy: data flows, the spool commits, and the hospital's receipts come."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import EXIT_DOES_NOT_HOLD, UserError

LIMIT_S = 120.0  # for each
LOOK_EACH_S = 0.25
ANSWER_LIMIT_S = 2.0
_SAMPLE = re.compile(r"^(vitalwire_[a-z_]+) ([0-9.eE+-]+)$", re.M)


@dataclass(frozen=True)
class Clock:
    """Seconds that only grow, and a pause."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


WALL = Clock()


class AgentProbe:
    """What the agent on this machine says at its metrics port; False or empty where it does not answer."""

    def __init__(self, port: int) -> None:
        self._port = port

    def is_ready(self) -> bool:
        """Whether data flows."""
        return self._ask("readyz") is not None

    def commits(self) -> bool:
        """Whether the spool has committed since the agent's start."""
        return self.figures().get("vitalwire_spool_commits", 0) > 0

    def has_receipt(self) -> bool:
        """Whether a receipt that the platform signed has come since."""
        return self.figures().get("vitalwire_receipts_believed", 0) > 0

    def figures(self) -> dict[str, float]:
        """Its metrics without labels."""
        return {name: float(value) for name, value in _SAMPLE.findall(self._ask("metrics") or "")}

    def _ask(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=ANSWER_LIMIT_S) as answer:
                return str(answer.read().decode("utf-8"))
        except (OSError, ValueError):  # an answer of 503 is an OSError too
            return None


def wait_healthy(probe: AgentProbe, clock: Clock, emit: Callable[[str], object]) -> None:
    """Return once all three hold; raises UserError where one does not within two minutes."""
    for holds, what, mend in (
        (probe.is_ready, "the agent is ready", "is the broker reached? `vitalwire edge check`"),
        (probe.commits, "the spool commits", "is the disk full? `journalctl -u vitalwire-edge`"),
        (probe.has_receipt, "a receipt came", "do the processors run, and is this edge registered?"),
    ):
        begin = clock.now()
        while not holds():
            if clock.now() - begin >= LIMIT_S:
                raise UserError(f"not within {LIMIT_S:.0f} s: {what} ({mend})", EXIT_DOES_NOT_HOLD)
            clock.sleep(LOOK_EACH_S)
        emit(f"        {what}, after {clock.now() - begin:.1f} s")
