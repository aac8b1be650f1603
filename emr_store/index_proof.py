"""The rows of `device_alarm`, `device_setting`, `waveform` and `channel`, held against what they point into."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import psycopg

from emr_store.batch_proof import Window
from emr_store.channel_sets import columns_of
from emr_store.device_state import alarms, channels, settings
from emr_store.row_proof import may_be_gone
from emr_store.rows import Chunk, stretches
from emr_store.texts import number
from emr_store.verification import NUMBER_MIN, Verification
from schemas.layout import CHANNEL_BYTES
from schemas.report import Kind

TABLES = ("waveform", "device_alarm", "device_setting")
Row = tuple[Any, ...]  # batch, leaf, record, device, instant, then what the table says of it
_PLACE = 3  # how many of these say where it is


def expected_rows(chunk: Chunk) -> dict[str, Counter[Row]]:
    """The rows that these reports have in each table."""
    table = chunk.table

    def report_key(report: int, record: int) -> Row:
        return (int(chunk.batch[report]), int(chunk.leaf[report]), record, int(chunk.device[report]),
                int(chunk.observed_at_us[report]))  # fmt: skip

    waves: Counter[Row] = Counter()
    for report, record, s in stretches(table, np.flatnonzero(table.kind == Kind.WAVEFORM)):
        index = int(table.record_start[report]) + record
        channel = (int(table.code[index]), int(table.channel[index]))
        waves[
            (*report_key(report, record), *channel, s.rate_numerator, s.rate_denominator, s.first_sample, s.count)
        ] += 1
    return {
        "waveform": waves,
        "device_alarm": Counter(
            (*report_key(reported.report, reported.record), *reported[2:-1], a.condition, a.state, a.priority, a.kind,
             a.since_us, number(a.low), number(a.high), a.latched, a.audio_paused, a.text)
            for reported in alarms(table) for a in [reported.alarm]
        ),
        "device_setting": Counter(
            (*report_key(reported.report, reported.record), *reported[2:]) for reported in settings(table, chunk.values)
        ),
    }  # fmt: skip


def check_index(
    conn: psycopg.Connection, window: Window, chunk: Chunk | None, taken: Mapping[str, list[tuple[int, int, int]]],
    result: Verification,
) -> None:  # fmt: skip
    """Step 6, the other tables: what these batches say of waves, alarms and settings is there, and nothing else is."""
    expected = expected_rows(chunk) if chunk is not None else {what: Counter() for what in TABLES}
    for what in TABLES:
        rows = conn.execute(_SQL[what].encode(), {"first": window.first, "after": window.after}).fetchall()
        result.counts[what] += len(rows)
        kept = Counter(rows)
        missing, strange = expected[what] - kept, kept - expected[what]
        for row in missing:
            if not may_be_gone(taken.get(what, ()), np.array([row[0]]), np.array([row[4]]))[0]:
                changed = "its row is gone, or is not what was sealed"
                result.add(_words(window, row), f"{what}: {changed}")
        changed_places = {row[:_PLACE] for row in missing}
        for row in strange:
            if row[:_PLACE] not in changed_places and row[0] not in window.damaged:
                result.add(_words(window, row), f"{what}: a row that no report stands behind")


def _words(window: Window, row: Row) -> str:
    return f"{window.place(row[0], row[1])} record {row[2]}"


def _sql(table: str, instant: str, reported: str) -> str:
    return f"""
SELECT t.batch, t.leaf, t.record, t.device, (extract(epoch FROM t.{instant}) * 1000000)::int8, {reported}
FROM {table} t WHERE t.batch >= %(first)s AND t.batch < %(after)s
"""


_SQL = {
    "waveform": _sql(
        "waveform", "second", "t.code, t.channel, t.rate_numerator, t.rate_denominator, t.first_sample, t.count"
    ),
    "device_alarm": _sql(
        "device_alarm", "observed_at",
        "t.code, t.unit, t.channel, t.validity, t.sent_code, t.condition_code, t.condition, t.state, t.priority,"
        " t.kind, (extract(epoch FROM t.since) * 1000000)::int8, t.low, t.high, t.latched, t.audio_paused, t.text",
    ),
    "device_setting": _sql(
        "device_setting", "observed_at",
        "t.code, t.unit, t.channel, t.validity, t.sent_code, t.value, t.text",
    ),
}  # fmt: skip


def check_channel_sets(conn: psycopg.Connection, result: Verification) -> None:
    """Step 6, lists of channels: rows are held against a list's bytes, and people read its arrays."""
    found = conn.execute("SELECT channel_set, channels, digest, code, unit, channel FROM channel_set").fetchall()
    for ident, listed, digest, *arrays in found:
        channels_bytes = bytes(listed)
        where = f"channel_set {ident}"
        if sha256(channels_bytes).digest() != bytes(digest):
            result.add(where, "its digest is not that of its bytes")
        whole = len(channels_bytes) % CHANNEL_BYTES == 0
        expected = columns_of(channels_bytes) if whole else None
        if expected is None:
            result.add(where, "its bytes are no list of channels")
            continue
        for name, kept, sealed in zip(("code", "unit", "channel"), arrays, expected, strict=True):
            if kept != sealed:
                result.add(where, f"its {name} list is not its bytes: people read values under another {name}")
    result.counts["channel_set"] += len(found)


class _ReportedWords(NamedTuple):
    """When and where a channel's words were first said."""

    since_us: int
    batch: int
    leaf: int
    words: Any


class ChannelWordsProof:
    """The words that descriptions gave channels, gathered over all windows; then held against `channel`."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int, int, bytes], list[_ReportedWords]] = {}

    def add(self, chunk: Chunk) -> None:
        """What these reports say."""
        for reported in channels(chunk.table):
            at_us = int(chunk.observed_at_us[reported.report])
            found = _ReportedWords(
                at_us, int(chunk.batch[reported.report]), int(chunk.leaf[reported.report]), json.loads(reported.words)
            )
            earlier = self._first.setdefault(
                (int(chunk.device[reported.report]), reported.channel, reported.code, reported.digest), []
            )
            if not earlier or found.since_us < earlier[0].since_us:
                earlier[:] = [found]
            elif found.since_us == earlier[0].since_us:
                earlier.append(found)  # either may have been stored first

    def check(self, conn: psycopg.Connection, first_batch: int, result: Verification, damaged: bool) -> None:
        """Step 6, the sender's words for a channel. `damaged`: a row may speak of bytes that cannot be read."""
        rows = conn.execute(_CHANNEL_SQL).fetchall()
        for device, channel, code, digest, words, since_us, batch, leaf in rows:
            reported = self._first.pop((device, channel, code, bytes(digest)), None)
            where = f"channel {channel} of device {device}"
            if batch < first_batch:
                continue
            result.counts["channel words"] += 1
            if reported is None and not damaged:
                result.add(where, "no report gave it these words")
            elif reported is not None and (since_us, words) != (reported[0].since_us, reported[0].words):
                result.add(where, "its words, or since when it has them, are not what was sealed")
            elif reported is not None and (batch, leaf) not in {(s.batch, s.leaf) for s in reported}:
                result.add(where, "the report that it points to did not give it these words first")
        if first_batch == NUMBER_MIN:
            for device, channel, _, _ in self._first:
                result.add(f"channel {channel} of device {device}", "the words that a report gave it are gone")


_CHANNEL_SQL = """
SELECT device, channel, code, digest, words, (extract(epoch FROM since) * 1000000)::int8, batch, leaf FROM channel
"""
