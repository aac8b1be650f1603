"""The one error of this package, something that a person can mend, said in one line; and what a process exits with."""

# The same for every command; 1 is anything else.
EXIT_USAGE = 2  # or configuration
EXIT_UNREACHABLE = 3
EXIT_DOES_NOT_HOLD = 4  # it does not balance, or does not verify


class UserError(Exception):
    """Shown as one line with its mend, never as a traceback."""

    def __init__(self, message: str, exit_code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
