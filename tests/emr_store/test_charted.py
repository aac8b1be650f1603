"""Versions of entries with the patient, the encounter, the bed and the device, as they leave the house."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from clinical.chart import Status
from clinical.chart_policy import read_policies
from clinical.charted import ChartedVersion, Instrument, Place, resource_id
from emr_store import chart_acts, patient_acts
from emr_store.acts import Author
from emr_store.bed_names import keep_bed_names
from emr_store.chart_acts import Person as Writer
from emr_store.charted import charted_slots, charted_versions, iso_date
from emr_store.connect import open_store
from emr_store.instants import moment
from schemas.adt import Identifier, Merge, Person
from schemas.errors import VitalwireError
from tests.adt import group, key, number, patient_of, us
from tests.charting import CLAIM, DEVICE, POLICIES, SLOT, SPO2_ID, V1, V2, Ward, spo2
from tests.conftest import Databases

NURSE = Writer(Author("os:nurse@ward", "probe was off"), "李娜")
NUMBERS = (number("P1"), Identifier(value="330106", type="NI"))
OTHER_CLAIM = "adt/PV1-3=ICU^^2"


@pytest.fixture(scope="module")
def made_once(module_database: str) -> Ward:
    """P1 in ICU-1 with one value of SpO2, charted."""
    made = Ward(module_database, read_policies(POLICIES))
    made.place()
    made.hospital.emit(
        group("A01", 0, patients=NUMBERS, admitted=-60),
        person=Person(family="张", given="三", birth_date="19570311", sex="M"),
    )
    made.emit(spo2(50, 97))
    made.chart()
    made.store.hang_up()
    return made


@pytest.fixture
def database(databases: Databases, made_once: Ward) -> Iterator[str]:
    yield from databases.copy_of(made_once.store.address)


@pytest.fixture
def ward(made_once: Ward, database: str) -> Ward:
    return made_once.in_copy(database)


def all_versions(ward: Ward, encounter: str = V1) -> list[tuple[UUID, int]]:
    return [(UUID(each.entry), version.number) for each in ward.entries(encounter) for version in each.versions]


def charted(ward: Ward, encounter: str = V1) -> list[ChartedVersion]:
    with ward.store.open() as conn:
        return charted_versions(conn, all_versions(ward, encounter))


def test_a_value_of_a_device_is_told_with_all_that_an_emr_needs(ward: Ward) -> None:
    with ward.store.open() as conn:
        keep_bed_names(conn, {key("1"): "重症1床"})
        conn.execute("UPDATE registered_device SET name = '监护仪1'")
    (told,) = charted(ward)
    (entry,) = ward.entries()
    assert (told.entry, told.ordinal, told.item, told.slot_us) == (entry.entry, 1, SPO2_ID, us(SLOT))
    assert told.version == entry.now
    assert told.person is not None
    assert told.person.key == patient_of("P1")
    assert told.person.identifiers == (
        Identifier(value="P1", authority="HOSP", type="MR"), Identifier(value="330106", authority="HOSP", type="NI"),
    )  # fmt: skip
    assert (told.person.family, told.person.given, told.person.name) == ("张", "三", "张 三")
    assert (told.person.birth_date, told.person.sex, told.person.erased) == ("1957-03-11", "M", False)
    assert (told.stay.key, told.stay.patient_class) == (V1, "I")
    assert (told.stay.admitted_at_us, told.stay.discharged_at_us) == (us(-60), None)
    assert told.place == Place(key=key("1"), name="重症1床", as_sent="ICU^^1")
    assert told.device == Instrument(uuid=str(DEVICE), claim=CLAIM, name="监护仪1")
    assert told.by_name == ""


def test_what_a_person_wrote_has_a_name_and_no_device(ward: Ward) -> None:
    with ward.store.open() as conn:
        chart_acts.enter(conn, "V1", "pain", 3, "", moment(us(60)), NURSE)
        chart_acts.confirm(conn, ward.entries()[-1].entry, NURSE)
    by_hand, as_charted, confirmed = charted(ward)
    assert (by_hand.item, by_hand.by_name, by_hand.device) == ("pain", "李娜", None)
    assert by_hand.place == Place(key=key("1"), name="icu 1", as_sent="ICU^^1")
    assert (as_charted.version.number, as_charted.by_name, confirmed.version.number, confirmed.by_name) == (
        1, "", 2, "李娜",
    )  # fmt: skip
    assert confirmed.device == as_charted.device == Instrument(uuid=str(DEVICE), claim=CLAIM, name="")


def test_versions_come_in_the_order_asked_and_as_often(ward: Ward) -> None:
    with ward.store.open() as conn:
        chart_acts.enter(conn, "V1", "pain", 3, "", moment(us(60)), NURSE)
        pain, of_device = all_versions(ward)
        told = charted_versions(conn, [of_device, pain, of_device])
        assert [(UUID(each.entry), each.version.number) for each in told] == [of_device, pain, of_device]
        assert charted_versions(conn, []) == []
        for wrong in ((of_device[0], 2), (uuid4(), 1)):
            with pytest.raises(VitalwireError, match=rf"no version {wrong[1]} of an entry {wrong[0]}"):
                charted_versions(conn, [pain, wrong])


class _Counting(psycopg.Cursor[Any]):
    statements = 0

    def execute(self, *arguments: Any, **named: Any) -> _Counting:
        _Counting.statements += 1
        return super().execute(*arguments, **named)


def test_as_many_queries_for_one_as_for_many(ward: Ward) -> None:
    with ward.store.open() as conn:
        for minute in range(30):
            chart_acts.enter(conn, "V1", "pain", 3, "", moment(us(60 + minute)), NURSE)
    wanted = all_versions(ward)
    with ward.store.open() as conn:
        conn.cursor_factory = _Counting
        counts = []
        for asked in ([wanted[0], wanted[-1]], wanted):
            _Counting.statements = 0
            assert len(charted_versions(conn, asked)) == len(asked)
            counts.append(_Counting.statements)
    assert len(wanted) == 31
    assert counts[0] == counts[1] <= 9


def test_after_a_merge_the_patient_is_the_survivor(ward: Ward) -> None:
    merge = group("A40", 400, visit="", patient="P9", bed="", patient_class="N", merges=(Merge((number("P1"),)),))
    ward.hospital.emit(merge, person=Person(name="李四"))
    ward.hospital.attribute()
    (told,) = charted(ward)
    assert told.person is not None
    assert (told.person.key, told.person.name) == (patient_of("P9"), "李四")
    assert told.person.identifiers == (Identifier(value="P9", authority="HOSP", type="MR"),)


def test_of_a_person_who_was_erased_no_name_is_left(ward: Ward) -> None:
    with ward.store.open() as conn:
        patient_acts.erase(conn, patient_of("P1"))
    (told,) = charted(ward)
    assert told.person is not None
    assert (told.person.erased, told.person.family, told.person.given, told.person.name) == (True, "", "", "")
    assert (told.person.birth_date, told.person.sex) == ("", "")


def test_nobody_knows_whose_an_encounter_of_two_patients_is(ward: Ward) -> None:
    ward.hospital.emit_records([group("A08", 400, patient="P2")])
    (told,) = charted(ward)
    assert told.person is None


def test_what_is_taken_back_is_told_of_whom_it_was_told_of(ward: Ward) -> None:
    (before,) = charted(ward)
    ward.hospital.emit_records([group("A11", 400, patients=NUMBERS)])
    ward.chart()
    assert ward.store.rows("SELECT count(*) FROM encounter WHERE upper_inf(recorded)") == [(0,)]
    *_, told = charted(ward)
    assert told.version.status is Status.ENTERED_IN_ERROR
    assert (told.person, told.stay) == (before.person, before.stay)
    assert told.place is None
    merge = group("A40", 500, visit="", patient="P9", bed="", patient_class="N", merges=(Merge((number("P1"),)),))
    ward.hospital.emit_records([merge])
    assert {told.person and told.person.key for told in charted(ward)} == {patient_of("P9")}


def test_of_an_encounter_believed_no_more_a_link_of_patients_counts_until_it_is_undone(ward: Ward) -> None:
    ward.hospital.emit_records([group("A11", 400)])
    known = []
    for event, at in (("A24", 500), ("A37", 600), ("A24", 700)):
        ward.hospital.emit_records(
            [group(event, at, visit="", patient="P9", bed="", patient_class="N", linked=(number("P1"),))]
        )
        (told,) = charted(ward)
        assert told.person is not None
        known.append(told.person.key)
    assert known == [patient_of("P9"), patient_of("P1"), patient_of("P9")]


def test_the_bed_is_that_of_the_moment_of_measurement(ward: Ward) -> None:
    ward.place(OTHER_CLAIM, "ICU-2")
    ward.hospital.emit_records([group("A02", 400, bed="2")])
    ward.emit(spo2(450, 90, OTHER_CLAIM))
    ward.chart()
    told = charted(ward)
    assert [each.place and each.place.key for each in told] == [key("1"), key("2")]
    assert [each.device and each.device.claim for each in told] == [CLAIM, OTHER_CLAIM]


def test_a_device_that_is_another_encounter_s_now_is_found_by_its_report(ward: Ward) -> None:
    # The patient had left before the value was measured, says a message that comes late.
    ward.hospital.emit_records([group("A02", 700, bed="2", happened=10)])
    (told, *_) = charted(ward)
    assert ward.store.rows("SELECT count(*) FROM whose WHERE encounter = %s AND upper_inf(recorded)"
                           " AND valid @> %s", V1, moment(us(50))) == [(0,)]  # fmt: skip
    assert told.device == Instrument(uuid=str(DEVICE), claim=CLAIM, name="")
    assert told.place == Place(key=key("2"), name="icu 2", as_sent="ICU^^2")


def test_a_device_whose_rows_retention_took_is_unknown(ward: Ward) -> None:
    with ward.store.open() as conn:
        conn.execute("DELETE FROM report")
    (told,) = charted(ward)
    assert told.device is None


def test_the_class_is_that_of_the_slot(ward: Ward) -> None:
    ward.hospital.emit_records([group("A07", 200, patient_class="O")])
    ward.emit(spo2(350, 90))
    ward.chart()
    assert [each.stay.patient_class for each in charted(ward)] == ["I", "O"]
    ward.hospital.emit_records([group("A03", 380)])
    assert [each.stay.patient_class for each in charted(ward)] == ["I", "O"]  # whose slot ends at 400


def test_of_a_slot_the_newest_version_of_every_entry(ward: Ward) -> None:
    with ward.store.open() as conn:
        (entry,) = ward.entries()
        chart_acts.withdraw(conn, entry.entry, NURSE)
        chart_acts.enter(conn, "V1", SPO2_ID, 91, "", moment(us(SLOT)), NURSE)
        chart_acts.enter(conn, "V1", "pain", 3, "", moment(us(SLOT)), NURSE)
        chart_acts.enter(conn, "V1", "pain", 4, "", moment(us(SLOT + 1)), NURSE)
        asked: Sequence[tuple[str, int]] = [(V1, us(SLOT + 1)), (V1, us(SLOT)), (V2, us(SLOT)), (V1, us(SLOT))]
        told = charted_slots(conn, asked)
        assert charted_slots(conn, []) == []
    assert [(each.item, each.ordinal, each.version.number, each.version.value) for each in told] == [
        ("pain", 1, 1, 4), (SPO2_ID, 1, 2, 97), (SPO2_ID, 2, 1, 91), ("pain", 1, 1, 3),
    ]  # fmt: skip
    assert told[1].version.status is Status.ENTERED_IN_ERROR


@pytest.mark.parametrize(
    ("sent", "date"),
    [("19570311", "1957-03-11"), ("19570311083000", "1957-03-11"), ("195703", "1957-03"), ("1957", "1957"),
     ("19570231", "1957-02"), ("19571301", "1957"), ("195", ""), ("", ""), ("unknown", ""), ("１９５７", ""),
     ("0000", "")],
)  # fmt: skip
def test_a_date_of_birth_is_as_much_as_was_sent_of_it(sent: str, date: str) -> None:
    assert iso_date(sent) == date


def test_ids_are_the_same_in_sql(database: str) -> None:
    keys = ["", "P1^HOSP^MR", "h^icu^^1", "住院号 0012^医院^MR", "x" * 3000, "\U0001f600'\\"]
    with open_store(database) as conn:
        for kind in ("Patient", "Encounter", "Location"):
            row = conn.execute("SELECT array_agg(resource_id(%s, k) ORDER BY n) FROM unnest(%s::text[])"
                               " WITH ORDINALITY AS t(k, n)", (kind, keys)).fetchone()  # fmt: skip
            assert row == ([resource_id(kind, each) for each in keys],)
