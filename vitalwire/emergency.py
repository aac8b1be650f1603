"""`vitalwire people emergency`: sealed accounts for downtime."""

from __future__ import annotations

import typer

from emr_store import emergency
from emr_store.acts import this_user
from emr_store.connect import open_store
from gateway.people.emergency import ACCOUNTS, OPEN_H, hash_of, new_password
from vitalwire.output import console
from vitalwire.record import Database, explained

app = typer.Typer(help="Sealed accounts for downtime.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Sealed accounts for downtime."""


@app.command()
def seal(database: Database = "") -> None:
    """Make new passwords of both accounts and print them, once, for two envelopes: vitalwire people emergency seal."""
    passwords = {account: new_password() for account in ACCOUNTS}
    with explained(database), open_store(database) as conn:
        emergency.seal(
            conn, {account: hash_of(password) for account, password in passwords.items()}, this_user("sealed")
        )
    for account, password in passwords.items():
        console.print(f"{account}  {password}", markup=False)
    console.print(
        "Write each into an envelope of its own, and seal it: they are not shown again. What was sealed before"
        f" opens nothing. An opened one works for {OPEN_H} h, and the auditor learns of it at once: seal anew then.",
        markup=False,
    )
