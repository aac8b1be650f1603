"""`vitalwire demo`, where it cannot start: the reason stands on the terminal and not in a log."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path


def demo(data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vitalwire", "demo", "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = demo(tmp_path / "file")
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert found.stderr.startswith("vitalwire: the embedded services cannot start in ")
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = demo(tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == f"vitalwire: another run uses {tmp_path}: end it, or choose another data folder\n"
