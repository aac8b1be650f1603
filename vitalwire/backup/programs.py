"""PostgreSQL's own programs, and a few of the system's that must run as PostgreSQL's user."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import UserError
from vitalwire.backup.config import BackupConfig

ERROR_LINES = 3
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_PERCENT = re.compile(r"\((\d+)%\)")
Progress = Callable[[str, float | None], None]  # what is done now, and how much of it from 0 to 1; None: not known


class Programs:
    """Runs them; what fails becomes a UserError with its last words and a mend."""

    def __init__(self, folder: Path, run_as: Sequence[str]) -> None:
        self._folder, self._run_as = folder, tuple(run_as)

    @classmethod
    def of(cls, config: BackupConfig) -> Programs:
        """Those of a configuration."""
        return cls(config.programs, config.prefix)

    def argv(self, name: str, *args: str | Path) -> list[str]:
        """The command line of one of PostgreSQL's."""
        return [*self._run_as, str(self._folder / name), *map(str, args)]

    def run(self, name: str, *args: str | Path, password: str = "", mend: str = "") -> str:
        """What it prints; raises UserError."""
        done = self._call(self.argv(name, *args), environment(password))
        if done.returncode != 0:
            raise UserError(_sentence(name, done.stderr or done.stdout, mend), 1)
        return done.stdout

    def as_owner(self, *command: str | Path, stdin: str = "", mend: str = "") -> str:
        """A program of the system (cp, mkdir, rm, sh) as PostgreSQL's user; what it prints. Raises UserError."""
        argv = [*self._run_as, *map(str, command)]
        done = self._call(argv, None, stdin)
        if done.returncode != 0:
            raise UserError(_sentence(str(command[0]), done.stderr, mend), 1)
        return done.stdout

    def remove(self, path: Path) -> None:
        """A folder with all that is in it, on its own file system; one that is not there is left alone."""
        if os.geteuid() == 0:  # root may have made it where PostgreSQL's user may not
            subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)
        else:
            self.as_owner("rm", "-rf", "--one-file-system", path)

    def tried(self, name: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """For a program whose exit code is an answer."""
        return self._call(self.argv(name, *args), environment(""))

    def watched(self, name: str, *args: str | Path, password: str, what: str, progress: Progress) -> None:
        """With `--progress`, whose lines end in a carriage return; raises UserError."""
        command = self.argv(name, *args)
        with _started(command), subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment(password), text=True, bufsize=1,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            last = list[str]()
            try:
                for line in process.stderr:  # text mode: a carriage return ends a line, too
                    found = _PERCENT.search(line)
                    if found:
                        progress(what, int(found[1]) / 100)
                    elif line.strip():
                        last = [*last, line.strip()][-ERROR_LINES:]
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise UserError(_sentence(name, "\n".join(last), "see docs/backup.md, Set up"), 1)

    def major_version(self) -> int:
        """Of these programs; raises UserError where there are none."""
        text = self.run("postgres", "--version", mend="name the server's own with `programs`")
        found = _VERSION.search(text)
        if found is None:
            raise UserError(f"{self._folder}: `postgres --version` prints {text.strip()!r}: name PostgreSQL's programs")
        return int(found[1])

    def _call(
        self, argv: list[str], environment: Mapping[str, str] | None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        with _started(argv):
            return subprocess.run(argv, input=stdin, capture_output=True, text=True, env=environment, check=False)


@contextmanager
def _started(argv: Sequence[str]) -> Iterator[None]:
    """A program that cannot be started, as one line with its mend."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{argv[0]} cannot be run: {error.strerror}: name PostgreSQL's programs with `programs` (Debian:"
            " /usr/lib/postgresql/VERSION/bin), and how they are called with `run_as`"
        ) from None


def environment(password: str) -> dict[str, str]:
    """Messages in English and instants in UTC; the password is seen by nobody else, unlike an argument."""
    found = dict(os.environ) | {"LC_ALL": "C", "TZ": "UTC"}
    return found | {"PGPASSWORD": password} if password else found


def _sentence(name: str, output: str, mend: str) -> str:
    lines = [line.strip() for line in output.strip().splitlines() if line.strip()][-ERROR_LINES:]
    return f"{name}: {' / '.join(lines) or 'it failed without a word'}{f': {mend}' if mend else ''}"
