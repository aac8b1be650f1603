"""Commands as people type them."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from runtime.errors import UserError
from schemas.errors import VitalwireError
from vitalwire.__main__ import app

CLAIM = "demo:nonin:1"


def vitalwire(command: str, *more: str) -> tuple[int, str]:
    """Exit code, and what is shown; as `main` makes one of errors."""
    result = CliRunner().invoke(app, [*command.split(), *more])
    if isinstance(result.exception, UserError | VitalwireError):
        return getattr(result.exception, "exit_code", 2), f"{result.output}{result.exception}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def as_json(command: str) -> Any:
    code, text = vitalwire(command, "--json")
    assert code == 0
    return json.loads(text)
