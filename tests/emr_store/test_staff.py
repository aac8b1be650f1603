"""The staff file in the store: new, changed, ended, by one act; whose number it is; half of the staff at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from emr_store import acts, login_sessions, roles, second_person, staff
from emr_store.acts import Author
from emr_store.bed_names import keep_bed_names
from emr_store.connect import open_store, with_role
from emr_store.login_sessions import NewSession
from emr_store.migrate import migrate
from emr_store.second_person import SecondPersonError
from emr_store.staff import StaffRow
from emr_store.viewers import staff_facts
from schemas.errors import VitalwireError

FILE = b"f" * 32
ANN, BOB = Author("os:ann@office"), Author("os:bob@office")
LI = StaffRow("1", "李娜", "nurse", "here", None, ("hosp^icu",))
WANG = StaffRow("2", "王伟", "physician", "recognised", date(2027, 1, 31), ("hosp^icu",))
ZHAO = StaffRow("3", "赵敏", "trainee", "none", None, ("hosp^icu",), pool=("hosp^3a",))


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """As the pages have it."""
    migrate(database)
    with open_store(with_role(database, roles.CLERK)) as conn:
        yield conn


def load(conn: psycopg.Connection, *rows: StaffRow, same: tuple[str, ...] = ()) -> staff.Changes:
    return staff.import_file(conn, rows, FILE, same_person=same, author=ANN)


def works(conn: psycopg.Connection, number: str) -> bool:
    facts = staff_facts(conn, number, acts.now(conn))
    return facts is not None and facts.works


def signed_in(conn: psycopg.Connection, number: str) -> bytes:
    now = datetime.now(UTC)
    new = NewSession(number, "demo_link", "w", "127.0.0.1", "t", None, now + timedelta(hours=1))
    login_sessions.begin(conn, number.encode(), new, now)
    return number.encode()


def test_a_file_is_one_act_and_each_row_names_it(conn: psycopg.Connection) -> None:
    load(conn, LI, WANG, ZHAO)
    found = load(conn, LI, StaffRow("2", "王伟", "physician", "here", None, ("hosp^3a",)), ZHAO,
                 StaffRow("4", "Tom", "nurse", "here"))  # fmt: skip
    assert (found.new, found.changed, found.ended, found.unchanged) == (["4"], ["2"], [], ["1", "3"])
    first, second = [act for act in acts.acts(conn) if act.kind == "staff.import"]
    assert second.details == {
        "sha256": FILE.hex(), "rows": 4, "new": 1, "changed": 1, "ended": 0, "unchanged": 2, "kept_ended": 0,
        "second_person": None, "same_person": [],
    }  # fmt: skip
    assert second.by == ANN.by
    named: dict[str, str] = dict(conn.execute("SELECT staff, encode(act_id, 'hex') FROM staff").fetchall())
    assert named == {"1": first.act_id, "3": first.act_id, "2": second.act_id, "4": second.act_id}
    assert [(m.staff, m.licence, m.wards, m.pool) for m in staff.members(conn)] == [
        ("1", "here", ["hosp^icu"], []), ("2", "here", ["hosp^3a"], []), ("3", "none", ["hosp^icu"], ["hosp^3a"]),
        ("4", "here", [], []),
    ]  # fmt: skip


def test_who_is_absent_has_ended_with_his_sessions_and_comes_back_by_a_later_file(conn: psycopg.Connection) -> None:
    load(conn, LI, WANG, ZHAO)
    of_li, of_wang = signed_in(conn, "1"), signed_in(conn, "2")
    assert load(conn, LI, ZHAO).ended == ["2"]
    assert (works(conn, "1"), works(conn, "2")) == (True, False)
    session = login_sessions.find(conn, of_wang)
    assert session is not None
    assert (session.ended_by, session.end_reason) == (ANN.by, "no longer in the staff file")
    kept = login_sessions.find(conn, of_li)
    assert kept is not None
    assert kept.ended_at is None
    assert load(conn, LI, ZHAO).unchanged == ["1", "3"]
    assert load(conn, LI, WANG, ZHAO).changed == ["2"]
    assert works(conn, "2")


def test_the_first_and_the_last_day_count(conn: psycopg.Connection) -> None:
    today = datetime.now().astimezone().date()
    day = timedelta(days=1)
    load(conn, *(
        StaffRow(number, number, "nurse", "here", first_day=first, last_day=last)
        for number, first, last in (
            ("1", today, today), ("2", today + day, None), ("3", None, today - day), ("4", None, None)
        )
    ))  # fmt: skip
    assert [works(conn, number) for number in "1234"] == [True, False, False, True]


def test_a_number_is_never_given_to_another_person(conn: psycopg.Connection) -> None:
    load(conn, LI, WANG, ZHAO)
    renamed = StaffRow("1", "李丽", "nurse", "here", None, ("hosp^icu",))
    with pytest.raises(VitalwireError, match=r"1 is 李娜, and the file calls it 李丽: .*--same-person 1"):
        load(conn, renamed, WANG, ZHAO)
    assert staff.members(conn)[0].name == "李娜"
    load(conn, renamed, WANG, ZHAO, same=("1",))
    assert staff.members(conn)[0].name == "李丽"
    said = [act.details["same_person"] for act in acts.acts(conn) if act.kind == "staff.import"]
    assert said == [[], ["1"]]
    load(conn, renamed, ZHAO)
    nurse = StaffRow("2", "王 伟", "nurse", "here")
    with pytest.raises(VitalwireError, match=r"2 .* had ended as physician and comes back as nurse"):
        load(conn, renamed, nurse, ZHAO)
    load(conn, renamed, nurse, ZHAO, same=("2",))
    assert works(conn, "2")


def test_who_was_ended_by_hand_stays_ended_whatever_files_say(conn: psycopg.Connection) -> None:
    load(conn, LI, WANG, ZHAO)
    session = signed_in(conn, "2")
    with pytest.raises(VitalwireError, match="needs a reason"):
        staff.end(conn, "2", ANN)
    left = Author(ANN.by, "left")
    staff.end(conn, "2", left)
    ended = login_sessions.find(conn, session)
    assert ended is not None
    assert ended.end_reason == "left"
    for number, words in (("2", "王伟 .2. has ended already"), ("9", "nobody has the number '9'")):
        with pytest.raises(VitalwireError, match=words):
            staff.end(conn, number, left)
    assert load(conn, LI, WANG, ZHAO).kept_ended == ["2"]
    assert not works(conn, "2")
    assert load(conn, LI, WANG, ZHAO, same=("2",)).changed == ["2"]
    assert works(conn, "2")


def test_a_file_that_ends_half_waits_for_a_second_person(conn: psycopg.Connection) -> None:
    load(conn, LI, WANG)
    with pytest.raises(SecondPersonError, match="takes two people"):
        load(conn, LI)
    assert works(conn, "2")
    waits = staff.ask_for(conn, [LI], FILE, author=ANN)
    assert waits.request is not None
    assert f"end 1 of 2 who work here, half or more: .*agree {waits.request}".split(":")[0] in str(waits)
    assert staff.ask_for(conn, [LI], FILE, author=ANN).request == waits.request
    with pytest.raises(SecondPersonError):
        load(conn, LI)
    second_person.agree(conn, waits.request, BOB)
    with pytest.raises(SecondPersonError):  # it is for this file alone
        staff.import_file(conn, [WANG], FILE, author=ANN)
    with pytest.raises(SecondPersonError):  # and for these two
        staff.import_file(conn, [LI], FILE, author=Author("os:eve@office"))
    assert load(conn, LI).ended == ["2"]
    (done,) = [act for act in acts.acts(conn) if act.kind == "staff.import" and act.details["second_person"]]
    assert done.details["second_person"] == str(waits.request)
    load(conn, LI, WANG)
    with pytest.raises(SecondPersonError):  # once
        load(conn, LI)


def test_a_last_day_that_is_over_ends_people_too(conn: psycopg.Connection) -> None:
    load(conn, LI, WANG)
    with pytest.raises(SecondPersonError):
        load(conn, StaffRow("1", "李娜", "nurse", "here", last_day=date(2020, 1, 1)), WANG)


def test_thousands_of_rows_are_one_import(conn: psycopg.Connection) -> None:
    rows = [StaffRow(f"N{number:05}", f"name {number}", "nurse", "here", None, ("hosp^icu",)) for number in range(2000)]
    load(conn, *rows)
    found = acts.acts(conn)
    assert [act.kind for act in found].count("staff.import") == 1
    digests = [digest for act in found if act.kind == "staff.rows" for digest in act.details["rows"].items()]
    assert dict(digests) == {member.staff: member.digest.hex() for member in staff.members(conn)}


def test_wards_are_those_of_the_beds(database: str) -> None:
    migrate(database)
    with open_store(database) as conn:
        assert staff.known_wards(conn) == set()
        keep_bed_names(conn, {"hosp^icu^^1": "ICU-1", "hosp^icu^^2": "ICU-2", "hosp^3a^1^1": "3A-1"})
        assert staff.known_wards(conn) == {"hosp^icu", "hosp^3a"}
