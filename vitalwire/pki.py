"""`vitalwire pki`: the hospital's own small certificate authority, for the boxes' certificates towards Kafka."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from runtime.errors import UserError
from runtime.pki import CRL_LASTS, Issued, Pki, issued
from runtime.whole_file import replace_file
from vitalwire.output import as_json, cell, console, table
from vitalwire.record import Json

app = typer.Typer(help="The boxes' certificates for Kafka.", no_args_is_help=True)
Folder = Annotated[Path, typer.Option(help="of the authority")]
PassphraseFile = Annotated[Path, typer.Option(help="opens its key; mode 600; not in the same backup as the folder")]
FOLDER, PASSPHRASE_FILE = Path("pki"), Path("pki.passphrase")


@app.command("init")
def pki_init(
    name: Annotated[str, typer.Option(help="of the authority, as certificates say it")],
    folder: Folder = FOLDER,
    passphrase_file: PassphraseFile = PASSPHRASE_FILE,
) -> None:
    """Make an authority: vitalwire pki init --name 'Hospital X boxes'

    The passphrase is made too, where there is no such file.
    """
    if not passphrase_file.exists():
        try:
            with open(passphrase_file, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(f"{secrets.token_hex(24)}\n")
        except OSError as error:
            raise UserError(f"{passphrase_file} cannot be written: {error.strerror}") from None
        console.print(f"{passphrase_file} is made: keep a copy apart from {folder}", markup=False)
    made = Pki.create(folder, name, passphrase_file)
    console.print(
        f"{made.folder / 'ca.crt'} is made: the broker must trust it for clients (ssl.truststore)", markup=False
    )
    console.print("In gateway.toml, so that boxes get and renew their certificates by themselves:\n", markup=False)
    console.print(f'[pki]\nfolder = "{folder}"\npassphrase_file = "{passphrase_file}"', markup=False)


@app.command("issue")
def pki_issue(
    request: Annotated[Path, typer.Argument(help="the box's kafka.csr")],
    edge: Annotated[UUID, typer.Option(help="the id that it was registered with")],
    out: Annotated[Path | None, typer.Option(help="file to write; else kafka.crt beside the request")] = None,
    folder: Folder = FOLDER,
    passphrase_file: PassphraseFile = PASSPHRASE_FILE,
) -> None:
    """Issue a certificate by hand: vitalwire pki issue kafka.csr --edge 0b7c2f3e-..."""
    try:
        csr = request.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{request} cannot be read: {getattr(error, 'strerror', 'it is not PEM')}") from None
    found = Pki.open(folder, passphrase_file).issue(csr, str(edge))
    path = out or request.with_name("kafka.crt")
    replace_file(path, found.pem.encode())
    console.print(f"{path}: certificate {found.serial} of {edge} until {cell(found.not_after)}", markup=False)


@app.command("list")
def pki_list(folder: Folder = FOLDER, json: Json = False) -> None:
    """Every certificate that was issued: vitalwire pki list"""
    found = issued(folder)
    if json:
        as_json([{name: value for name, value in vars(each).items() if name != "public_der"} for each in found])
    else:
        table("Certificates", ("serial", "edge", "until", "state", "why"), map(_row, found))


def _row(each: Issued) -> Sequence[object]:
    state = "revoked" if each.revoked_at else "valid" if each.is_valid(datetime.now(UTC)) else "ended"
    return each.serial, each.name, each.not_after, state, each.why


@app.command("revoke")
def pki_revoke(
    serial: Annotated[str, typer.Argument(help="as `vitalwire pki list` has it")],
    why: Annotated[str, typer.Option(help="the reason, kept beside it")],
    folder: Folder = FOLDER,
    passphrase_file: PassphraseFile = PASSPHRASE_FILE,
) -> None:
    """Revoke a certificate, and write the CRL: vitalwire pki revoke 3f0a... --why 'box stolen'

    Kafka reads no CRL file: what keeps the box out is vitalwire registry edge revoke, and the broker's ACL of its name.
    """
    found = Pki.open(folder, passphrase_file).revoke(serial, why)
    console.print(f"revoked {found.serial} of {found.name}; {folder / 'crl.pem'} says so", markup=False)
    console.print(f"and the box itself: vitalwire registry edge revoke {found.name} --why ...", markup=False)


@app.command("crl")
def pki_crl(folder: Folder = FOLDER, passphrase_file: PassphraseFile = PASSPHRASE_FILE) -> None:
    """Write the CRL anew, before it ends: vitalwire pki crl"""
    Pki.open(folder, passphrase_file).write_crl()
    console.print(f"{folder / 'crl.pem'} is good for {CRL_LASTS.days} days", markup=False)
