"""`python -m benchmarks [--quick] [PART or FIGURE…]`: prints a table and writes bench.json.

Each ratio is taken in six rounds (two with --quick), its parts in turns; every other figure once. Whether a goal is met
is said of the median.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import (
    access,
    adt_to_tile,
    attribution,
    chart,
    chart_pages,
    deliver,
    device_clock,
    doctor,
    drivers,
    edge,
    fhir,
    fhir_search,
    hl7,
    page,
    pipeline,
    receipts,
    spool,
    verifying,
    viewers,
    ward_page,
    wave_sizes,
    waves,
    whose_day,
    wrong_attributions,
)
from benchmarks.goals import GOALS
from benchmarks.pipeline import Samples


@dataclass(frozen=True)
class Measurement:
    """Figures that are taken in one go, and the part of the system that they belong to."""

    part: str
    figures: tuple[str, ...]
    take: Callable[[bool], Samples]


def once(measure: Callable[[bool], dict[str, float]]) -> Callable[[bool], Samples]:
    """As samples, one a figure."""
    return lambda quick: {figure: [value] for figure, value in measure(quick).items()}


def hl7_ratios(quick: bool) -> Samples:
    """In rounds, like every ratio."""
    taken = [hl7.ratios(0.3 if quick else 2.0) for _ in range(pipeline.rounds(quick))]
    return {figure: [each[figure] for each in taken] for figure in taken[0]}


def fhir_ratios(quick: bool) -> Samples:
    """In rounds, like every ratio."""
    taken = [fhir.ratios(0.3 if quick else 2.0) for _ in range(pipeline.rounds(quick))]
    return {figure: [each[figure] for each in taken] for figure in taken[0]}


EDGE_FIGURES = tuple(figure for figure in GOALS if figure.startswith(("edge_", "fdatasync_")))
MEASUREMENTS = (
    Measurement(
        "pipeline",
        ("pipeline_values_per_s", "pipeline_to_narrow_copy_ratio", "pipeline_to_report_copy_ratio"),
        pipeline.copy_ratios,
    ),
    Measurement("pipeline", ("pipeline_small_batches_values_per_s",), pipeline.small_batches),
    Measurement("pipeline", ("pipeline_with_texts_ratio",), pipeline.with_texts),
    Measurement("pipeline", ("pipeline_changing_channels_ratio",), pipeline.changing_channels),
    Measurement("pipeline", ("receipts_share_per_edge",), receipts.share_per_edge),
    Measurement("verify", ("verify_values_per_s",), verifying.values_per_s),
    Measurement("verify", ("verify_since_ratio",), verifying.since_ratio),
    Measurement("hl7", ("hl7_vs_hl7apy", "hl7_vs_python_hl7"), hl7_ratios),
    Measurement("fhir", ("fhir_vs_fhir_resources",), fhir_ratios),
    Measurement("edge", EDGE_FIGURES, once(edge.measure)),
    Measurement("edge", ("waves_with_numbers_p99_s", "waves_with_numbers_p50_s"), once(waves.measure)),
    Measurement("drivers", drivers.FIGURES, once(drivers.measure)),
    Measurement("clocks", ("device_clock_right_share", "device_clock_live_uncertainty_ms"), once(device_clock.measure)),
    Measurement("spool", ("spool_cpu_us_per_report",), once(spool.measure)),
    Measurement("waves", ("wave_row_bytes", "wave_batch_bytes_per_sample"), once(wave_sizes.measure)),
    Measurement("page", ("page_cpu_ms_per_s_1000", "page_bytes_per_s_1000"), once(page.measure)),
    Measurement("attribution", ("adt_messages_per_s", "reattribute_12h_s"), once(attribution.measure)),
    Measurement("attribution", ("wrong_attributions",), once(wrong_attributions.measure)),
    Measurement(
        "page",
        (
            "ward_page_32_ms",
            "ward_page_32_to_empty_page_ratio",
            "ward_page_32_first_picture_ms",
            "ward_page_32_update_ms",
        ),
        once(ward_page.measure),
    ),
    Measurement("attribution", ("adt_to_tile_p99_s",), once(adt_to_tile.measure)),
    Measurement("attribution", ("whose_day_p95_ms", "whose_day_trend_p95_ms"), once(whose_day.measure)),
    Measurement("chart", ("flowsheet_day_p95_ms",), once(chart.flowsheet)),
    Measurement("chart", ("chart_core_fraction_1000",), once(chart.core_fraction)),
    Measurement("chart", ("port_to_entry_p99_s",), once(chart.port_to_entry)),
    Measurement("deliver", ("device_to_emr_p99_s",), once(deliver.device_to_emr)),
    Measurement("deliver", ("backlog_1000_beds_8h_s", "backlog_live_p99_s"), once(deliver.backlog)),
    Measurement("chart", ("patient_page_first_paint_ms",), once(chart_pages.first_paint)),
    Measurement("chart", ("sheet_page_ms",), once(chart_pages.sheet_page)),
    Measurement("people", ("confirm_40_ms", "viewers_200_p99_ms"), once(viewers.measure)),
    Measurement("access", ("may_decisions_per_s", "visible_set_ms", "visible_set_everything_ms"), once(access.measure)),
    Measurement("fhir", ("fhir_search_day_p95_ms", "audit_overhead", "audit_overhead_ms"), once(fhir_search.measure)),
    Measurement("doctor", ("doctor_right_share", "doctor_wrong_certain"), once(doctor.measure)),
)


def chosen(asked: Sequence[str]) -> list[Measurement]:
    """The measurements of these parts and figures; all where none is asked for. Raises ValueError."""
    known = {m.part for m in MEASUREMENTS} | {figure for m in MEASUREMENTS for figure in m.figures}
    for name in asked:
        if name not in known:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(known))}")
    return [m for m in MEASUREMENTS if not asked or {m.part, *m.figures} & set(asked)]


def shown(value: object) -> str:
    """Large numbers whole, small ones with what tells them apart."""
    return f"{value:,.0f}" if isinstance(value, float) and value >= 1000 else f"{value:.3f}"


def rows(samples: Samples, asked: Sequence[str] = ()) -> dict[str, dict[str, object]]:
    """The lines of bench.json, in the order of the goals, of what is asked for by its name or its part."""
    parts = {figure: m.part for m in MEASUREMENTS for figure in m.figures}
    table: dict[str, dict[str, object]] = {}
    for figure, goal in GOALS.items():
        if figure not in samples or (asked and not {figure, parts[figure]} & set(asked)):
            continue
        taken, middle = samples[figure], median(samples[figure])
        table[figure] = {
            "value": round(middle, 4), "min": round(min(taken), 4), "median": round(middle, 4),
            "max": round(max(taken), 4), "rounds": len(taken), "unit": goal.unit, "goal": str(goal),
            "ok": goal.met(middle),
        }  # fmt: skip
    return table


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """`asked` and `quick`. Ends the process for --help and for what there is not, before anything is measured."""
    parts = dict.fromkeys(measurement.part for measurement in MEASUREMENTS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure, print a table, write bench.json. The real parts must run (deploy/services/services up).",
        epilog=f"Parts: {', '.join(parts)}. Figures: {', '.join(GOALS)}. Example: make bench NAME=edge_rss_mb_10",
    )
    parser.add_argument("asked", nargs="*", metavar="PART-or-FIGURE", help="all where none is named")
    parser.add_argument("--quick", action="store_true", help="on less data, in two rounds")
    return parser.parse_intermixed_args(words)


def main() -> None:
    """Measure what is asked for. A missed goal is shown and no failure; a measurement that breaks off is one."""
    options = arguments(sys.argv[1:])
    quick, asked = options.quick, options.asked
    try:
        measurements = chosen(asked)
    except ValueError as error:
        sys.exit(f"benchmarks: {error}")
    samples: Samples = {}
    broken: list[str] = []
    for measurement in measurements:
        print(f"measuring {', '.join(measurement.figures)}", file=sys.stderr, flush=True)
        try:
            samples |= measurement.take(quick)
        except Exception:  # noqa: BLE001 - of whatever kind: the others are still wanted
            traceback.print_exc()
            broken += measurement.figures
    table = rows(samples, asked)
    print(f"{'':36}{'min':>14}{'median':>14}{'max':>14}")
    for figure, row in table.items():
        taken = "".join(f"{shown(row[name]):>14}" for name in ("min", "median", "max"))
        print(f"{figure:36}{taken} {row['unit']:10}{row['goal']:>12} {'' if row['ok'] else 'MISSED'}")
    Path("bench.json").write_text(json.dumps(table, indent=2) + "\n")
    if broken:
        sys.exit(f"benchmarks: broke off, see above: {', '.join(broken)}")


if __name__ == "__main__":
    main()
