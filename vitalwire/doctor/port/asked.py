"""What `vitalwire doctor PORT` is asked, and what becomes of the source that it found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from edge_agent.config import EdgeConfig
from edge_agent.sources import plan_source
from runtime import config as configuration
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from runtime.whole_file import replace_file
from schemas.errors import ConfigError
from vitalwire.doctor.port.source_table import with_table
from vitalwire.doctor.port.words import Language
from vitalwire.output import console


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says."""

    port: str
    seconds: float
    probe: bool
    write: Path | None
    name: str
    record: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_ca: Path | None
    user: str
    password_file: Path | None
    insecure: bool
    language: Language
    json: bool


def finish(asked: Asked, found: str, *, is_certain: bool) -> None:
    """Print the table or write it into the file; raises typer.Exit where the answer is not certain."""
    if found and asked.write is not None:
        add_source(asked.write, found)
        if not asked.json:
            console.print(
                f"written into {asked.write}: see `vitalwire edge check --config {asked.write}`", markup=False
            )
    elif found and not asked.json:
        console.print(f"\n{found}", markup=False)
    if not is_certain:
        if asked.write is not None and not found:
            raise UserError(f"nothing is known that could be written into {asked.write}", EXIT_DOES_NOT_HOLD)
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def add_source(path: Path, found: str) -> None:
    """Add the table at the end of the file, if the whole is a good configuration then; else raises UserError."""
    path = path.resolve()
    text = configuration.read_text(path)
    before = configuration.decode(text, EdgeConfig, str(path), path.parent)
    after_text = with_table(text, found)
    try:
        after = configuration.decode(after_text, EdgeConfig, str(path), path.parent)
    except UserError as error:
        raise UserError(f"{path} is left as it is, for the table cannot stand at its end ({error}): paste it") from None
    new = after.source[-1]
    for source in before.source:
        if source.name == new.name:
            raise UserError(f"{path} is left as it is: it has a source {new.name!r}; give this one another --name")
        if source.link.address == new.link.address:
            raise UserError(f"{path} is left as it is: {source.name!r} has {new.link.address} already; change that one")
    try:
        plan_source(new, {})
    except ConfigError as error:
        raise UserError(f"{path} is left as it is: {error}") from None
    replace_file(path, after_text.encode(), path.stat().st_mode & 0o777)
