"""`vitalwire doctor` without a port: one page of findings of the hospital side, each with its mend."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

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
from vitalwire.record import INSECURE


def look_at_hospital(
    processors: Path | None, gateway: Path | None, backup: Path | None, certificates: Sequence[Path],
    disks: Sequence[Path], database: str, *, json: bool,
) -> None:  # fmt: skip
    """Print what is wrong; raises typer.Exit on a finding, and UserError."""
    processors_config = configuration.load(processors, ProcessorsConfig) if processors else None
    where = database or (conninfo(processors_config) if processors_config is not None else "")
    if not where:
        raise UserError("nothing to look at is named: --processors processors.toml, or VITALWIRE_DATABASE")
    insecure = processors_config.insecure if processors_config is not None and not database else None
    facts = look(Sources(
        database=where, processors=processors_config,
        gateway=configuration.load(gateway, GatewayConfig) if gateway else None,
        backup=configuration.load(backup, BackupConfig) if backup else None,
        certificates=tuple(certificates), disks=tuple(disks),
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
