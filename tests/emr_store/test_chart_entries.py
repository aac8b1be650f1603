"""Entries as rows: their ids, and how one is found."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from clinical.chart import EntryKey, Source
from clinical.chart_policy import read_policies
from emr_store import chart_entries
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
