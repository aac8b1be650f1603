"""Entries as rows: their ids, and how one is found."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from clinical.chart import Entry, EntryKey, EntrySummary, Source, VersionSummary
from clinical.chart_policy import read_policies
from emr_store import chart_acts, chart_entries
from emr_store.acts import Author
from emr_store.chart_acts import Person
from emr_store.chart_entries import NewVersion, new_entry_id
from emr_store.instants import moment
from schemas.errors import VitalwireError
from tests.adt import group, us
from tests.charting import POLICIES, SLOT, SPO2_ID, V1, Ward, spo2


@pytest.fixture
def ward(database: str) -> Ward:
    made = Ward(database, read_policies(POLICIES))
    made.place()
    made.hospital.emit_records([group("A01", 0)])
    made.emit(spo2(50, 97), spo2(350, 90))
    made.chart()
    return made


def test_ids_are_uuids_of_version_7_in_the_order_of_their_making() -> None:
    made = [new_entry_id() for _ in range(100)]
    assert len(set(made)) == 100
    assert {(UUID(each).version, UUID(each).variant) for each in made} == {(7, "specified in RFC 4122")}
    assert made[0][:8] <= made[-1][:8]


def test_a_flowsheet_is_what_ends_in_its_time(ward: Ward) -> None:
    begin = moment(us(SLOT))
    with ward.store.open() as conn:

        def items(since: timedelta, until: timedelta) -> list[float | None]:
            return [e.now.value for e in chart_entries.flowsheet(conn, V1, begin + since, begin + until)]

        assert items(timedelta(0), timedelta(seconds=300)) == [97]
        assert items(timedelta(0), timedelta(seconds=301)) == [97, 90]
        assert items(timedelta(seconds=1), timedelta(seconds=300)) == []
        assert chart_entries.flowsheet(conn, "nobody", begin, begin + timedelta(days=1)) == []


def test_summaries_say_what_the_newest_versions_of_a_flowsheet_say(ward: Ward) -> None:
    nurse, begin = Person(Author("os:nurse@ward", "probe was off"), "Li"), moment(us(SLOT))
    first, _ = ward.entries()
    with ward.store.open() as conn:
        chart_acts.correct(conn, first.entry, 96, "", nurse)
        chart_acts.withdraw(conn, first.entry, nurse)
        chart_acts.enter(conn, V1, SPO2_ID, 95, "", begin, nurse)
        chart_acts.enter(conn, V1, "acvpu", None, "V", begin, nurse)
        found = chart_entries.summaries(conn, V1, begin, begin + timedelta(seconds=301))
        whole = chart_entries.flowsheet(conn, V1, begin, begin + timedelta(seconds=301))
        assert chart_entries.summaries(conn, V1, begin + timedelta(seconds=1), begin + timedelta(seconds=300)) == []
        assert chart_entries.summaries(conn, "nobody", begin, begin + timedelta(days=1)) == []
    assert found == [summary(entry) for entry in whole]
    assert [(each.number, each.value, each.text) for each in found] == [
        (3, 96, ""), (1, 95, ""), (1, None, "V"), (1, 90, ""),
    ]  # fmt: skip


def summary(whole: Entry) -> EntrySummary:
    now = {name: getattr(whole.now, name) for name in VersionSummary.__struct_fields__}
    return EntrySummary(entry=whole.entry, item=whole.key.item, at_us=whole.key.at_us, **now)


def test_a_days_summaries_are_read_from_the_index_alone(ward: Ward) -> None:
    begin = moment(us(SLOT))
    named = {"encounter": V1, "since": begin, "until": begin + timedelta(days=1)}
    with ward.store.open() as conn:
        conn.execute("VACUUM chart_entry")
        conn.execute("SET enable_seqscan = off")  # which a chart of two entries would be read by
        conn.execute("SET enable_bitmapscan = off")
        plan = conn.execute(f"EXPLAIN (ANALYZE) {chart_entries._SUMMARIES_SQL}".encode(), named).fetchall()
    lines = " ".join(line for (line,) in plan)
    assert "Index Only Scan Backward using chart_entry_key" in lines
    assert "Heap Fetches: 0" in lines
    assert "Sort" not in lines  # the index has the order, the newest version of each entry first


def test_an_entry_is_found_by_the_beginning_of_its_id(ward: Ward) -> None:
    first, second = (entry.entry for entry in ward.entries())
    with ward.store.open() as conn:
        assert chart_entries.find_entry(conn, first.upper()).entry.entry == first
        assert chart_entries.find_entry(conn, second[:32]).entry.entry == second
        for wrong in ("", "0", "x" * 36, first[:4], "%", "ffffffff-ffff"):
            with pytest.raises(VitalwireError, match="no entry has"):
                chart_entries.find_entry(conn, wrong)


def test_several_sources_are_read_as_they_were_written(ward: Ward) -> None:
    (entry, _) = ward.entries()
    sources = (Source(b"a" * 32, 1, 2), Source(b"b" * 32, 3, 4))
    version = replace(entry.now, sources=sources)
    key = EntryKey(V1, SPO2_ID, us(7))
    with ward.store.open() as conn:
        chart_entries.append(conn, [NewVersion(new_entry_id(), key, 1, version)])
        kept = chart_entries.entries_at(conn, [key])[key]
    assert kept.entry.now == version
