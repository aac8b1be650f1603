"""The one error of this room: something that a person can mend, said in one line."""


class UserError(Exception):
    """Shown as one line with its mend, never as a traceback.

    Exit codes, the same for every command: 1 anything else, 2 usage or configuration, 3 something cannot be reached,
    4 something does not balance or does not verify.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
