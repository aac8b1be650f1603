"""The command line: one line for what went wrong, with its mend; exit codes in README."""

from __future__ import annotations

import sys

import typer

from runtime.errors import UserError
from schemas.errors import VitalwireError
from vitalwire import (
    access,
    acts,
    adt,
    alarms,
    audit,
    chart,
    custody,
    deliver,
    devices,
    edge,
    edge_registry,
    emergency,
    hold,
    log,
    mapping,
    patients,
    people,
    people_client,
    people_keys,
    processors,
    record,
    simulate,
    worklist,
)
from vitalwire.demo import demo
from vitalwire.edge_read import drivers, read
from vitalwire.edge_witness import witness
from vitalwire.output import cell
from vitalwire.page import page
from vitalwire.sheet import sheet
from vitalwire.status import status
from vitalwire.verify import verify
from vitalwire.whose import whose

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From the socket of a bedside device into the record. First: vitalwire demo (or make run).",
)
app.command()(demo)
edge.app.command()(read)
edge.app.command()(drivers)
edge.app.command()(witness)
app.add_typer(edge.app, name="edge")
app.add_typer(processors.app, name="processors")
app.command()(page)
app.command()(sheet)
for command in (status, record.latest, record.ledger, verify, whose, record.migrate):
    app.command()(command)
app.add_typer(alarms.app, name="alarms")
app.add_typer(devices.app, name="devices")
app.add_typer(patients.app, name="patients")
people.app.add_typer(emergency.app, name="emergency")
people.app.add_typer(people_client.app, name="client")
people.app.add_typer(people_keys.keys, name="key")
people.app.add_typer(people_keys.displays, name="display")
app.add_typer(people.app, name="people")
app.add_typer(worklist.app, name="worklist")
app.add_typer(chart.app, name="chart")
app.add_typer(custody.app, name="custody")
app.add_typer(deliver.app, name="deliver")
app.add_typer(adt.app, name="adt")
app.add_typer(mapping.app, name="mapping")
app.add_typer(record.dead, name="dead")
app.add_typer(log.app, name="log")
registry = typer.Typer(help="Who is believed.", no_args_is_help=True)
registry.add_typer(edge_registry.app, name="edge")
app.add_typer(registry, name="registry")
app.add_typer(acts.app, name="acts")
app.add_typer(access.app, name="access")
app.add_typer(audit.app, name="audit")
app.add_typer(hold.app, name="hold")
app.add_typer(simulate.app, name="simulate")
app.add_typer(edge.config_app, name="config")


def main() -> None:
    """Entry point."""
    try:
        app()
    except UserError as error:
        _fail(str(error), error.exit_code)
    except VitalwireError as error:
        _fail(str(error), 2)
    except OSError as error:
        _fail(": ".join(map(str, filter(None, (error.filename, error.strerror or str(error))))), 1)


def _fail(text: str, code: int) -> None:
    typer.echo(f"vitalwire: {cell(text)}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
