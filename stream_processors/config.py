"""The processors' one configuration file."""

from __future__ import annotations

from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.nomenclature import METRIC_BY_REFERENCE_ID

APPS = ("validate", "store", "alarm")  # the worker processes
# Fewer are a slip; an edge that was away for a week still finds the rows of before.
KEEP_DAYS_MIN = {"keep_reports_days": 7, "keep_minutes_days": 30, "keep_batches_days": 30, "keep_adt_batches_days": 7}


class LimitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An alarm limit."""

    metric: Annotated[str, Meta(description="MDC reference id", examples=["MDC_ECG_HEART_RATE"])]
    low: Annotated[
        float | None, Meta(description="alarm below it, in the metric's (first) canonical unit", examples=[50.0])
    ] = None
    high: Annotated[float | None, Meta(description="alarm above it", examples=[120.0])] = None
    priority: Annotated[Literal["low", "medium", "high"], Meta(description="as IEC 60601-1-8 ranks alarms")] = "medium"

    def __post_init__(self) -> None:
        """Raises ValueError for a limit that never rings, or always: it would be worse than none."""
        if self.metric not in METRIC_BY_REFERENCE_ID:
            near = get_close_matches(self.metric, METRIC_BY_REFERENCE_ID, 1)
            mend = f"did you mean {near[0]!r}?" if near else "see docs/nomenclature.md"
            raise ValueError(f"{self.metric!r} is no metric of the nomenclature: {mend}")
        for value in (self.low, self.high):
            if value is not None and not isfinite(value):
                raise ValueError(f"limit of {self.metric}: {value} is no number that a value lies beyond")
        if self.low is None and self.high is None:
            raise ValueError(f"limit of {self.metric}: it has neither low nor high: it would never alarm")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"limit of {self.metric}: its low is not below its high: every value would alarm")


class AdtSourceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An admission office, and the numbers that its hospital's devices send."""

    name: Annotated[str, Meta(min_length=1, description="of the source in edge.toml", examples=["his"])]
    authority: Annotated[str, Meta(description="whose the identifiers are that name no authority in CX-4")] = ""
    patient_type: Annotated[str, Meta(description="CX-5 of the patient's own number; else the first one sent")] = ""
    visit_prefix_type: Annotated[
        str, Meta(description="CX-5 of the number that PV1-19 continues (a number of stays); else PV1-19 stands alone")
    ] = ""
    a08_moves: Annotated[bool, Meta(description="an A08 with another bed moves the patient; else it is a question")] = (
        False
    )
    processing_ids_live: Annotated[
        tuple[str, ...], Meta(min_length=1, description="MSH-11 of messages that are no training and no test")
    ] = ("P",)
    pid: Annotated[
        Literal["confirms", "trusted"],
        Meta(description="what the PID beside a device's values is good for: with the bed only, or alone too"),
    ] = "confirms"


class BedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bed."""

    name: Annotated[str, Meta(min_length=1, description="as in `vitalwire devices assign --bed`", examples=["ICU-07"])]
    location: Annotated[
        str,
        Meta(
            description="ward^room^bed^facility, as PV1-3 has them; the facility is MSH-4 where PV1-3 has none",
            examples=["ICU^^07^HOSP"],
        ),
    ]
    aliases: Annotated[tuple[str, ...], Meta(description="other spellings of the location")] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for a location that is no bed."""
        parts = [part.strip() for part in self.location.split("^")]
        if len(parts) < 3 or not parts[2]:
            raise ValueError(
                f"bed {self.name!r}: location = {self.location!r} has no bed: write ward^room^bed^facility"
            )


class ChartConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The chart."""

    policies: Annotated[
        Path | None,
        Meta(
            description="when what is charted, by ward and metric: docs/chart.md; none: nothing is",
            examples=["chart.toml"],
        ),
    ] = None


class ProcessorsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """vitalwire processors: validate, store, alarm."""

    kafka: Annotated[str, Meta(description="bootstrap servers, host:port, comma between")] = "127.0.0.1:9092"
    kafka_ca: Annotated[Path | None, Meta(description="CA file: TLS to the broker when set")] = None
    kafka_cert: Annotated[Path | None, Meta(description="our client certificate for the broker")] = None
    kafka_key: Annotated[Path | None, Meta(description="its key, readable by us alone")] = None
    insecure: Annotated[bool, Meta(description="plaintext to a broker or a database beyond loopback")] = False
    database: Annotated[str, Meta(description="PostgreSQL conninfo without a password")] = "dbname=vitalwire"
    database_password_file: Annotated[Path | None, Meta(description="file with the password, readable by us alone")] = (
        None
    )
    key_file: Annotated[Path, Meta(description="the platform's signing key: vitalwire processors keygen")] = Path(
        "platform.key"
    )
    demo: Annotated[bool, Meta(description="accept keys that were made for the demo")] = False
    site: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$",
            description="this site's name, in lower case: it stands in every checkpoint of the log",
            examples=["st-mary"],
        ),
    ] = "site"
    partitions: Annotated[int, Meta(ge=1, le=256, description="partitions of every topic we create, but receipts")] = 4
    replication: Annotated[int, Meta(ge=1, le=9, description="replicas of every topic we create")] = 1
    registry_every_s: Annotated[float, Meta(gt=0, description="how often the registry is read again")] = 5.0
    stall_s: Annotated[float, Meta(gt=0, description="a worker that has work and makes no attempt is ended")] = 60.0
    metrics_port: Annotated[
        int,
        Meta(ge=0, le=65530, description="metrics and health: validate here, store and alarm on the two next; 0: none"),
    ] = 9464
    keep_reports_days: Annotated[
        int,
        Meta(
            ge=0, description="rows of reports, waveforms, alarms and settings, from when they were stored; 0: for ever"
        ),
    ] = 0
    keep_minutes_days: Annotated[int, Meta(ge=0, description="summaries of minutes, likewise; 0: for ever")] = 0
    keep_batches_days: Annotated[
        int, Meta(ge=0, description="the signed originals, once their rows are gone: as the law says; 0: for ever")
    ] = 0
    keep_adt_batches_days: Annotated[
        int,
        Meta(
            ge=0,
            description="the signed originals of the lane adt, rejected frames among them: names lie there; from when"
            " they were stored, whether their rows are there or not; 0: as keep_batches_days",
        ),
    ] = 30
    limits: Annotated[tuple[LimitConfig, ...], Meta(description="alarm limits")] = ()
    adt_source: Annotated[tuple[AdtSourceConfig, ...], Meta(description="admission offices")] = ()
    bed: Annotated[tuple[BedConfig, ...], Meta(description="the beds, by their names and as ADT spells them")] = ()
    chart: Annotated[ChartConfig, Meta(description="the chart")] = ChartConfig()

    def __post_init__(self) -> None:
        """Raises ValueError for a slip that would cost a record, or TLS."""
        if (self.kafka_cert is None) != (self.kafka_key is None):
            raise ValueError("kafka_cert and kafka_key need each other")
        if self.kafka_cert and not self.kafka_ca:
            raise ValueError("kafka_cert is of no use without kafka_ca, the CA file of the broker: name it too")
        for name, least in KEEP_DAYS_MIN.items():
            if 0 < getattr(self, name) < least:
                raise ValueError(f"{name} is below {least}: 0 keeps for ever")
        if self.keep_batches_days and not 0 < self.keep_reports_days <= self.keep_batches_days:
            raise ValueError("keep_batches_days: originals go after their rows: set keep_reports_days, and no higher")
        self._must_name_once()
        for side in ("low", "high"):
            metrics = [limit.metric for limit in self.limits if getattr(limit, side) is not None]
            for metric in metrics:
                # One episode a channel and side: what one limit opens, the other would end with the next value.
                if metrics.count(metric) > 1:
                    raise ValueError(f"limits of {metric}: two limits on its {side} side: keep one of them")

    def _must_name_once(self) -> None:
        for what, names in (
            ("adt_source", [source.name for source in self.adt_source]),
            ("bed", [bed.name for bed in self.bed]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"[[{what}]] {name!r} is there twice: keep one of them")
