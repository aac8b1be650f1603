"""Lines by room against the plan of the design, without tests: `make check` prints them."""

import subprocess
from pathlib import Path

PLAN = {
    "schemas": 600, "evidence": 300, "adapters": 900, "runtime": 500, "emr_store": 700, "edge_agent": 1100,
    "stream_processors": 800, "gateway": 300, "simulators": 900, "vitalwire": 800, "benchmarks": 400, "deploy": 400,
}  # fmt: skip
TABLES = ("schemas/nomenclature.py",)  # not counted: literal tables


def lines_by_room() -> dict[str, int]:
    """Lines of every tracked or new source file, by top-level folder."""
    command = ["git", "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    rooms: dict[str, int] = {}
    for name in listed.stdout.split("\0"):
        path = Path(name)
        if path.suffix in {".py", ".sql", ".mjs", ".css", ".html", ""} and name not in TABLES and path.is_file():
            rooms[path.parts[0]] = rooms.get(path.parts[0], 0) + len(path.read_text("utf-8").splitlines())
    return rooms


if __name__ == "__main__":
    found = lines_by_room()
    for room, plan in PLAN.items():
        print(f"{room:18} {found.get(room, 0):6} lines  (plan {plan})")
    code = sum(found.get(room, 0) for room in PLAN)
    print(f"{'tests':18} {found.get('tests', 0):6} lines  ({found.get('tests', 0) / max(code, 1):.2f} of the code)")
