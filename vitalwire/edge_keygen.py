"""`vitalwire edge keygen`: a box's signing key and id."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated

import typer

from runtime import keys
from vitalwire.output import console


def keygen(path: Annotated[Path, typer.Argument(help="file to make; .pub goes beside it")] = Path("edge.key")) -> None:
    """Make this box's signing key and id, which a person registers: vitalwire edge keygen edge.key."""
    key, edge, public = keys.generate(path), uuid.uuid4(), path.with_suffix(".pub")
    console.print(f"{path} and {public} are made. In this box's edge.toml:\n", markup=False)
    console.print(f'edge = "{edge}"\nkey_file = "{path}"\n', markup=False)
    console.print(f"Copy {public} to the hospital's side, and register it there:\n", markup=False)
    console.print(f"vitalwire registry edge add {edge} {public} --label 'ICU box 2'\n", markup=False, soft_wrap=True)
    console.print(f"Compare what that prints: {keys.fingerprint(key.public_der)}", markup=False)
