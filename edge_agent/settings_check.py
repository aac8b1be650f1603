"""What the agent cannot start with, by its configuration alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import NamedTuple

from edge_agent.config import EdgeConfig, SourceConfig
from edge_agent.publisher import kafka_problem
from edge_agent.sources import plan_source
from schemas.errors import ConfigError


class CheckFinding(NamedTuple):
    """One line: where, what, and what to do about it; with `note` it works, and could be better."""

    where: str
    what: str
    mend: str = ""
    note: bool = False

    @property
    def wrong(self) -> bool:
        """Whether the agent would not work with it."""
        return bool(self.mend) and not self.note


def problem(where: str, text: str) -> CheckFinding:
    """Of one of our errors, which are written "what: mend"."""
    what, _, mend = text.removeprefix(f"{where}: ").partition(": ")
    return CheckFinding(where, what, mend or "see `vitalwire config sample edge`")


def settings_findings(config: EdgeConfig) -> Iterator[CheckFinding]:
    """What the agent cannot start with, whatever the sockets say."""
    try:
        uuid.UUID(config.edge)
    except ValueError:
        yield CheckFinding(
            "edge", f"{config.edge!r} is no edge id", "take the one that `vitalwire edge keygen` printed"
        )
    if wrong := kafka_problem(config):
        yield problem("kafka", wrong)
    names = [source.name for source in config.source]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield CheckFinding(name, "two sources have this name", "give each its own")
    for source in config.source:
        yield from source_findings(source)


def source_findings(source: SourceConfig) -> Iterator[CheckFinding]:
    """What a source cannot be opened with."""
    try:
        plan_source(source, {})
    except ConfigError as error:
        yield problem(source.name, str(error))
