"""The rows of `report`, every column of them, held against the batches that they are an index over.

What each row should be is what the writer makes of the same bytes (`emr_store.rows`). Both come as PostgreSQL's binary
COPY, so that an equal row is equal bytes; only a row that differs is taken apart.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from emr_store.batch_proof import Window
from emr_store.channel_index import channel_index
from emr_store.rows import COPY_HEAD, Chunk, report_rows
from emr_store.verification import NUMBER_MAX, NUMBER_MIN, Verification
from evidence.act import PATIENT_ERASE, Act
from schemas.adt import GROUP_CODE, PERSON_CODE, Identifier, decode_group
from schemas.filed_at import filed_at_us

_Array = NDArray[Any]
NO_NUMBER = -1  # of a device or a channel list that the store does not have

# A row of `report` in a binary COPY: two bytes of field count, then each field with four bytes of length. The first
# nine are of fixed width.
_FIXED = struct.Struct(">h iq iq ii ii ih ih iq iq ii".replace(" ", ""))
_LENGTH = struct.Struct(">i")
_COLUMNS = (
    "observed_at", "received_at", "device", "channel_set", "kind", "flags", "sequence", "batch", "leaf",
    "value", "decimals", "validity", "validation_result", "channel_index", "texts",
)  # fmt: skip
_VARIABLE = _COLUMNS[9:]
_NULL_LENGTH = -1
_END = b"\xff\xff"


# Where batch and leaf stand in it: what a row is known by.
_KEY = slice(2 + 12 + 12 + 8 + 8 + 6 + 6 + 12, _FIXED.size)
_KEY_FIELDS = struct.Struct(">iqii")


class ReportKey(NamedTuple):
    """Which report a row says that it is of."""

    batch: int
    leaf: int


def split_rows(stream: bytes) -> Iterator[bytes]:
    """The rows of a binary COPY of `report`."""
    at = len(COPY_HEAD)
    unpack = _LENGTH.unpack_from
    while stream[at : at + 2] != _END:
        start, at = at, at + _FIXED.size
        for _ in _VARIABLE:
            (length,) = unpack(stream, at)
            at += 4 if length == _NULL_LENGTH else 4 + length
        yield stream[start:at]


def report_key_of(row: bytes) -> ReportKey:
    """Which report this row says that it is of."""
    _, batch, _, leaf = _KEY_FIELDS.unpack(row[_KEY])
    return ReportKey(batch, leaf)


class Numbers:
    """The store's own numbers for devices and channel lists, read once."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self._device: dict[bytes, int] = {
            bytes(uuid) + bytes(edge): number
            for number, uuid, edge in conn.execute("SELECT device, uuid_send(uuid), uuid_send(edge) FROM device")
        }
        self._channel_set: dict[bytes, int] = {
            bytes(channels): number
            for number, channels in conn.execute("SELECT channel_set, channels FROM channel_set")
        }
        self._channels = {number: channels for channels, number in self._channel_set.items()}
        self._with_superset = [device for (device,) in conn.execute("SELECT device FROM superset")]

    def channel_set(self, channels: bytes) -> int:
        """Of a list, 12 bytes a channel."""
        return self._channel_set.get(channels, NO_NUMBER)

    def devices(self, window: Window) -> _Array:
        """Of each report's device, as heard through its edge."""
        device = window.table.device
        keys = np.empty((len(device), 32), np.uint8)
        keys[:, :16] = np.ascontiguousarray(device).view(np.uint8).reshape(-1, 16)
        edges = np.frombuffer(b"".join(batch.header.edge for batch in window.batches), np.uint8).reshape(-1, 16)
        keys[:, 16:] = np.repeat(edges, window.counts, axis=0)
        device_keys, which = np.unique(keys.view("V32").ravel(), return_inverse=True)
        return np.array([self._device.get(name.tobytes(), NO_NUMBER) for name in device_keys], np.int64)[which]

    def supersets(self, conn: psycopg.Connection, window: Window) -> Lists:
        """Of each report the superset that its row names; 0 where this has not all channels of the report, or none.

        The rows alone know which version of its device's superset a report was stored under.
        """
        superset = np.zeros(len(window.table), np.int64)
        if not self._with_superset:
            return Lists(superset, {})
        starts = dict(zip([b.row.batch for b in window.batches], np.cumsum([0, *window.counts]).tolist(), strict=False))
        counts = dict(zip([b.row.batch for b in window.batches], window.counts, strict=True))
        for batch, leaf, number in conn.execute(_SUPERSETS_SQL, (window.first, window.after)):
            if 0 <= leaf < counts.get(batch, 0) and number in self._channels:
                superset[starts[batch] + leaf] = number
        index = channel_index(window.table, superset, self._channels)
        superset[window.table.report_of_record[index == 0]] = 0
        return Lists(superset, self._channels)

    def list_unknown(self, chunk: Chunk, taken: _Array) -> _Array:
        """bool, a report each: retention took its row, and with it whether it was stored under a superset."""
        unknown: _Array = taken & ~chunk.in_superset & np.isin(chunk.device, self._with_superset)
        return unknown


