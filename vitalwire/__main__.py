"""The command line: one line for what went wrong, with its mend; exit codes in README."""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1:3] == ["edge", "run"]:
    from vitalwire.agent import run_as_asked

    run_as_asked(sys.argv[1:])  # and no further, unless typer is to say what is wrong

import typer

from vitalwire.failing import EXPECTED, fail
from vitalwire.on_demand import on_demand

COMMANDS = {
    "demo": "vitalwire.demo:demo",
    "page": "vitalwire.page:page",
    "login": "vitalwire.login:login",
    "logout": "vitalwire.login:logout",
    "whoami": "vitalwire.login:whoami",
    "sheet": "vitalwire.sheet:sheet",
    "status": "vitalwire.status:status",
    "latest": "vitalwire.record:latest",
    "ledger": "vitalwire.record:ledger",
    "verify": "vitalwire.verify:verify",
    "whose": "vitalwire.whose:whose",
    "migrate": "vitalwire.record:migrate",
    "edge": "vitalwire.edge:app",
    "record": "vitalwire.recordings:app",
    "processors": "vitalwire.processors:app",
    "alarms": "vitalwire.alarms:app",
    "devices": "vitalwire.devices:app",
    "patients": "vitalwire.patients:app",
    "people": "vitalwire.people:app",
    "worklist": "vitalwire.worklist:app",
    "chart": "vitalwire.chart:app",
    "custody": "vitalwire.custody:app",
    "deliver": "vitalwire.deliver:app",
    "adt": "vitalwire.adt:app",
    "mapping": "vitalwire.mapping:app",
    "dead": "vitalwire.record:dead",
    "log": "vitalwire.log:app",
    "registry": "vitalwire.edge_registry:registry_app",
    "pki": "vitalwire.pki:app",
    "acts": "vitalwire.acts:app",
    "access": "vitalwire.access:app",
    "audit": "vitalwire.audit:app",
    "hold": "vitalwire.hold:app",
    "simulate": "vitalwire.simulate:app",
    "backup": "vitalwire.backup.commands:app",
    "restore": "vitalwire.backup.commands:restore",
    "doctor": "vitalwire.doctor.commands:doctor",
    "config": "vitalwire.config_files:app",
    "scaling": "vitalwire.scaling:scaling",
    "deploy": "vitalwire.deploy_secrets:app",
}
app = typer.Typer(
    cls=on_demand(COMMANDS),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From the socket of a bedside device into the record. First: vitalwire demo (or make run).",
)


@app.callback()
def _vitalwire() -> None:
    """Nothing that holds for all commands."""


def main() -> None:
    """Entry point."""
    try:
        app()
    except EXPECTED as error:
        fail(error)


if __name__ == "__main__":
    main()
