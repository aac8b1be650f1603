"""How a command ends that cannot do what it was asked to: one line with the mend, and an exit code (README)."""

from __future__ import annotations

import sys
from typing import NoReturn

from runtime.errors import UserError
from schemas.errors import VitalwireError

EXPECTED = (UserError, VitalwireError, OSError)  # what a person can mend


def fail(error: Exception) -> NoReturn:
    """Say one of EXPECTED and end."""
    from vitalwire.output import cell  # rich, which not every command needs

    match error:
        case UserError():
            text, code = str(error), error.exit_code
        case OSError():
            text, code = ": ".join(map(str, filter(None, (error.filename, error.strerror or str(error))))), 1
        case _:
            text, code = str(error), 2
    sys.stderr.write(f"vitalwire: {cell(text)}\n")
    sys.exit(code)
