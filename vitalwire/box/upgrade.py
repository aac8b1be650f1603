"""From one version to another, and back by itself where the new one is not healthy: `vitalwire edge upgrade`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from runtime.bundle import Bundle
from runtime.errors import UserError
from vitalwire.box.health import WALL, AgentProbe, Clock, wait_healthy
from vitalwire.box.install import (
    FreeBytes,
    free_bytes,
    link_step,
    program_step,
    read_manifest,
    require_python,
    require_same,
    require_space,
    require_spool,
    unit_step,
    write_whole,
)
from vitalwire.box.layout import DOWNTIME_UNIT, UNIT, Layout
from vitalwire.box.service import Service
from vitalwire.box.steps import Step


@dataclass(frozen=True)
class Upgrade:
    """What is brought to the bundle's version. `emit` gets a line for people while it waits."""

    layout: Layout
    bundle: Bundle
    service: Service
    probe: AgentProbe
    emit: Callable[[str], object]
    clock: Clock = WALL
    free: FreeBytes = free_bytes

    @property
    def version(self) -> str:
        """The bundle's."""
        return self.bundle.manifest.version

    @property
    def before(self) -> str:
        """The version that it goes back to: of an upgrade that was killed, the one from which that came."""
        held = self.layout.held()
        came_from = str(held.get("from", ""))
        is_same = held.get("to") == self.version and self.layout.is_whole(came_from)
        return came_from if is_same else self.layout.installed()

    @property
    def is_needed(self) -> bool:
        """False where this version is installed and known to be well."""
        layout = self.layout
        return layout.installed() != self.version or not layout.is_whole(self.version) or bool(layout.held())

    def require(self) -> None:
        """What must hold before anything is changed; raises UserError."""
        layout = self.layout
        if not layout.installed():
            raise UserError(f"nothing is installed in {layout.root}: `vitalwire edge install {self.bundle.path}`")
        require_same(layout, self.bundle)
        require_python(layout)
        require_space(layout, self.bundle, self.free, spool_bytes=0)
        require_spool(layout, self.bundle)
        oldest, form = self.bundle.manifest.spool_oldest_form, layout.spool_form()
        if form and form < oldest:
            raise UserError(
                f"the spool {layout.spool} is of form {form}, and {self.version} reads from {oldest} on:"
                " upgrade to a version between first"
            )
        if self.service.is_there and not layout.metrics_port:
            raise UserError(
                f"metrics_port is 0 in {layout.config}, so nobody could see whether {self.version} is healthy: set it"
            )

    def steps(self) -> list[Step]:
        """In order. Until `let the spool take its newer form` all can be taken back, and nothing newer is written.

        But for the program none is left out, though it be done: where an upgrade was killed, `undo` goes back further.
        """
        layout, service, version = self.layout, self.service, self.version
        steps = [
            program_step(layout, self.bundle),
            self._hold_step(),
            Step("stop the agent; its devices' reports wait in the spool", service.stop, self._start),
            self._unit_step(UNIT),
            self._unit_step(DOWNTIME_UNIT),
            self._link_step(),
        ]
        if not service.is_there:
            return steps
        healthy = f"wait until {version} is healthy, else go back to {self.before}"
        steps += [
            Step(f"start {version}", self._start, service.stop),
            Step(healthy, lambda: wait_healthy(self.probe, self.clock, self.emit)),
            Step("let the spool take its newer form", self._release),
        ]
        if self._is_newer_form:
            again = "start it again, which brings the spool to that form"
            steps.append(Step(again, self._restart))
        return steps

    @property
    def _is_newer_form(self) -> bool:
        form = self.layout.spool_form()
        return 0 < form < self.bundle.manifest.spool_form

    def _hold_step(self) -> Step:
        layout = self.layout
        form = layout.spool_form() or read_manifest(layout, self.before).get("spool_form", 0)
        mark = json.dumps({"from": self.before, "to": self.version, "spool_form": form})

        def hold() -> None:
            if not layout.spool.is_dir():
                raise UserError(f"there is no spool {layout.spool}: does the agent run? `vitalwire edge check`")
            write_whole(layout.hold_mark, mark, 0o644, layout)

        says = f"hold the spool in form {form} while {self.version} is not known to be well"
        return Step(says, hold, self._release)

    def _unit_step(self, name: str) -> Step:
        step = unit_step(self.layout, self.version, name)
        return Step(step.says, step.do, unit_step(self.layout, self.before, name).do)

    def _link_step(self) -> Step:
        step = link_step(self.layout, self.version)
        return Step(step.says, step.do, link_step(self.layout, self.before).do)

    def _release(self) -> None:
        self.layout.hold_mark.unlink(missing_ok=True)

    def _start(self) -> None:
        self.service.reload()
        self.service.start()

    def _restart(self) -> None:
        self.service.stop()
        self.service.start()
        try:
            wait_healthy(self.probe, self.clock, self.emit)
        except UserError as error:
            # It was well before, and its spool may be of the newer form by now: nothing goes back from here.
            self.emit(f"WRONG   {error}; {self.version} stays")
