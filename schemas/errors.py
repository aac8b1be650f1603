"""The errors that cross a boundary of packages, drawn in one place.

    VitalwireError          what a person can cause and mend: one line, never a traceback
     |- ConfigError         a configuration that cannot be used
     |- UnreadableError     bytes that are not what they should be; `reason` is counted
     |   |- FrameError      of a device's frame: any slug, its driver's own (docs/alarms.md)
     |   `- LayoutError     of a batch, block or signed statement: LayoutReason
     `- ServiceError        the store or the broker failed; `transient` where another attempt may do

`transient` is asked of each: whether the cause lies with a service, and not with what it was given.

Beside them stand: `runtime.errors.UserError`, of a package that knows none of ours; psycopg's errors, as
`emr_store.connect.StoreError`, and aiokafka's KafkaError, which a stage sees as ServiceErrors (`connect.store_errors`,
`stream_processors.broker.broker_errors`); and errors that never leave their package.
"""

from __future__ import annotations

from enum import StrEnum


class VitalwireError(Exception):
    """Something that the user can cause and mend: shown as one line, never as a traceback."""

    transient = False


class ConfigError(VitalwireError):
    """A configuration that cannot be used: file, line and mend are in the message."""


class UnreadableError(VitalwireError):
    """Bytes that are not what they should be.

    `reason` is a short slug that is counted (`checksum`, `no-msh-10`); `detail` is for people and never holds a
    patient's identifier.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class FrameError(UnreadableError):
    """A frame that cannot be read; it is kept as a `rejected` report."""


class LayoutReason(StrEnum):
    """Why bytes are not in our layout."""

    BATCH_NO = "batch-no"
    BODY_HASH = "body-hash"
    BODY_SIZE = "body-size"
    COUNTS = "counts"
    FOREIGN = "foreign"  # a receipt for another edge
    JSON = "json"
    MAGIC = "magic"
    NOT_CANONICAL = "not-canonical"
    PADDING = "padding"
    REPORT_TOO_LARGE = "report-too-large"
    ROOT = "root"
    SEAL = "seal"  # of another block, or over another validation
    SIGNATURE = "signature"
    SIZE = "size"
    TAIL = "tail"
    TEXT = "text"
    TOO_MANY_RECORDS = "too-many-records"
    UNKNOWN_ENUM = "unknown-enum"
    ZSTD = "zstd"


class LayoutError(UnreadableError):
    """Bytes that are not a batch, block, or signed statement in our one layout."""

    reason: LayoutReason

    def __init__(self, reason: LayoutReason, detail: str = "") -> None:
        super().__init__(reason, detail)


class ServiceError(VitalwireError):
    """A service did not do what it was asked; `reason` is what its client calls that.

    Where it is `transient` the same may be done when it is asked again; else it never will be.
    """

    def __init__(self, reason: str, detail: str, *, transient: bool) -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.transient = transient
