"""Small volumes that can be filled: in memory, and gone with the block."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MB, BLOCK = 1 << 20, 4096
BALLAST = "ballast"


@contextmanager
def volume(folder: Path, size_mb: int) -> Iterator[Path]:
    """A file system of this size at `folder`, which whoever has it open must have left before."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0711", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """To the last block, as something else on that volume would."""
    with (folder / BALLAST).open("wb", buffering=0) as file:
        for size in (MB, BLOCK):
            with suppress(OSError):  # that it is full
                while file.write(bytes(size)) == size:
                    pass
    assert os.statvfs(folder).f_bavail == 0


def free(folder: Path) -> None:
    """As a person does, once it is known."""
    (folder / BALLAST).unlink()