class Lists(NamedTuple):
    """The superset of each report, and the channels of every list."""

    superset: _Array
    channels: dict[int, bytes]


_SUPERSETS_SQL = """
SELECT batch, leaf, channel_set FROM report WHERE batch >= %s AND batch < %s AND channel_index IS NOT NULL
"""


def chunk_of(conn: psycopg.Connection, window: Window, numbers: Numbers) -> Chunk:
    """The window as the writer has it."""
    table = window.table
    flags, validation_results, values = window.results
    lists = numbers.supersets(conn, window)
    return Chunk(
        table, flags, validation_results, values, device=numbers.devices(window), batch=window.batch, leaf=window.leaf,
        observed_at_us=filed_at_us(table.observed_at_us, table.received_at_us), channel_set_of=numbers.channel_set,
        superset=lists.superset, superset_channels=lists.channels,
    )  # fmt: skip


def kept_rows(conn: psycopg.Connection, window: Window) -> Iterator[bytes]:
    """All rows of `report` that name a batch of this window, as they lie, in the form of `split_rows`.

    By libpq's own calls, which give a row at a time: psycopg's COPY costs some ten times as much a row.
    """
    columns = ", ".join(_COLUMNS)
    # Numbers of ours, no text of anybody's.
    sql = (
        f"COPY (SELECT {columns} FROM report WHERE batch >= {window.first} AND batch < {window.after}) TO STDOUT BINARY"
    )
    result = conn.pgconn.exec_(sql.encode())
    if result.status != ExecStatus.COPY_OUT:
        raise error_from_result(result)
    is_first = True
    while True:
        size, data = conn.pgconn.get_copy_data(0)
        if size < 0:
            break
        row = bytes(data)
        if is_first:
            row, is_first = row[len(COPY_HEAD) :], False
        if row and row != _END:
            yield row
    while (last := conn.pgconn.get_result()) is not None:
        if last.status != ExecStatus.COMMAND_OK:
            raise error_from_result(last)


def check_rows(
    conn: psycopg.Connection, window: Window, chunk: Chunk | None, taken: _Array, erased: ErasedNames,
    result: Verification,
) -> None:  # fmt: skip
    """Step 6: every report of the window has its row, and no row is without a report.

    `chunk` is `chunk_of` the window, None where it has no batch; `taken`, a report each: retention may have taken it.
    """
    expected = {} if chunk is None else {row[_KEY]: row for row in split_rows(report_rows(chunk))}
    count = 0
    # Read to its end in any case: nothing else can be asked meanwhile.
    for row in kept_rows(conn, window):
        count += 1
        sealed = expected.pop(row[_KEY], None)
        if sealed == row or result.is_full:
            continue
        where = window.place(*report_key_of(row))
        if sealed is not None:
            differ = differences(row, sealed)
            result.add(where, *(f"the row's {name} {_is(name)} not what was sealed" for name in differ))
            if not differ and b'"erased"' in row:
                if erased.has_patient_of(sealed):
                    result.counts["erased"] += 1
                else:
                    result.add(where, "a patient's name was erased from its row, and no act has it so")
        elif not window.rests_on_nothing(*report_key_of(row)):
            result.add(where, "a row that no report stands behind")
    result.counts["report"] += count
    if expected and not result.is_full:
        _missing(window, [report_key_of(row) for row in expected.values()], taken, result)


def _is(name: str) -> str:
    return "are" if name.endswith("s") else "is"


def _missing(window: Window, keys: Sequence[ReportKey], taken: _Array, result: Verification) -> None:
    starts = dict(zip([b.row.batch for b in window.batches], np.cumsum([0, *window.counts]).tolist(), strict=False))
    for key in keys:
        if taken[starts[key.batch] + key.leaf]:
            result.counts["dropped"] += 1
        else:
            result.add(window.place(*key), "its row is gone")


def differences(kept: bytes, sealed: bytes) -> list[str]:
    """The columns that differ; none where a row only says the same in another way."""
    kept_fields, sealed_fields = _fields(kept), _fields(sealed)
    width = _width(sealed_fields[_COLUMNS.index("value")])
    return [
        name
        for name, left, right in zip(_COLUMNS, kept_fields, sealed_fields, strict=True)
        if left != right and not _same(name, left, right, width)
    ]


