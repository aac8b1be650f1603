"""The table of a receiver: each result as it stands now, each version of it, and the messages that it came by."""

from __future__ import annotations

import html
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

ROWS_ON_A_PAGE = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS result (
    row INTEGER PRIMARY KEY, identity TEXT NOT NULL, code TEXT NOT NULL, display TEXT NOT NULL, patient TEXT NOT NULL,
    encounter TEXT NOT NULL, place TEXT NOT NULL, device TEXT NOT NULL, value TEXT NOT NULL, unit TEXT NOT NULL,
    status TEXT NOT NULL, observed_at TEXT NOT NULL, message_id TEXT NOT NULL, received_at TEXT NOT NULL,
    version INTEGER NOT NULL, way TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS result_identity ON result (identity, code);
CREATE TABLE IF NOT EXISTS result_version (
    row INTEGER NOT NULL, version INTEGER NOT NULL, patient TEXT NOT NULL, value TEXT NOT NULL, unit TEXT NOT NULL,
    status TEXT NOT NULL, message_id TEXT NOT NULL, received_at TEXT NOT NULL, PRIMARY KEY (row, version));
CREATE TABLE IF NOT EXISTS message (
    control_id TEXT PRIMARY KEY, answer BLOB NOT NULL, received_at TEXT NOT NULL, times INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS resource (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, json TEXT NOT NULL, updated_at TEXT NOT NULL,
    PRIMARY KEY (kind, id, version));
CREATE TABLE IF NOT EXISTS resource_identifier (
    kind TEXT NOT NULL, system TEXT NOT NULL, value TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (kind, system, value, id));
"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One result. `value` is as it came; `way` is hl7 or fhir; `status` is that of OBX-11, or FHIR's."""

    identity: str
    code: str
    display: str
    patient: str
    encounter: str
    place: str
    device: str
    value: str
    unit: str
    status: str
    observed_at: str
    message_id: str
    way: str


@dataclass(frozen=True, kw_only=True)
class Row(Result):
    """A result that is filed; `version` counts from 1."""

    row: int
    received_at: str
    version: int


_COLUMNS = [field.name for field in fields(Result)]
_ROW_COLUMNS = [field.name for field in fields(Row)]
_SHOWN = (
    "patient", "encounter", "place", "code", "display", "value", "unit", "status", "observed_at", "version", "way",
    "received_at", "identity", "message_id",
)  # fmt: skip


def now_text() -> str:
    """The receiver's own clock."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Table:
    """In a file, which outlives the process, or (None) in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self.db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.executescript(_SCHEMA)

    def close(self) -> None:
        """No more of it."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or, where it raises, nothing."""
        self.db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def find(self, identity: str, code: str = "") -> Row | None:
        """The newest row of a result; `code`: of this one alone, where several have the identity."""
        where = "WHERE identity = ? AND (? = '' OR code = ?) ORDER BY row DESC LIMIT 1"
        rows = self.rows(where, (identity, code, code))
        return rows[0] if rows else None

    def file(self, result: Result, earlier: Row | None) -> Row:
        """As the next version of an earlier row, or (None) as a row of its own."""
        received_at = now_text()
        values = asdict(result)
        if earlier is None:
            names = [*_COLUMNS, "received_at", "version"]
            marks = ", ".join("?" * len(names))
            statement = f"INSERT INTO result ({', '.join(names)}) VALUES ({marks})"
            number, version = self.db.execute(statement, [*values.values(), received_at, 1]).lastrowid or 0, 1
        else:
            number, version = earlier.row, earlier.version + 1
            names = [*_COLUMNS, "received_at", "version"]
            statement = f"UPDATE result SET {', '.join(f'{name} = ?' for name in names)} WHERE row = ?"
            self.db.execute(statement, [*values.values(), received_at, version, number])
        self.db.execute(
            "INSERT INTO result_version VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [number, version, result.patient, result.value, result.unit, result.status, result.message_id, received_at],
        )
        return Row(**values, row=number, received_at=received_at, version=version)

    def rows(self, where: str = "ORDER BY row", values: tuple[object, ...] = ()) -> list[Row]:
        """All, or those that SQL says."""
        found = self.db.execute(f"SELECT {', '.join(_ROW_COLUMNS)} FROM result {where}", values)
        return [Row(**dict(zip(_ROW_COLUMNS, row, strict=True))) for row in found]

    def versions(self, row: int) -> list[dict[str, object]]:
        """Of one result, from the first on."""
        names = ["version", "patient", "value", "unit", "status", "message_id", "received_at"]
        found = self.db.execute(f"SELECT {', '.join(names)} FROM result_version WHERE row = ? ORDER BY version", [row])
        return [dict(zip(names, values, strict=True)) for values in found]

    def answer_of(self, control_id: str) -> bytes | None:
        """The answer that this message had before; counts that it came again."""
        self.db.execute("UPDATE message SET times = times + 1 WHERE control_id = ?", [control_id])
        found = self.db.execute("SELECT answer FROM message WHERE control_id = ?", [control_id]).fetchone()
        return bytes(found[0]) if found else None

    def keep_answer(self, control_id: str, answer: bytes) -> None:
        """For when the message comes again."""
        self.db.execute("INSERT OR REPLACE INTO message VALUES (?, ?, ?, 1)", [control_id, answer, now_text()])

    def as_json(self) -> dict[str, object]:
        """Every result with its versions."""
        return {"results": [{**asdict(row), "versions": self.versions(row.row)} for row in self.rows()]}

    def as_text(self) -> str:
        """The newest, in columns."""
        lines = [_SHOWN, *(self._shown(row) for row in self._newest())]
        widths = [max(len(line[n]) for line in lines) for n in range(len(_SHOWN))]
        texts = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
        return "".join(f"{text.rstrip()}\n" for text in texts)

    def as_html(self, faults: str) -> str:
        """A page that shows the newest and renews itself."""
        head = "".join(f"<th>{name}" for name in _SHOWN)
        body = "".join(
            f'<tr class="{html.escape(row.status)}">' + "".join(f"<td>{html.escape(c)}" for c in self._shown(row))
            for row in self._newest()
        )
        (count,) = self.db.execute("SELECT count(*) FROM result").fetchone()
        return (
            '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>EMR</title>'
            "<style>body{font:14px system-ui;margin:1em}td,th{padding:.2em .6em;text-align:left;"
            "border-bottom:1px solid #ccc;white-space:nowrap}.W,.D,.entered-in-error{text-decoration:line-through}"
            f"</style><h1>A simulated EMR</h1><p>{count} results. Faults: {html.escape(faults)}.</p>"
            f"<table><tr>{head}{body}</table>"
        )

    def _newest(self) -> list[Row]:
        return self.rows("ORDER BY received_at DESC, row DESC LIMIT ?", (ROWS_ON_A_PAGE,))

    def _shown(self, row: Row) -> tuple[str, ...]:
        return tuple(str(getattr(row, name)) for name in _SHOWN)
