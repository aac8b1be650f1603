"""Where looks are kept while the store is away: a file that is appended to, on disk before anything is sent.

A line is the JSON of one entry: `{"look": {...}}`, `{"end": {...}}` or `{"review": {...}}`, of emr_store's dataclasses.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import msgspec
import structlog

from emr_store.looks import Entry, Look, LookEnd
from emr_store.reviews import Review
from runtime.errors import UserError

BYTES_MAX = 64 * 1024 * 1024  # some hundred thousand looks; then nothing is sent that cannot be kept
_log = structlog.get_logger("looks")


class JournalError(Exception):
    """It could not be written to disk: full, or at its limit."""


class _Line(msgspec.Struct, omit_defaults=True):
    look: Look | None = None
    end: LookEnd | None = None
    review: Review | None = None


class LookJournal:
    """One process has it open. Not for several threads at once: its user sees to that."""

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        """Makes it where there is none; raises UserError where it cannot be used."""
        self._path, self._bytes_max = path, bytes_max
        self._unreadable: list[bytes] = []
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.fchmod(self._file, 0o600)
        except OSError as error:
            raise UserError(f"the journal of looks {path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise UserError(
                f"the journal of looks {path} is another process's: give each its own (--look-journal)"
            ) from None
        _sync_folder(path.parent)
        self._size = os.fstat(self._file).st_size
        self._cut_torn_end()

    @property
    def unreadable_path(self) -> Path:
        """Where lines are that could not be read."""
        return self._path.with_name(f"{self._path.name}.unreadable")

    @property
    def is_empty(self) -> bool:
        """Whether all of it came home."""
        return self._size == 0

    def append(self, entries: list[Entry]) -> None:
        """On disk when it returns; raises JournalError, and then nothing of it is there."""
        text = b"".join(_encode(entry) for entry in entries)
        if self._size + len(text) > self._bytes_max:
            raise JournalError(f"{self._path} has reached {self._bytes_max} bytes")
        try:
            written = 0
            while written < len(text):
                written += os.pwrite(self._file, text[written:], self._size + written)
            os.fdatasync(self._file)
        except OSError as error:
            with suppress(OSError):  # where even that fails, the next line is written over it
                self._cut(self._size)
            raise JournalError(f"{self._path}: {error.strerror}") from error
        self._size += len(text)

    def entries(self) -> list[Entry]:
        """All of them, the oldest first. A line that is none is kept aside by `clear`, and logged: nobody loses it."""
        found: list[Entry] = []
        self._unreadable = []
        for number, line in enumerate(os.pread(self._file, self._size, 0).splitlines(), 1):
            try:
                read = msgspec.json.decode(line, type=_Line)
            except msgspec.MsgspecError:
                _log.error("a line of the journal of looks cannot be read", file=str(self._path), line=number)
                self._unreadable.append(line)
                continue
            found += [entry for entry in (read.look, read.end, read.review) if entry is not None]
        return found

    def clear(self) -> None:
        """All of it came home; what could not be read goes into a file beside it."""
        if self._unreadable:
            aside = os.open(self.unreadable_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(aside, b"".join(line + b"\n" for line in self._unreadable))
                os.fsync(aside)
            finally:
                os.close(aside)
            self._unreadable = []
        self._cut(0)
        self._size = 0

    def close(self) -> None:
        """Another process may have it."""
        os.close(self._file)

    def _cut_torn_end(self) -> None:
        """A line without its end was never on disk as a whole, so that nothing was sent upon it."""
        text = os.pread(self._file, self._size, 0)
        whole = text.rfind(b"\n") + 1
        if whole < self._size:
            self._cut(whole)
            self._size = whole

    def _cut(self, size: int) -> None:
        os.ftruncate(self._file, size)
        os.fsync(self._file)


def _encode(entry: Entry) -> bytes:
    name = {Look: "look", LookEnd: "end", Review: "review"}[type(entry)]
    return msgspec.json.encode({name: asdict(entry)}) + b"\n"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
