"""The processors' one configuration file."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from runtime.errors import UserError
from runtime.tls import check_client
from schemas import layout
from schemas.errors import ConfigError
from schemas.nomenclature import METRIC_BY_REFERENCE_ID

if TYPE_CHECKING:
    from adapters.emr.oru import OruStyle

APPS = ("validate", "store", "alarm")  # the worker processes
# Fewer are a slip; an edge that was away for a week still finds the rows of before.
KEEP_DAYS_MIN = {
    "keep_reports_days": 7, "keep_minutes_days": 30, "keep_batches_days": 30, "keep_adt_batches_days": 7,
    "keep_sign_in_attempts_days": 190,  # China's Cybersecurity Law has logs kept for six months
}  # fmt: skip


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


class Hl7v2Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a destination of HL7 v2 wants its messages."""

    sending_application: Annotated[str, Meta(description="MSH-3")] = "VITALWIRE"
    sending_facility: Annotated[str, Meta(description="MSH-4")] = ""
    receiving_application: Annotated[str, Meta(description="MSH-5")] = ""
    receiving_facility: Annotated[str, Meta(description="MSH-6")] = ""
    version: Annotated[Literal["2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"], Meta(description="MSH-12")] = "2.5.1"
    character_set: Annotated[Literal["UNICODE UTF-8", "GB18030"], Meta(description="MSH-18")] = "UNICODE UTF-8"
    time_zone: Annotated[
        str, Meta(description="in which instants are written, with their offset", examples=["Asia/Shanghai"])
    ] = "UTC"
    withdrawn_as: Annotated[
        Literal["W", "D"], Meta(description="OBX-11 of what was entered in error: wrong patient, or deleted")
    ] = "W"
    preliminary_as: Annotated[Literal["P", "R"], Meta(description="OBX-11 of what nobody confirmed yet")] = "P"
    processing_id: Annotated[Literal["P", "T", "D"], Meta(description="MSH-11: production, training, debugging")] = "P"
    language: Annotated[Literal["en", "zh"], Meta(description="of the words beside codes")] = "en"
    visit_prefix_type: Annotated[
        str,
        Meta(description="CX-5 of the number that PV1-19 continues, as in [[adt_source]]; else PV1-19 stands alone"),
    ] = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what the messages cannot be written in."""
        try:
            self.style()
        except ConfigError as error:
            raise ValueError(str(error)) from None

    def style(self) -> OruStyle:
        """As the messages are written."""
        from adapters.emr.oru import OruStyle  # every command reads this file, and few write messages

        return OruStyle(**msgspec.structs.asdict(self))


class DestinationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receiver of chart entries."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
            description="in lower case; another name is another destination, which begins anew",
            examples=["emr"],
        ),
    ]
    protocol: Annotated[Literal["fhir", "hl7v2"], Meta(description="transactions of FHIR R4, or ORU^R01 over MLLP")]
    address: Annotated[
        str,
        Meta(
            description="the base URL of a FHIR server; host:port of an MLLP listener",
            examples=["https://emr.example/fhir"],
        ),
    ]
    begins: Annotated[
        str,
        Meta(
            description="a new destination gets what was charted from then on (2026-11-24T10:00Z); else from now on",
        ),
    ] = ""
    preliminary: Annotated[bool, Meta(description="also entries that nobody confirmed yet, marked as such")] = False
    tls_ca: Annotated[
        Path | None, Meta(description="CA file of the receiver: MLLP is within TLS when set; https: else the system's")
    ] = None
    tls_cert: Annotated[Path | None, Meta(description="our client certificate")] = None
    tls_key: Annotated[Path | None, Meta(description="its key, readable by us alone")] = None
    insecure: Annotated[bool, Meta(description="plaintext beyond loopback")] = False
    secret_file: Annotated[
        Path | None,
        Meta(description="FHIR: file with the bearer token or, where user is set, the password; readable by us alone"),
    ] = None
    user: Annotated[str, Meta(description="FHIR: where the server asks for a name and a password")] = ""
    connections_max: Annotated[int, Meta(ge=1, le=64, description="messages under way at once")] = 8
    timeout_s: Annotated[float, Meta(gt=0, le=600, description="an answer that takes longer is none")] = 10.0
    attempts_max: Annotated[
        int, Meta(ge=1, le=1000, description="a message that the receiver asks for again so often is parked")
    ] = 10
    answers: Annotated[
        dict[str, Literal["accepted", "retry", "park"]],
        Meta(description="by MSA-1 or HTTP status, where the receiver means another thing", examples=[{"AR": "park"}]),
    ] = msgspec.field(default_factory=dict)
    identifier_systems: Annotated[
        dict[str, str],
        Meta(
            description="FHIR: the system that the receiver has for an authority's numbers (CX-4)",
            examples=[{"HOSP": "https://emr.example/mrn"}],
        ),
    ] = msgspec.field(default_factory=dict)
    hl7v2: Annotated[Hl7v2Config, Meta(description="how a destination of HL7 v2 wants its messages")] = Hl7v2Config()

    def __post_init__(self) -> None:
        """Raises ValueError for an address that cannot be spoken to, and for keys of the other protocol."""
        where = f"destination {self.name!r}"
        host, tls = self._fhir_host(where) if self.protocol == "fhir" else self._mllp_host(where)
        try:
            mend = "set tls_ca" if self.protocol == "hl7v2" else "write https"
            check_client(host, tls=tls, insecure=self.insecure, mend=mend)
        except UserError as error:
            raise ValueError(f"{where}: {error}") from None
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(f"{where}: tls_cert and tls_key need each other")
        if self.tls_cert and not tls:
            raise ValueError(f"{where}: tls_cert is of no use in plaintext: set tls_ca, or write https")
        if self.user and not self.secret_file:
            raise ValueError(f"{where}: user needs secret_file, the file with the password")
        self.begins_at()
        self._check_answers(where)

    def begins_at(self) -> datetime | None:
        """From when on a new destination gets what was charted; None: from now on. Raises ValueError."""
        if not self.begins:
            return None
        try:
            found = datetime.fromisoformat(self.begins)
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            raise ValueError(
                f"destination {self.name!r}: begins = {self.begins!r} is no instant: write 2026-11-24T10:00Z"
            )
        return found

    def mllp_address(self) -> tuple[str, int]:
        """Host and port of an MLLP listener."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)

    def _fhir_host(self, where: str) -> tuple[str, bool]:
        url = urlsplit(self.address)
        if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
            raise ValueError(f"{where}: address = {self.address!r} is no base URL: write https://host/fhir")
        if url.username is not None or url.password is not None:
            raise ValueError(f"{where}: a password stands in its address: name user and secret_file")
        if self.hl7v2 != Hl7v2Config():
            raise ValueError(f'{where}: [destination.hl7v2] is of no use with protocol = "fhir"')
        return url.hostname, url.scheme == "https"

    def _mllp_host(self, where: str) -> tuple[str, bool]:
        host, _, port = self.address.rpartition(":")
        if not host or "/" in host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{where}: address = {self.address!r} is no host:port: write emr.example:2575")
        if self.secret_file or self.user:
            raise ValueError(f"{where}: MLLP knows no token and no password: leave them out, or use tls_cert")
        return host.strip("[]"), self.tls_ca is not None

    def _check_answers(self, where: str) -> None:
        for code in self.answers:
            if self.protocol == "hl7v2" and code not in _ACK_CODES:
                raise ValueError(f"{where}: answers: {code!r} is none of {', '.join(_ACK_CODES)}")
            if self.protocol == "fhir" and not (code.isascii() and code.isdigit() and len(code) == 3):
                raise ValueError(f"{where}: answers: {code!r} is no HTTP status of three digits")


_ACK_CODES = ("AA", "AE", "AR", "CA", "CE", "CR")  # HL7 table 0008


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
    batch_layout: Annotated[
        int,
        Meta(
            ge=2,
            le=layout.LAYOUT,
            description="the newest layout of batches that is taken; a newer one is refused, and waits on its box."
            " Raise it once every worker reads the layout",
        ),
    ] = 2
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
    keep_sign_in_attempts_days: Annotated[
        int, Meta(ge=0, description="tries to sign in at the pages and of machines, failed or not; 0: for ever")
    ] = 365
    limits: Annotated[tuple[LimitConfig, ...], Meta(description="alarm limits")] = ()
    adt_source: Annotated[tuple[AdtSourceConfig, ...], Meta(description="admission offices")] = ()
    bed: Annotated[tuple[BedConfig, ...], Meta(description="the beds, by their names and as ADT spells them")] = ()
    chart: Annotated[ChartConfig, Meta(description="the chart")] = ChartConfig()
    destination: Annotated[
        tuple[DestinationConfig, ...], Meta(description="where chart entries go: docs/deliver.md")
    ] = ()

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
            ("destination", [destination.name for destination in self.destination]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"[[{what}]] {name!r} is there twice: keep one of them")
