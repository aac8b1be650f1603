"""`vitalwire edge drain`: a dead box's spool is sent from its disk, and what still waits is said."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated

import typer

from edge_agent.dead_box import DeadBox, open_disk
from edge_agent.drain import Drain, Progress
from edge_agent.sources import load_edge
from runtime.clock import now_us
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_UNREACHABLE, UserError
from vitalwire.output import as_json, console

SHOW_S = 2.0  # between two lines


def drain(
    from_: Annotated[Path, typer.Option("--from", help="the mounted disk's root, or the folder of its edge.toml")],
    config: Annotated[
        Path | None, typer.Option(help="edge.toml by which the broker is reached from here; else the dead box's own")
    ] = None,
    owner_is_dead: Annotated[
        bool, typer.Option("--owner-is-dead", help="it committed of late, and somebody saw that it is off")
    ] = False,
    by: Annotated[str, typer.Option(help="who says so, and drains it")] = "",
    sealed_only: Annotated[
        bool, typer.Option("--sealed-only", help="without the box's key: what is not signed yet stays on the disk")
    ] = False,
    patience_s: Annotated[float, typer.Option(min=1, help="without any progress, then it ends")] = 120.0,
    json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:  # fmt: skip
    """Send a dead box's spool from its disk: vitalwire edge drain --from /mnt --by 'M. Ruiz'

    Under the dead box's own id and key, which stay on that disk. Exit 3 where no broker or the spool is not free, 4
    where something waits still. It can be run again; whatever has a receipt is not stored twice.
    """
    if owner_is_dead and not by:
        raise UserError("--owner-is-dead needs the name of who saw to it: --by NAME")
    box = open_disk(from_)
    box.require_dead(now_us(), is_declared_dead=owner_is_dead)
    if not box.spool.reports and not box.spool.batches:
        _end(box, Progress(0, 0, 0, 0, 0, is_reached=False, trouble="", refusal=""), json=json)
        return
    key = None if sealed_only else box.signing_key()
    reach = load_edge(config) if config is not None else box.config
    if not json:
        console.print(
            f"edge {box.edge_id}: {box.spool.batches} batches wait for a receipt, {box.spool.reports} reports to be"
            f" signed{' (they stay)' if sealed_only else ''}",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    drain = Drain(box, key, reach, by=by or "somebody", on_event=_tell)
    with _stopped() as stop:
        progress = drain.run(_Shown(is_quiet=json).show, stop, patience_s)
    _end(box, progress, json=json)


class _Shown:
    """Progress as lines, no more than one in SHOW_S."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet, self._at = is_quiet, time.monotonic()

    def show(self, progress: Progress) -> None:
        if self._is_quiet or time.monotonic() - self._at < SHOW_S:
            return
        self._at = time.monotonic()
        away = "" if progress.is_reached else f"; no broker yet{f': {progress.trouble}' if progress.trouble else ''}"
        console.print(f"{_counts(progress)}{away}", markup=False, soft_wrap=True)


def _counts(progress: Progress) -> str:
    words = f"sent {progress.sent}, receipted {progress.receipted}, waiting {progress.waiting} batches"
    return f"{words} and {progress.unsigned} reports" if progress.unsigned else words


def _tell(code: str, text: str) -> None:
    sys.stderr.write(f"{code}: {text}\n")


@contextmanager
def _stopped() -> Iterator[Event]:
    """Set by Ctrl-C: what waits is said then, too."""
    stop = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(box: DeadBox, progress: Progress, *, json: bool) -> None:
    is_done = not progress.waiting and not progress.unsigned
    if json:
        as_json({"edge": str(box.edge_id), "spool": box.spool.spool_id.hex(), "done": is_done, **asdict(progress)})
    elif is_done and not progress.sent:
        console.print(f"edge {box.edge_id}: nothing waits, every batch has its receipt", markup=False, soft_wrap=True)
    else:
        console.print(_counts(progress), markup=False, soft_wrap=True)
    if is_done:
        return
    still = f"{progress.waiting} batches and {progress.unsigned} unsigned reports wait still on {box.config.spool}"
    if not progress.is_reached:
        why = f" ({progress.trouble})" if progress.trouble else ""
        raise UserError(
            f"no broker was reached{why}: {still}; name an edge.toml that reaches it, --config, and run it again",
            EXIT_UNREACHABLE,
        )
    if progress.refusal or progress.refused:
        raise UserError(
            f"the hospital refuses batches ({progress.refusal or 'signed with a key that it does not take'}): {still};"
            " `vitalwire registry edge renew` there, then run it again",
            EXIT_DOES_NOT_HOLD,
        )
    if not progress.waiting:
        raise UserError(f"{still}: only the box's own key can sign them", EXIT_DOES_NOT_HOLD)
    raise UserError(f"{still}: are the processors at work? Run it again", EXIT_DOES_NOT_HOLD)
