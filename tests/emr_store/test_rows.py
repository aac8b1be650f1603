from itertools import combinations

import numpy as np
import pytest

from emr_store.rows import Chunk
from schemas.batch import table_of
from schemas.report import Kind, Record, Report
from stream_processors.validation import validate_table
from tests.making import PERCENT, SPO2, T0_US, encoded_reports, report
from tests.storing import Store


@pytest.fixture
def store(database: str) -> Store:
    return Store(database)


# Every choice of up to eight channels, as a device has them that sends only what changed.
CHOICES = [channels for count in range(1, 9) for channels in combinations(range(8), count)]


def what_changed(channels: tuple[int, ...], at_us: int) -> Report:
    return report("demo:m:1", at_us, [Record(SPO2, PERCENT, channel=c, mantissa=50 + c) for c in channels])


def test_many_channel_lists_are_few_groups() -> None:
    reports = [what_changed(channels, T0_US) for channels in CHOICES]
    reports.append(Report(Kind.EVENT, "demo:m:1", T0_US, T0_US, report().clock_quality, ()))
    table = table_of(encoded_reports(reports))
    validated, count = validate_table(table, np.zeros(len(table), bool)), len(table)
    none = np.zeros(count, np.int64)
    chunk = Chunk(table, validated.flags, validated.validation_results, validated.values, none, none, none,
              table.observed_at_us, lambda channels: len(channels))  # fmt: skip
    assert len(chunk.groups) == 9
    assert sorted(np.concatenate([group.reports for group in chunk.groups]).tolist()) == list(range(count))
    assert len(chunk.channel_lists.channels) == count
    assert chunk.channel_set.tolist() == [12 * len(channels) for channels in CHOICES] + [0]
    for i, which in enumerate(chunk.channel_lists.which.tolist()):
        records = slice(*table.record_start[i : i + 2].tolist())
        assert table.channel_bytes[records].tobytes() == chunk.channel_lists.channels[which]


def test_a_value_keeps_its_channel_whatever_else_changed(store: Store) -> None:
    for _ in range(2):  # new lists, and known ones
        store.emit(*(what_changed(channels, T0_US + i) for i, channels in enumerate(CHOICES)))
    found = store.rows("SELECT DISTINCT channel, value FROM observation ORDER BY channel")
    assert found == [(channel, 50.0 + channel) for channel in range(8)]
    assert store.rows("SELECT count(*) FROM observation") == [(2 * sum(map(len, CHOICES)),)]
    assert store.rows("SELECT count(*) FROM channel_set") == [(1,)]


def test_reports_of_one_list_and_of_several_are_written_alike(store: Store) -> None:
    """Of equally many records, which lie one behind another, and with others between them."""
    lists = [(0, 1), (0, 1), (0, 1), (2, 3), (0, 1), (0, 1, 2), (0, 1)]
    store.emit(*(what_changed(channels, T0_US + i) for i, channels in enumerate(lists[:4])))
    store.emit(*(what_changed(channels, T0_US + 10 + i) for i, channels in enumerate(lists)))
    found = store.rows("SELECT observed_at, array_agg(channel ORDER BY channel), array_agg(value ORDER BY channel)"
                       " FROM observation GROUP BY observed_at ORDER BY observed_at")  # fmt: skip
    sent = [*lists[:4], *lists]
    assert [channels for _, channels, _ in found] == [list(channels) for channels in sent]
    assert [values for _, _, values in found] == [[50.0 + c for c in channels] for channels in sent]
