"""Steps that are done in order, and taken back in the other order where one fails."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from runtime.errors import EXIT_USAGE, UserError
from schemas.errors import VitalwireError

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _nothing() -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Step:
    """One thing that is done: `says` it in words; `is_done` where there is nothing to do.

    `do` leaves it done or raises, and may then have done it in part; `undo` takes back the whole and any part. Both can
    be called again.
    """

    says: str
    do: Callable[[], object]
    undo: Callable[[], object] = _nothing
    is_done: Callable[[], bool] = _never


class StoppedError(BaseException):
    """Somebody ends the command: what was done is taken back."""


def run_steps(
    steps: Sequence[Step], *, emit: Callable[[str], object], is_dry_run: bool = False,
    before: Callable[[Step], object] = lambda _: None,
) -> None:  # fmt: skip
    """Do them; `before` is called before each that is to be done. Raises UserError: one failed, all are taken back."""
    done: list[Step] = []
    with _ended_by_signals():
        for step in steps:
            if step.is_done():
                emit(f"is so   {step.says}")
                continue
            emit(f"{'would  ' if is_dry_run else 'now    '} {step.says}")
            if is_dry_run:
                continue
            before(step)
            done.append(step)
            try:
                step.do()
            except BaseException as error:
                kept = _take_back(done, emit)
                if not isinstance(error, (UserError, VitalwireError, OSError, subprocess.SubprocessError)):
                    raise
                code = error.exit_code if isinstance(error, UserError) else EXIT_USAGE
                raise UserError(f"{step.says}: {_reason(error)}; {kept}", code) from None


def _take_back(done: Sequence[Step], emit: Callable[[str], object]) -> str:
    """Undo in the other order; what is left of it, in words. Who stops the command again waits for it."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    left = []
    for step in reversed(done):
        try:
            step.undo()
        except (UserError, VitalwireError, OSError, subprocess.SubprocessError) as error:
            left.append(f"{step.says} ({_reason(error)})")
        else:
            if step.undo is not _nothing:
                emit(f"undone  {step.says}")
    if left:
        return f"all was taken back but: {', '.join(left)}; run this again once that is mended"
    return "all that was done is taken back"


def _reason(error: BaseException) -> str:
    match error:
        case subprocess.CalledProcessError():
            words = str(error.stderr or error.stdout or "").strip().splitlines()
            return f"{error.cmd[0]} ended with {error.returncode}: {' '.join(words[-3:])}"
        case OSError():
            return ": ".join(map(str, filter(None, (error.filename, error.strerror or str(error)))))
        case _:
            return str(error)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end steps by an exception, after which all is taken back."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError

    before = {number: signal.signal(number, stop) for number in _ENDING}
    try:
        yield
    except StoppedError:
        raise UserError("stopped: all that was done is taken back", 1) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
