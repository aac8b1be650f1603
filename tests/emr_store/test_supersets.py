"""Devices that send only what changed: one list a device, and each value with its own moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest

from emr_store import minutes
from emr_store.channel_index import channel_index, channel_index_of_list, earlier_equal
from emr_store.latest import Changes, channel_sets, device_ids, latest
from emr_store.supersets import EXACT_LISTS_MAX, shared
from emr_store.transaction import Writer
from schemas.batch import table_of
from schemas.report import AsSent, Mark, Record, RecordKind, Report, Validity, device_id
from tests.making import PER_MIN, PERCENT, PULSE, SPO2, T0_US, encoded_reports, report
from tests.verifying import FIRST, SECOND, SECOND_US, Ward, masked, summarise, verify

THIRD = "ward:monitor:3"
CHANNELS = 9


@pytest.fixture
def ward(database: str) -> Ward:
    return Ward(database)


def emitted(ward: Ward) -> list[str]:
    return [masked(f"{f.where}: {f.what}") for f in verify(ward.address).findings]


def record_of(channel: int, random: np.random.Generator) -> Record:
    """One of CHANNELS things that a monitor sends: numbers, a bound, an enumeration, a text, what nobody has mapped."""
    mantissa, odd = int(random.integers(400, 900)), int(random.integers(6))
    validity = {0: Validity.NOT_AVAILABLE, 1: Validity.QUESTIONABLE}.get(odd, Validity.VALID)
    match channel:
        case 5:
            return Record(PULSE, PER_MIN, 9, RecordKind.BOUND, mantissa=30 + odd, marks=Mark.LESS)
        case 6:
            return Record(SPO2, PERCENT, 7, RecordKind.CODE, mantissa=odd, text="searching" if odd % 2 else None)
        case 7:
            return Record(PULSE, PER_MIN, 8, RecordKind.TEXT, text=f"lead {odd}")
        case 8:
            return Record(mantissa=mantissa, as_sent=AsSent("99L", f"x{odd}", ""))  # two of them are equal channels
    code, unit = ((SPO2, PERCENT), (PULSE, PER_MIN))[channel % 2]
    if validity == Validity.NOT_AVAILABLE:
        return Record(code, unit, channel=channel, validity=validity)
    return Record(code, unit, channel=channel, mantissa=mantissa, exponent=-1, validity=validity)


def stream(random: np.random.Generator, count: int, claims: tuple[str, ...] = (FIRST, SECOND)) -> list[Report]:
    """Reports of devices that send what changed, in no order; some of one moment."""
    out = []
    for _ in range(count):
        channels = [c for c in range(CHANNELS) if random.integers(3) == 0] or [int(random.integers(CHANNELS))]
        channels += [8] * int(random.integers(2))
        random.shuffle(channels)
        at_us = T0_US + int(random.integers(200)) * SECOND_US
        claim = claims[int(random.integers(len(claims)))]
        out.append(report(claim, at_us, [record_of(channel, random) for channel in channels]))
    return out


def number_of(record: Record) -> float | None:
    is_number = record.kind in (RecordKind.NUMERIC, RecordKind.BOUND) and record.validity != Validity.NOT_AVAILABLE
    return round(record.mantissa * 10.0**record.exponent, 6) if is_number else None


def words_of(record: Record) -> str | None:
    return record.text or (str(record.mantissa) if record.kind == RecordKind.CODE else None)


def instant(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def sent(reports: list[Report]) -> list[tuple[Any, ...]]:
    return sorted(
        ((r.device, instant(r.observed_at_us), each.code, each.channel, number_of(each), int(each.validity),
          words_of(each)) for r in reports for each in r.records),
        key=str,
    )  # fmt: skip


def observed(ward: Ward) -> list[tuple[Any, ...]]:
    rows = ward.rows(
        "SELECT device, observed_at, code, channel, round(value::numeric, 6)::float8, validity, text FROM observation"
    )
    return sorted(rows, key=str)


def newest(reports: list[Report]) -> dict[tuple[UUID, int, int], tuple[Any, ...]]:
    """By its own moment; of one moment what was stored last."""
    found: dict[tuple[UUID, int, int], tuple[Any, ...]] = {}
    for each in reports:
        at = instant(each.observed_at_us)
        for record in each.records:
            key = (each.device, record.code, record.channel)
            if record.code and (key not in found or at >= found[key][0]):
                found[key] = (at, number_of(record), int(record.validity), words_of(record))
    return found


def shown(conn: psycopg.Connection) -> dict[tuple[UUID, int, int], tuple[Any, ...]]:
    return {
        (v.device, v.code, v.channel): (v.observed_at, v.value and round(v.value, 6), v.validity, v.text)
        for v in latest(conn)
    }  # fmt: skip


class Screen:
    """What a page knows that reads only what changed."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.values: dict[tuple[UUID, int, int], tuple[Any, ...]] = {}

    def read(self, conn: psycopg.Connection) -> int:
        """Read on; how many rows were new."""
        found = self.changes.read(conn)
        sets = channel_sets(conn, [rows.channel_set for rows in found])
        devices = device_ids(conn, [device for rows in found for device in rows.device.tolist()])
        for rows in found:
            of = sets[rows.channel_set]
            for i, device in enumerate(rows.device.tolist()):
                at = instant(rows.observed_at_us[i].item())
                for place, (code, channel) in enumerate(zip(of.code, of.channel, strict=True)):
                    key = (devices[device], code, channel)
                    if code and (key not in self.values or at >= self.values[key][0]):
                        value = rows.value[i, place]
                        number = None if np.isnan(value) else round(float(value), 6)
                        words = rows.text.get((i, place))
                        self.values[key] = (at, number, int(rows.validity[i, place]) & 15, words)
        return sum(len(rows.device) for rows in found)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_subsets_devices_send_each_value_is_kept_and_the_newest_is_shown(
    ward: Ward, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minutes, "WIDE", (100, 3)[seed % 2])
    random = np.random.default_rng(seed)
    everything: list[Report] = []
    screen = Screen()
    with ward.open() as writing, ward.open() as reading:
        writer = Writer(writing)
        for turn in range(6):
            reports = stream(
                random, int(random.integers(1, 40 if turn > 1 else 5)), (FIRST, SECOND, THIRD)[: 2 + turn // 4]
            )
            everything += reports
            sealed = ward.seal(*reports)
            if turn % 3 == 2:  # another process, which knows nothing yet
                ward.write([ward.validate(sealed)])
            else:
                writer.store([ward.validate(sealed)], [])
            assert shown(reading) == newest(everything)
            screen.read(reading)
            assert screen.values == newest(everything)
        assert screen.read(reading) == 0
    assert observed(ward) == sent(everything)
    summarise(ward.address)
    ward.seal_log()
    assert emitted(ward) == []
    assert ward.rows("SELECT count(*) >= 2 FROM superset") == [(True,)]
    ((rows_max,),) = ward.rows(
        "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM latest GROUP BY device) AS of"
    )
    assert isinstance(rows_max, int)
    assert rows_max <= EXACT_LISTS_MAX
    assert minutes_kept(ward) == minutes_of_rows(ward)
    # A row a list, or a version of the superset.
    many = f"SELECT FROM report_minute GROUP BY device, minute HAVING count(*) > {EXACT_LISTS_MAX} + 4"
    assert ward.rows(many) == []


def minutes_kept(ward: Ward) -> list[tuple[Any, ...]]:
    return ward.rows(
        "SELECT device, minute, code, channel, sum(n), min(low), max(high) FROM ("
        " SELECT m.device, m.minute, s.code[i] AS code, s.channel[i] AS channel, m.count[i] AS n, m.min[i] AS low,"
        " m.max[i] AS high FROM report_minute m JOIN channel_set s USING (channel_set),"
        " generate_subscripts(s.code, 1) AS i) AS of GROUP BY 1, 2, 3, 4 HAVING sum(n) > 0 ORDER BY 1, 2, 3, 4"
    )


def minutes_of_rows(ward: Ward) -> list[tuple[Any, ...]]:
    return ward.rows(
        "SELECT d.device, date_trunc('minute', observed_at), code, channel, count(*), min(value), max(value)"
        " FROM observation o JOIN device d ON d.uuid = o.device WHERE validation_result = 0 AND value IS NOT NULL"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )


def numeric(channel: int, value: int) -> Record:
    return Record(SPO2, PERCENT, channel=channel, mantissa=value)


def emit_subsets(ward: Ward, claim: str = FIRST, channels: int = 4, at_us: int = T0_US) -> None:
    """More lists than a device may have; the oldest has all channels."""
    ward.emit(*(
        report(claim, at_us - choice * SECOND_US, [numeric(c, 50 + choice) for c in range(channels) if choice >> c & 1])
        for choice in range(1, 2**channels)
    ))  # fmt: skip


def test_a_device_has_as_many_lists_as_it_may_and_then_one(ward: Ward) -> None:
    for count in range(1, EXACT_LISTS_MAX + 1):
        ward.emit(report(FIRST, T0_US + count, [numeric(c, 60 + count) for c in range(count)]))
    assert ward.rows("SELECT count(*) FROM latest") == [(EXACT_LISTS_MAX,)]
    assert ward.rows("SELECT count(*) FROM report WHERE channel_index IS NOT NULL") == [(0,)]
    for count in range(EXACT_LISTS_MAX + 1, EXACT_LISTS_MAX + 9):
        ward.emit(report(FIRST, T0_US + count, [numeric(c, 60 + count) for c in range(count, 0, -1)]))
    assert ward.rows("SELECT count(*) FROM latest") == [(EXACT_LISTS_MAX,)]
    assert ward.rows("SELECT count(*) FROM latest_by_channel") == [(1,)]
    index = ward.rows("SELECT channel_index FROM report WHERE channel_index IS NOT NULL ORDER BY observed_at LIMIT 1")
    assert index == [(list(range(EXACT_LISTS_MAX + 2, 1, -1)),)]  # that was the whole list then, with channel 0


def test_what_sends_all_each_time_keeps_its_exact_list_beside_a_device_that_does_not(ward: Ward) -> None:
    emit_subsets(ward)
    ward.emit(report(SECOND, T0_US, [numeric(1, 70), numeric(0, 71)]), report(FIRST, T0_US + 99, [numeric(1, 72)]))
    found = ward.rows("SELECT d.uuid, channel_index FROM report r JOIN device d USING (device) WHERE batch = 2")
    assert sorted(found) == sorted([(device_id(SECOND), None), (device_id(FIRST), [2])])


def test_devices_of_one_model_share_a_list(ward: Ward) -> None:
    emit_subsets(ward)
    emit_subsets(ward, SECOND)
    assert ward.rows("SELECT count(*), count(DISTINCT channel_set) FROM superset") == [(2, 1)]


def test_an_old_value_keeps_its_moment_in_a_longer_list(ward: Ward) -> None:
    emit_subsets(ward)
    with ward.open() as conn:
        before = shown(conn)
    ward.emit(report(FIRST, T0_US + 100 * SECOND_US, [numeric(9, 91)]))
    with ward.open() as conn:
        after = shown(conn)
    assert after.pop((device_id(FIRST), SPO2, 9))[:2] == (instant(T0_US + 100 * SECOND_US), 91.0)
    assert after == before
    assert len({at for at, *_ in after.values()}) > 1
    assert emitted(ward) == []


def test_a_writer_that_knows_the_shorter_list_loses_nothing(ward: Ward) -> None:
    """Two writers at once: the second makes a longer list, and the first goes on with what it knows."""
    emit_subsets(ward)
    with ward.open() as one, ward.open() as other:
        first, second = Writer(one), Writer(other)
        at_us = T0_US + 50 * SECOND_US
        first.store([ward.validate(ward.seal(report(FIRST, at_us, [numeric(0, 80)])))], [])
        second.store([ward.validate(ward.seal(report(FIRST, at_us + 1, [numeric(9, 81)])))], [])
        first.store([ward.validate(ward.seal(report(FIRST, at_us + 2, [numeric(1, 82)])))], [])
        values = {channel: value for (_, _, channel), (_, value, *_) in shown(one).items()}
        assert (values[0], values[1], values[9]) == (80.0, 82.0, 81.0)
        first.store([ward.validate(ward.seal(report(FIRST, at_us + 3, [numeric(8, 83)])))], [])
        values = {channel: value for (_, _, channel), (_, value, *_) in shown(one).items()}
        assert (values[0], values[1], values[8], values[9]) == (80.0, 82.0, 83.0, 81.0)
    assert ward.rows("SELECT cardinality(code) FROM superset JOIN channel_set USING (channel_set)") == [(6,)]
    assert emitted(ward) == []


def test_a_superset_of_a_transaction_that_was_rolled_back_is_made_again(ward: Ward) -> None:
    with ward.open() as conn:
        writer = Writer(conn)
        blocks = [
            ward.validate(ward.seal(*(report(FIRST, T0_US + i, [numeric(c, 60) for c in range(i)]) for i in span)))
            for span in (range(1, 7), range(7, 9))
        ]
        conn.execute("ALTER TABLE outbox ADD CONSTRAINT none CHECK (batch_no > 2)")
        with pytest.raises(psycopg.errors.CheckViolation):
            writer.store(blocks, [])
        conn.execute("ALTER TABLE outbox DROP CONSTRAINT none")
        assert conn.execute("SELECT count(*) FROM superset").fetchone() == (0,)
        for block in blocks:
            writer.store([block], [])
    assert ward.rows("SELECT count(*) FROM superset") == [(1,)]
    assert ward.rows("SELECT count(*) FROM observation") == [(sum(range(1, 9)),)]
    assert emitted(ward) == []


CHANGED_ROW = "batch = 1 AND leaf = 6"  # channels 0, 1 and 2
LEAF = "batch ID (edge 45454545, live, number 1) leaf 6"
CHANGES = {
    "another channel": (
        f"UPDATE report SET channel_index = '{{1,2,4}}' WHERE {CHANGED_ROW}", f"{LEAF}: the row's channel_index",
    ),
    "channels change places": (
        f"UPDATE report SET channel_index = '{{2,1,3}}' WHERE {CHANGED_ROW}", f"{LEAF}: the row's channel_index",
    ),
    "no index": (f"UPDATE report SET channel_index = NULL WHERE {CHANGED_ROW}", f"{LEAF}: the row's channel_"),
    "another list": (
        f"UPDATE report SET channel_set = (SELECT min(channel_set) FROM report WHERE batch = 2) WHERE {CHANGED_ROW}",
        f"{LEAF}: the row's channel_set",
    ),
    "a value more": (
        f"UPDATE report SET value = value || 9, channel_index = channel_index || 4::int2 WHERE {CHANGED_ROW}",
        f"{LEAF}: the row's value",
    ),
    "validity": (f"UPDATE report SET validity = '{{3,0,0}}' WHERE {CHANGED_ROW}", f"{LEAF}: the row's validity"),
    "the list itself": (
        "UPDATE channel_set SET channel = ARRAY[channel[2], channel[1], channel[3], channel[4]]"
        " WHERE cardinality(channel) = 4",
        "its channel list is not its bytes",
    ),
    "a minute": (
        "UPDATE report_minute SET last[2] = 99 WHERE cardinality(last) = 4", "its last is not what its reports",
    ),
    "a newest value": ("UPDATE latest_by_channel SET value[2] = 99", "channel 2: it is not what the report that it"),
    "its validity": ("UPDATE latest_by_channel SET validity[2] = 3", "channel 2: it is not what the report that it"),
    "an old value with a new moment": (
        "UPDATE latest_by_channel SET observed_at[1] = observed_at[4] + interval '1 s'",
        "channel 1: it is not what the report that it points to says",
    ),
    "another report": (
        "UPDATE latest_by_channel SET leaf[1] = 14, observed_at[1] = observed_at[1] + interval '9 s'",
        "channel 1: no report of this moment stands behind it",
    ),
    "an older one": ("UPDATE latest_by_channel SET leaf[1] = 14, observed_at[1] = observed_at[1] - interval '9 s'",
                     "channel 1: it is not the newest value of this channel"),
    "words": ("UPDATE latest_by_channel SET texts = '{\"2\": \"asystole\"}'", "channel 2: it is not what the report"),
    "a value gone": ("UPDATE latest_by_channel SET leaf[3] = -1", "channel 3: it is gone, though reports"),
    "a row gone": ("DELETE FROM latest_by_channel", "of a channel it is gone, though reports of the device are kept"),
    "elements more than channels": (
        "UPDATE latest_by_channel SET value = value || 1", "its row does not fit its list of channels"
    ),
    "when it changed": (
        "UPDATE latest_by_channel SET changed_at = changed_at + interval '1 s'", "its row does not fit its list"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(ward: Ward, name: str) -> None:
    emit_subsets(ward)
    ward.emit(report(SECOND, T0_US, [numeric(0, 70)]))
    summarise(ward.address)
    ward.seal_log()
    assert emitted(ward) == []
    change, expected = CHANGES[name]
    with ward.open() as conn:
        assert conn.execute(change.encode()).rowcount > 0
    assert any(expected in line for line in emitted(ward)), emitted(ward)


def test_of_equal_channels_each_has_its_own() -> None:
    one, two = b"a" * 12, b"b" * 12
    assert channel_index_of_list(one + two + one, one + one + two) == [1, 3, 2]
    assert channel_index_of_list(one + one, one + two) is None
    assert earlier_equal(np.array([5, 7, 5, 5, 7])).tolist() == [0, 0, 1, 2, 1]
    assert earlier_equal(np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize("equal", [False, True])
def test_the_index_of_a_record_is_that_of_its_channel_in_its_own_list(equal: bool) -> None:
    random = np.random.default_rng(5)
    pool = [(SPO2, PERCENT, c) for c in range(12)]
    lists = {number: [pool[i] for i in random.permutation(12)[: 6 + number]] for number in (1, 2, 5)}
    if equal:
        lists[5] += [lists[5][0], lists[5][0]]
    reports, superset, expected = [], [], []
    for _ in range(200):
        number = int(random.choice([0, 1, 2, 5]))
        sent = [pool[i] for i in random.integers(12, size=random.integers(1, 9))]
        sent = sent if equal else list(dict.fromkeys(sent))
        reports.append(report(records=[Record(code, unit, channel=number, mantissa=1) for code, unit, number in sent]))
        superset.append(number)
        for i, channel in enumerate(sent):
            places = [place for place, listed in enumerate(lists.get(number, []), 1) if listed == channel]
            earlier = sent[:i].count(channel)
            expected.append(places[earlier] if earlier < len(places) else 0)
    channels = {number: np.array(listed, "<u4").tobytes() for number, listed in lists.items()}
    found = channel_index(table_of(encoded_reports(reports)), np.array(superset), channels)
    assert found.tolist() == expected
    assert 0 in expected


def test_devices_share_the_longest_list_that_has_few_channels_more() -> None:
    def listed(*numbers: int) -> bytes:
        return b"".join(bytes([n]) * 12 for n in numbers)

    six, other, small = listed(1, 2, 3, 4, 5, 6), listed(1, 2, 3, 4, 7), listed(1, 2)
    assert shared({1: six, 2: listed(1, 3, 4, 5), 3: other, 4: small}, ()) == {1: six, 2: six, 3: other, 4: small}
    assert shared({5: listed(1, 1)}, [listed(1, 2, 3)]) == {5: listed(1, 1)}  # it sends two equal ones
    assert shared({5: listed(1, 3)}, [listed(1, 2, 3), small]) == {5: listed(1, 2, 3)}
