"""What each figure of `make bench` is to reach."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import drivers


@dataclass(frozen=True)
class Goal:
    """At least `least`, or at most `most`; neither: the figure is reported, without a goal."""

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
    "pipeline_to_narrow_copy_ratio": Goal("x", least=3.3),
    "pipeline_to_report_copy_ratio": Goal("x", least=0.38),
    "pipeline_small_batches_values_per_s": Goal("values/s", least=200_000),
    "pipeline_with_texts_ratio": Goal("x", least=0.5),
    "pipeline_changing_channels_ratio": Goal("x", least=0.5),
    "verify_values_per_s": Goal("values/s", least=300_000),
    "verify_since_ratio": Goal("x", most=3),
    "receipts_share_per_edge": Goal("share", most=1 / 32),
    "hl7_vs_hl7apy": Goal("x", least=500),
    "hl7_vs_python_hl7": Goal("x", least=25),
    "fhir_vs_fhir_resources": Goal("x", least=5),
    "edge_mqtt_messages_per_s": Goal("msg/s", least=8_000),
    "edge_mqtt_to_bare_paho_ratio": Goal("x", least=0.3),
    "edge_mllp_messages_per_s": Goal("msg/s", least=4_000),
    "edge_mllp_ack_p99_ms": Goal("ms", most=50),
    "fdatasync_p99_ms": Goal("ms"),
    "edge_cpu_us_per_mqtt_message": Goal("us", most=90),
    "edge_cpu_us_per_hl7_message": Goal("us", most=180),
    "spool_cpu_us_per_report": Goal("us"),
    "edge_wave_samples_per_s": Goal("samples/s", least=750_000),
    "waves_with_numbers_p99_s": Goal("s", most=1),
    "waves_with_numbers_p50_s": Goal("s"),
    "wave_row_bytes": Goal("bytes"),
    "wave_batch_bytes_per_sample": Goal("bytes"),
    "edge_core_fraction_10": Goal("core", most=0.05),
    "edge_rss_mb_10": Goal("MB", most=90),
    "edge_core_fraction_1000": Goal("core", most=0.25),
    "edge_rss_mb_1000": Goal("MB", most=150),
    "device_clock_right_share": Goal("share", least=0.999),
    "device_clock_live_uncertainty_ms": Goal("ms", most=2_000),
    "page_cpu_ms_per_s_1000": Goal("ms/s", most=40),
    "page_bytes_per_s_1000": Goal("B/s", most=200_000),
    "adt_to_tile_p99_s": Goal("s", most=2),
    "whose_day_p95_ms": Goal("ms", most=50),
    "whose_day_trend_p95_ms": Goal("ms", most=50),
    "ward_page_32_ms": Goal("ms", most=100),
    "ward_page_32_to_empty_page_ratio": Goal("x"),
    "ward_page_32_first_picture_ms": Goal("ms", most=100),
    "ward_page_32_update_ms": Goal("ms", most=100),
    "wrong_attributions": Goal("values", most=0),
    "adt_messages_per_s": Goal("msg/s", least=500),
    "reattribute_12h_s": Goal("s", most=2),
    "flowsheet_day_p95_ms": Goal("ms", most=50),
    "chart_core_fraction_1000": Goal("core", most=0.1),
    "port_to_entry_p99_s": Goal("s", most=2),
    "device_to_emr_p99_s": Goal("s", most=5),
    "backlog_1000_beds_8h_s": Goal("s", most=900),
    "backlog_live_p99_s": Goal("s", most=5),
    "patient_page_first_paint_ms": Goal("ms", most=1_000),
    "sheet_page_ms": Goal("ms", most=300),
    "fhir_search_day_p95_ms": Goal("ms", most=100),
    "may_decisions_per_s": Goal("decisions/s", least=100_000),
    "visible_set_ms": Goal("ms", most=5),
    "visible_set_everything_ms": Goal("ms"),
    "confirm_40_ms": Goal("ms", most=300),
    "viewers_200_p99_ms": Goal("ms", most=1_000),
    "audit_overhead": Goal("x"),  # at most 1.15, or the milliseconds below: the milder one is the goal
    "audit_overhead_ms": Goal("ms", most=5),
    "doctor_right_share": Goal("share", least=0.99),
    "doctor_wrong_certain": Goal("answers", most=0),
}
GOALS |= {name: Goal("us" if name.startswith("driver_us") else "lines") for name in drivers.FIGURES}
