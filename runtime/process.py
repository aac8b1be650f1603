"""A process among others: it ends with its parent, whatever ended that."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # prctl(2)
_prctl = ctypes.CDLL(None).prctl


def end_with_parent() -> None:
    """For `preexec_fn`: SIGTERM when the parent's thread that started us is gone (prctl(2); Linux)."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM))
    if os.getppid() == 1:  # it had gone before we could ask
        os._exit(1)
