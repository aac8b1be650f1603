"""`vitalwire doctor`: one page of findings of the hospital side, each with its mend."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.people.sign_in_config import GatewayConfig
from runtime import config as configuration
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from stream_processors.config import ProcessorsConfig
from stream_processors.connection import conninfo
from vitalwire.backup.config import BackupConfig
from vitalwire.doctor.checks import CHECKS, findings
from vitalwire.doctor.readers import Sources, look
from vitalwire.output import as_json, cell, console
from vitalwire.record import INSECURE, Database, Json


def doctor(
    processors: Annotated[Path | None, typer.Option(help="processors.toml: the broker, certificates")] = None,
    gateway: Annotated[Path | None, typer.Option(help="gateway.toml: the page's certificate, its journal")] = None,
    backup: Annotated[Path | None, typer.Option(help="backup.toml")] = None,
    certificate: Annotated[list[Path] | None, typer.Option(help="another certificate's file; often")] = None,
    disk: Annotated[list[Path] | None, typer.Option(help="another folder whose disk counts: Kafka's; often")] = None,
    database: Database = "",
    json: Json = False,
) -> None:
    """What is wrong on the hospital side, or soon will be, and its mend; exit 4 on a finding: vitalwire doctor."""
    processors_config = configuration.load(processors, ProcessorsConfig) if processors else None
    where = database or (conninfo(processors_config) if processors_config is not None else "")
    if not where:
        raise UserError("nothing to look at is named: --processors processors.toml, or VITALWIRE_DATABASE")
    insecure = processors_config.insecure if processors_config is not None and not database else None
    facts = look(Sources(
        database=where, processors=processors_config,
        gateway=configuration.load(gateway, GatewayConfig) if gateway else None,
        backup=configuration.load(backup, BackupConfig) if backup else None,
        certificates=tuple(certificate or ()), disks=tuple(disk or ()),
        insecure=insecure or os.environ.get(INSECURE, "").lower() in ("1", "true"),
    ))  # fmt: skip
    found = findings(facts)
    if json:
        as_json({"findings": [each._asdict() for each in found], "not_looked": facts.not_looked})
    else:
        for each in found:
            console.print(cell(f"{each.severity.upper():8}{each.where}: {each.what}"), markup=False)
            console.print(cell(f"        mend: {each.mend}"), markup=False)
        wrong = {each.check for each in found}
        console.print(f"{len(found)} findings" if found else "no finding", markup=False)
        well = [f"{check.name} ({check.looks_at})" for check in CHECKS if check.name not in wrong and check.sees(facts)]
        if well:
            console.print(f"looked at, and well as far as it was seen: {', '.join(well)}", markup=False)
        for what, why in facts.not_looked.items():
            console.print(cell(f"not looked at: {what}: {why}"), markup=False)
    if found:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)
