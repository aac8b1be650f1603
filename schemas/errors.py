"""The errors that cross a boundary of packages, each with a reason that is counted."""


class VitalwireError(Exception):
    """Something that the user can cause and mend: shown as one line, never as a traceback."""


class FrameError(VitalwireError):
    """A frame that cannot be read; it is kept as a `rejected` report.

    `reason` is a short slug that is counted (`checksum`, `no-msh-10`); `detail` is for people and never holds a
    patient's identifier.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class LayoutError(VitalwireError):
    """Bytes that are not a batch, block, or signed statement in our one layout; `reason` is a slug that is counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class ConfigError(VitalwireError):
    """A configuration that cannot be used: file, line and mend are in the message."""
