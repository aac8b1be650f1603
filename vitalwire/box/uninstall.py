"""Taking a box's program away: `vitalwire edge uninstall`. What waits is thrown away only if its count is named."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from edge_agent.spool.waiting import waiting_reports
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from vitalwire.box.health import AgentProbe
from vitalwire.box.install import user_step
from vitalwire.box.layout import DOWNTIME_UNIT, USER, Layout
from vitalwire.box.service import Service
from vitalwire.box.steps import Step

DRAIN = "let the hospital's side take them, or send them from this disk: vitalwire edge drain"


@dataclass(frozen=True)
class Removal:
    """What is taken away. `is_purge`: also keys, configuration, spool and user; `discard`: how many reports with it."""

    layout: Layout
    service: Service
    probe: AgentProbe
    is_purge: bool = False
    discard: int | None = None

    def require(self) -> None:
        """What must hold before anything is changed; raises UserError."""
        if not self.layout.programs.exists() and not (self.is_purge and self.layout.state.exists()):
            raise UserError(f"nothing is installed in {self.layout.root}")
        if self.discard is not None and not self.is_purge:
            raise UserError("--discard throws reports away, and only --purge does: say both or neither")
        waiting = self.probe.figures().get("vitalwire_spool_unreceipted_bytes", 0)
        if waiting and self.discard is None:
            raise UserError(
                f"{waiting / 1000:.0f} kB of reports wait for a receipt in {self.layout.spool}: {DRAIN}",
                EXIT_DOES_NOT_HOLD,
            )

    def steps(self) -> list[Step]:
        """In order. Files are put aside first, and go at the end, when nothing can fail any more."""
        layout, service = self.layout, self.service
        units = [layout.unit, layout.unit_named(DOWNTIME_UNIT)]
        steps = [
            Step("stop the agent", service.stop, service.start),
            Step("see that no report waits", self._require_nothing_waits),
            Step("no longer have it started with the machine", self._disable, self._enable),
            *map(_aside_step, units),
            Step("let systemd forget it", service.reload, service.reload),
        ]
        aside = units
        if self.is_purge:
            aside += [layout.settings, layout.state]
            steps += [_aside_step(layout.settings), _aside_step(layout.state)]
        # The program last: it is what runs this.
        gone = [*map(_aside, aside), layout.programs]
        names = [*([f"the user {USER}"] if self.is_purge else []), *map(str, gone)]
        steps.append(Step(f"delete {', '.join(names)}", lambda: self._delete(gone)))
        return steps

    def _require_nothing_waits(self) -> None:
        count = waiting_reports(self.layout.spool)
        if count == 0 or (self.is_purge and self.discard == count):
            return
        how = f"; --purge --discard {count} throws them away for ever"
        raise UserError(f"{count} reports wait for a receipt in {self.layout.spool}: {DRAIN}{how}", EXIT_DOES_NOT_HOLD)

    def _delete(self, gone: list[Path]) -> None:
        if self.is_purge:
            user_step(self.layout).undo()
        _delete(gone)

    def _disable(self) -> None:
        if self.layout.unit.is_file():
            self.service.disable()

    def _enable(self) -> None:
        self.service.reload()
        self.service.enable()


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.removed")


def _aside_step(path: Path) -> Step:
    aside = _aside(path)

    def put() -> None:
        if path.exists():
            _delete([aside])
            path.rename(aside)

    def back() -> None:
        if aside.exists() and not path.exists():
            aside.rename(path)

    return Step(f"put {path} aside", put, back, lambda: not path.exists())


def _delete(paths: list[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
