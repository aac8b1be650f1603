"""Every accepted value has one answer."""

from __future__ import annotations

import pytest

from emr_store import conservation, places
from emr_store.attributed_values import attributed_values, attributed_waves, balances
from emr_store.instants import moment
from schemas.report import Kind, Record, RecordKind, Samples, device_id
from tests.adt import group, us
from tests.attributing import Hospital, text_of
from tests.making import report
from tests.storing import Store, event

CLAIM = "adt/PV1-3=ICU^^1"


@pytest.fixture
def hospital(database: str) -> Hospital:
    """At bed 1: nobody until 0, P1 until 60, in conflict from 30 to 40, nobody after; another edge speaks of it too."""
    hospital = Hospital(Store(database))
    hospital.store.emit(event(CLAIM, "identity", CLAIM, us(0)))
    with hospital.store.open() as conn:
        places.assign(conn, str(device_id(CLAIM)), "ICU-1", since=moment(us(-1000)))
    hospital.emit_records([group("A01", 0), group("A01", 0, visit="V2", patient="P2", bed="2"), group("A03", 60)])
    hospital.store.emit(*(
        report(CLAIM, us(at), [text_of("HL7", "PID-3", f"{patient}^^^HOSP^MR")], Kind.CONTEXT)
        for at, patient in ((20, "P1"), (30, "P2"), (40, "P1"))
    ))  # fmt: skip
    hospital.store.emit(*(report(CLAIM, us(at)) for at in (-5, 10, 25, 35, 70)))
    hospital.store.emit(report("ward:other", us(10)))
    Store(database, edge=b"F" * 16).emit(report(CLAIM, us(10)))
    hospital.attribute()
    return hospital


def test_the_parts_are_the_whole_and_what_the_ledger_says(hospital: Hospital) -> None:
    with hospital.store.open() as conn:
        total = attributed_values(conn)
        accepted = conservation.conservation(conn)["accepted"]
    assert total["accepted"] == accepted
    assert balances(total)
    parts = {part: count for part, count in total.items() if count and part not in ("accepted", "not measured")}
    assert parts == {"bed": 2, "bed+pid": 2, "conflict": 2, "nobody": 6, "through another edge": 2}


def test_of_a_day_alone(hospital: Hospital) -> None:
    with hospital.store.open() as conn:
        total = attributed_values(conn, moment(us(60)))
    assert (total["nobody"], total["bed"], balances(total)) == (2, 0, True)


def test_waves_are_counted_by_their_stretches(hospital: Hospital) -> None:
    pleth = Record(150452, kind=RecordKind.SAMPLES, samples=Samples(75, 1, 1, 0, 0, bytes(150)))
    with hospital.store.open() as conn:
        values = attributed_values(conn)
        accepted = conservation.conservation(conn)["accepted"]
    hospital.store.emit(*(report(CLAIM, us(at), [pleth], Kind.WAVEFORM) for at in (-5, 10, 35)))
    with hospital.store.open() as conn:
        waves = attributed_waves(conn)
        assert attributed_values(conn) == values
        assert conservation.conservation(conn)["accepted"] == accepted + waves["accepted"]
    parts = {part: count for part, count in waves.items() if count}
    assert parts == {"accepted": 3, "nobody": 1, "bed": 1, "conflict": 1}
    assert balances(waves)


def test_a_value_with_two_answers_is_seen(hospital: Hospital) -> None:
    with hospital.store.open() as conn:
        conn.execute("ALTER TABLE whose DROP CONSTRAINT whose_one_at_a_time")
        conn.execute("INSERT INTO whose SELECT * FROM whose")
        assert not balances(attributed_values(conn))
