"""`vitalwire patients temporary` and `patients link`: a patient whom nobody can name, and who it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clinical.key_words import visit_words
from emr_store import temporary_patients
from emr_store.acts import this_user
from runtime import config as configuration
from stream_processors.attribute import site_of
from stream_processors.config import ProcessorsConfig
from vitalwire.output import as_json, cell, console
from vitalwire.record import Database, Json, Why, connect
from vitalwire.whose import instant

Config = Annotated[Path, typer.Option(help="processors.toml: its [[adt_source]] and [[bed]]")]


def patients_temporary(
    bed: Annotated[str, typer.Argument(help="the name of a [[bed]]")],
    why: Why,
    config: Config,
    since: Annotated[str, typer.Option(help="from when on: 2026-11-24T10:00Z; else now")] = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Put a patient whom nobody can name into a bed: vitalwire patients temporary ICU-07 --why 'found unconscious'."""
    site = site_of(configuration.load(config, ProcessorsConfig))
    moment = instant(since) if since else None
    with connect(database) as conn:
        made = temporary_patients.admit(conn, site, bed, since=moment, author=this_user(why))
    if json:
        as_json(made)
        return
    console.print(cell(f"the temporary patient {made.number} is in {bed} since {cell(made.since)}"), markup=False)
    console.print(cell(f"once it is known who it is: vitalwire patients link {made.number} PATIENT"), markup=False)


def patients_link(
    temporary: Annotated[str, typer.Argument(help="the number of the temporary patient: T...")],
    patient: Annotated[str, typer.Argument(help="a number of the patient, or of the visit that goes on from it")],
    why: Why,
    config: Config,
    database: Database = "",
    json: Json = False,
) -> None:
    """Say who a temporary patient is: vitalwire patients link T3f2a91c0 0000123 --why 'the family named him'."""
    site = site_of(configuration.load(config, ProcessorsConfig))
    with connect(database) as conn:
        linked = temporary_patients.link(conn, site, temporary, patient, author=this_user(why))
    if json:
        as_json(linked)
        return
    goes_on = f", and goes on as {visit_words(linked.encounter).en}" if linked.encounter else ""
    console.print(cell(f"{linked.number} is {linked.patient}{goes_on}"), markup=False)
