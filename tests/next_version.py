"""Invented next versions of this checkout: copies of its programs with some lines changed, which run beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from schemas.layout import LAYOUT

ROOT = Path(__file__).parents[1]
NEXT_LAYOUT = LAYOUT + 1


def copy_of_checkout(tree: Path) -> Path:
    """All of it but tests and benchmarks, also what is not committed yet; the folder."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split("\0"):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)
    return tree


def replace(path: Path, old: str, new: str) -> None:
    """Change one place of a file."""
    text = path.read_text("utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), "utf-8")


def with_next_layout(tree: Path, refused_retry_s: float) -> Path:
    """A copy whose edges cut batches of the next layout, and whose workers read both; the folder.

    In the invented one the body lies backwards, and the zeros at the header's end are none. What was refused is tried
    again after so many seconds instead of minutes.
    """
    copy_of_checkout(tree)
    layout, batch = tree / "schemas" / "layout.py", tree / "schemas" / "batch.py"
    replace(layout, f"\nLAYOUT = {LAYOUT} ", f"\nLAYOUT = {NEXT_LAYOUT} ")
    replace(layout, "BATCH_MAGIC = MAGIC_HEAD + bytes([LAYOUT])", f"BATCH_MAGIC = MAGIC_HEAD + bytes([{LAYOUT}])")
    magic = f"layout.MAGIC_HEAD + bytes([{NEXT_LAYOUT}])"
    # Edges cut the next one alone.
    replace(batch, "            layout.BATCH_MAGIC, layout.SUITE", f"            {magic}, layout.SUITE")
    replace(batch, "self.root, self.body_hash, bytes(24),", 'self.root, self.body_hash, b"invented".ljust(24),')
    replace(batch, "    return compressed\n", "    return compressed[::-1]\n")
    # Workers read both.
    replace(batch, "    if magic != layout.BATCH_MAGIC:", f"    if magic not in (layout.BATCH_MAGIC, {magic}):")
    replace(
        batch,
        "    if any(zeros):",
        '    if zeros != (bytes(24) if magic == layout.BATCH_MAGIC else b"invented".ljust(24)):',
    )
    unpacked = "    compressed = bytes(sealed[layout.BODY_START :])\n"
    turned = f"    if layout_number(bytes(sealed[:8])) == {NEXT_LAYOUT}:\n        compressed = compressed[::-1]\n"
    replace(batch, unpacked, unpacked + turned)
    replace(tree / "edge_agent" / "resend.py", "REFUSED_RETRY_S = 300.0", f"REFUSED_RETRY_S = {refused_retry_s}")
    return tree