def _same(name: str, kept: bytes | None, sealed: bytes | None, width: int) -> bool:
    said, was_sealed = _plain(name, kept, width), _plain(name, sealed, width)
    if name == "texts" and isinstance(said, list) and isinstance(was_sealed, list) and len(said) == len(was_sealed):
        return all(left == right or _is_erased(left, right) for left, right in zip(said, was_sealed, strict=True))
    return said == was_sealed


def _is_erased(kept: dict[str, object], sealed: dict[str, object]) -> bool:
    """A patient's name that an act had erased (migration 0004): the row says so, and nothing else of it is changed."""
    named = {name: value for name, value in sealed.items() if name not in ("text", "note")}
    is_person = (named.get("system"), named.get("code")) == ("vitalwire", PERSON_CODE)
    return is_person and kept == {**named, "erased": True}


class ErasedNames:
    """The patients whose names acts had erased, by their keys (value^authority^type) as the acts have them."""

    def __init__(self, acts: Sequence[Act]) -> None:
        keys = [key for act in acts if act.kind == PATIENT_ERASE for key in act.details.get("patients", ())]
        self._keys = {key: key.rpartition("^")[2] for key in keys if isinstance(key, str)}

    def has_patient_of(self, sealed: bytes) -> bool:
        """Whether the ADT group of this report, as its batch has it, is of one of them."""
        texts = _fields(sealed)[_COLUMNS.index("texts")]
        said = json.loads(texts[1:]) if texts else []
        groups = [t.get("text", "") for t in said if (t.get("system"), t.get("code")) == ("vitalwire", GROUP_CODE)]
        try:
            numbers = [number for group in groups for number in decode_group(group).patients]
        except msgspec.MsgspecError:  # of a newer edge: no fact was made of it, so that no act had its name erased
            return False
        return any(self._has(number) for number in numbers)

    def _has(self, number: Identifier) -> bool:
        if number.authority:
            return f"{number.value}^{number.authority}^{number.type}" in self._keys
        # The authority is then the site's, by a configuration that is not at hand.
        return any(key.startswith(f"{number.value}^") and of == number.type for key, of in self._keys.items())


def _fields(row: bytes) -> list[bytes | None]:
    """The fields of a row: bytes, None for null."""
    fields: list[bytes | None] = []
    at = 2
    while at < len(row):
        (length,) = _LENGTH.unpack_from(row, at)
        at += 4
        fields.append(None if length == _NULL_LENGTH else row[at : at + length])
        at += max(0, length)
    return fields


def _width(array: bytes | None) -> int:
    return 0 if array is None or len(array) < 20 else int(struct.unpack_from(">i", array, 12)[0])


# What null stands for, a value each.
_DEFAULTS: dict[str, Callable[[int], Sequence[int]]] = {
    "decimals": lambda width: [128] * width,
    "validity": lambda width: [0] * width,
    "validation_result": lambda width: [0] * width,
    "channel_index": lambda width: range(1, width + 1),
}


def _plain(name: str, field: bytes | None, width: int) -> object:
    """What a column says, whichever way it is written."""
    if name == "texts":  # the byte before the JSON is the version of jsonb's binary form
        return None if field is None else json.loads(field[1:])
    if name not in _DEFAULTS:
        return field
    if field is None:
        return list(_DEFAULTS[name](width))
    return list(field) if name == "decimals" else _int2_array(field)


def _int2_array(field: bytes) -> list[int | None]:
    values: list[int | None] = []
    at = 20
    while at + _LENGTH.size <= len(field):
        (length,) = _LENGTH.unpack_from(field, at)
        at += 4
        values.append(None if length == _NULL_LENGTH else int.from_bytes(field[at : at + length], signed=True))
        at += max(0, length)
    return values


def taken_by_retention(conn: psycopg.Connection) -> dict[str, list[tuple[int, int, int]]]:
    """What retention took of each table: from and until (microseconds), and the newest batch at that time."""
    taken: dict[str, list[tuple[int, int, int]]] = {}
    for what, since_us, until_us, last_batch in conn.execute(_DROPPED_SQL, (NUMBER_MIN, NUMBER_MAX)):
        taken.setdefault(what, []).append((since_us, until_us, last_batch))
    return taken


_DROPPED_SQL = """
SELECT what, CASE WHEN isfinite(since) THEN (extract(epoch FROM since) * 1000000)::int8 ELSE %s END,
    CASE WHEN isfinite(until) THEN (extract(epoch FROM until) * 1000000)::int8 ELSE %s END, last_batch FROM dropped
"""


def may_be_gone(spans: Sequence[tuple[int, int, int]], batch: _Array, at_us: _Array) -> _Array:
    """Whether each report's rows lay in a partition that retention took, when it took it."""
    gone = np.zeros(len(at_us), bool)
    for since_us, until_us, last_batch in spans:
        gone |= (batch <= last_batch) & (at_us >= since_us) & (at_us < until_us)
    return gone
