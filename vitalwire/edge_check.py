"""`vitalwire edge check`: whether a box's configuration works, tried against the real world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_agent import check as checks
from edge_agent.config import EdgeConfig
from edge_agent.downtime.check import downtime_findings
from edge_agent.settings_check import CheckFinding, settings_findings
from edge_agent.sources import load_edge
from runtime.errors import EXIT_USAGE, UserError
from schemas import topics
from schemas.report import Lane
from vitalwire.broker import topics_of
from vitalwire.output import as_json, console

Config = Annotated[Path, typer.Option(help="TOML file; vitalwire config sample edge")]
Json = Annotated[bool, typer.Option("--json", help="for scripts")]


def check(config: Config = Path("edge.toml"), json: Json = False) -> None:
    """Try a configuration's files, sockets and broker: vitalwire edge check. Exit 2 where something is wrong."""
    settings = load_edge(config)
    found: list[CheckFinding] = []

    def show(finding: CheckFinding) -> None:
        found.append(finding)
        if not json:
            mark, mend = ("WRONG" if finding.wrong else "note " if finding.mend else "ok   "), finding.mend
            console.print(f"{mark} {finding.where}: {finding.what}{f': {mend}' if mend else ''}", markup=False)

    asyncio.run(_check(settings, show))
    if json:
        as_json([{**f._asdict(), "wrong": f.wrong} for f in found])
    if any(f.wrong for f in found):
        raise typer.Exit(EXIT_USAGE)


async def _check(settings: EdgeConfig, show: Callable[[CheckFinding], None]) -> None:
    unusable = list(settings_findings(settings))
    broker = await asyncio.to_thread(_broker, settings)
    for finding in (*unusable, *checks.files(settings), *checks.senders(settings), checks.metrics(settings), broker):
        show(finding)
    for finding in downtime_findings(settings, datetime.now(UTC)):
        show(finding)
    if (ends := checks.certificate(settings, datetime.now(UTC))) is not None:
        show(ends)
    for source in settings.source:
        for maybe in (checks.time_zone(source), checks.steady(source)):
            if maybe is not None:
                show(maybe)
        if source.name not in {finding.where for finding in unusable}:
            show(await checks.socket(source))
    if not settings.source:
        show(CheckFinding("source", "none is configured", "write a [[source]]: `vitalwire config sample edge`"))


def _broker(settings: EdgeConfig) -> CheckFinding:
    """Whether the broker answers, and has the topics that the processors create."""
    try:
        known = topics_of(
            settings.kafka, settings.kafka_ca, settings.kafka_cert, settings.kafka_key, insecure=settings.insecure
        )
    except UserError as error:
        return CheckFinding("kafka", str(error), "is it started, and no firewall between?")
    missing = ", ".join(name for name in (*map(topics.raw, Lane), topics.RECEIPTS) if name not in known)
    if missing:
        mend = "start the processors, which create them: vitalwire processors run"
        return CheckFinding("kafka", f"{settings.kafka} answers, and lacks the topics {missing}", mend)
    return CheckFinding("kafka", f"{settings.kafka} answers, and has the topics")
