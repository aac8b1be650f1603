"""`python -m benchmarks [--quick] [PART…]`: prints a table and writes bench.json; the parts are in `PARTS`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import edge, hl7, page, pipeline, spool


class Goal(NamedTuple):
    """What a figure is to reach: at least `least`, or at most `most`; neither: it is reported, without a goal."""

    unit: str
    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        """Whether the figure reaches it."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        """As the table shows it."""
        if self.least is not None:
            return f">= {self.least:,}"
        return "" if self.most is None else f"<= {self.most:,}"


GOALS: dict[str, Goal] = {
    "pipeline_values_per_s": Goal("values/s"),
    "pipeline_to_narrow_copy_ratio": Goal("x", least=2.5),
    "pipeline_to_report_copy_ratio": Goal("x", least=0.3),
    "pipeline_small_batches_values_per_s": Goal("values/s", least=100_000),
    "hl7_vs_hl7apy": Goal("x", least=500),
    "hl7_vs_python_hl7": Goal("x", least=25),
    "edge_mqtt_messages_per_s": Goal("msg/s", least=8_000),
    "edge_mqtt_to_bare_paho_ratio": Goal("x", least=0.3),
    "edge_mllp_messages_per_s": Goal("msg/s", least=4_000),
    "edge_mllp_ack_p99_ms": Goal("ms", most=50),
    "fdatasync_p99_ms": Goal("ms"),
    "edge_cpu_us_per_mqtt_message": Goal("us", most=90),
    "edge_cpu_us_per_hl7_message": Goal("us", most=180),
    "spool_cpu_us_per_report": Goal("us"),
    "edge_wave_samples_per_s": Goal("samples/s", least=750_000),
    "edge_core_fraction_1000": Goal("core", most=0.25),
    "edge_rss_mb_1000": Goal("MB", most=150),
    "page_cpu_ms_per_s_1000": Goal("ms/s", most=40),
    "page_bytes_per_s_1000": Goal("B/s", most=200_000),
}
PARTS: dict[str, Callable[[bool], dict[str, float]]] = {
    "pipeline": pipeline.measure,
    "hl7": lambda quick: hl7.ratios(0.3 if quick else 2.0),
    "edge": edge.measure,
    "spool": spool.measure,
    "page": page.measure,
}


def main() -> None:
    """Measure what is asked for; a goal that is missed is shown, not hidden, and is no failure of the run."""
    quick = "--quick" in sys.argv
    asked = [name for name in sys.argv[1:] if not name.startswith("--")] or list(PARTS)
    if unknown := sorted(set(asked) - set(PARTS)):
        sys.exit(f"benchmarks: {unknown[0]!r} is none of {', '.join(PARTS)}")
    figures: dict[str, float] = {}
    for name in asked:
        figures |= PARTS[name](quick)
    table = {}
    for name, goal in GOALS.items():
        if name not in figures:
            continue
        value = figures[name]
        met = goal.met(value)
        table[name] = {"value": round(value, 2), "unit": goal.unit, "goal": str(goal), "ok": met}
        print(f"{name:38} {value:14,.2f} {goal.unit:10} {goal!s:>14} {'' if met else 'MISSED'}")
    Path("bench.json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
