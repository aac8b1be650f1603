"""The staff file as hospitals send it: what is read, and what is said of a line that cannot be."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emr_store.staff import StaffRow
from gateway.access.viewer import Licence
from gateway.access.words import Role
from gateway.people.staff_file import LineError, read_staff_file

WARDS = {"hosp^icu", "hosp^3a", "hosp^3b"}
HEADING = "staff,name,role,licence,wards,from,until,pool"
CHINESE = """工号,姓名,角色,执业,病区,起,止,机动病区
1001,李娜,护士,本院,ICU;3A,2026-01-01,,
1002,王伟,医师,认可至 2027-01-31,ICU,,2026-12-31,
1003,赵敏,实习,无,ICU,,,3a；3B
"""
READ = [
    StaffRow("1001", "李娜", Role.NURSE, Licence.HERE, None, ("hosp^icu", "hosp^3a"), date(2026, 1, 1)),
    StaffRow("1002", "王伟", Role.PHYSICIAN, Licence.RECOGNISED, date(2027, 1, 31), ("hosp^icu",), None,
             date(2026, 12, 31)),
    StaffRow("1003", "赵敏", Role.TRAINEE, Licence.NONE, None, ("hosp^icu",), pool=("hosp^3a", "hosp^3b")),
]  # fmt: skip


def errors_of(*lines: str) -> Sequence[LineError]:
    found = read_staff_file("\n".join((HEADING, *lines)).encode(), WARDS)
    assert found.rows == ()
    return found.errors


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_file_is_read_as_it_comes(encoding: str, newline: str) -> None:
    found = read_staff_file(CHINESE.replace("\n", newline).encode(encoding), WARDS)
    assert (list(found.rows), found.errors) == (READ, ())


def test_headings_roles_and_licences_are_english_too() -> None:
    text = 'Role, Staff ,name,LICENSE,until,from,ward\nBiomedical Engineer,E-1,"Li, Na",here,,,\n'
    (row,) = read_staff_file(text.encode(), WARDS).rows
    assert row == StaffRow("E-1", "Li, Na", Role.BIOMEDICAL_ENGINEER, Licence.HERE)


@pytest.mark.parametrize(("line", "words"), [
    ("1,Li,nurze,here,ICU,,,", "'nurze' is no role: known are nurse, physician, technician, biomedical_engineer,"
     " record_office, auditor, second_auditor, trainee, administrator; is it nurse?"),
    ("1,Li,station_display,here,ICU,,,", "'station_display' is no role: known are nurse,"),
    ("1,Li,nurse,here,IUC,,,", "wards: 'IUC' is no ward: known are ICU^HOSP, 3A^HOSP, 3B^HOSP"),
    ("1,Li,nurse,here,ICU,,,4C", "pool: '4C' is no ward: known are"),
    ("1,Li,nurse,maybe,ICU,,,", "'maybe' is no licence: known are here, recognised until 2027-01-31, none"),
    ("1,Li,nurse,recognised until soon,ICU,,,", "licence 'soon' is no day: write it as 2026-11-30"),
    ("1,Li,nurse,here,ICU,2026-02-30,,", "from '2026-02-30' is no day: write it as 2026-11-30"),
    ("1,Li,nurse,here,ICU,2026-02-02,2026-02-01,", "until 2026-02-01 lies before from 2026-02-02"),
    (",Li,nurse,here,ICU,,,", "the number (staff, 工号) is empty"),
    ("display:1,Li,nurse,here,ICU,,,", "'display:1' is no number: letters, digits, '.', '-' and '_', at most 64"),
    ("1,,nurse,here,ICU,,,", "the name is empty"),
    ("1,Li\x00,nurse,here,ICU,,,", "'Li\\x00' is no name: text in one line, of at most 200 characters"),
    ("1,Li,nurse,here,ICU,3A,,", "from '3A' is no day"),
    ("1,Li,nurse,here,ICU,,,,3A", "9 cells under 8 columns: wards have ';' between them, text with ',' quotes"),
    ('1,"Li,nurse', "this is no CSV: unexpected end of data"),
])  # fmt: skip
def test_a_line_that_cannot_be_read_is_named_with_what_would_be_right(line: str, words: str) -> None:
    errors = errors_of("0,Wang,nurse,here,ICU,,,", line)
    assert errors[0].line == 3
    assert errors[0].text.startswith(words)


def test_every_error_is_named_at_once_by_the_line_of_an_editor() -> None:
    errors = errors_of("1,Li,nurse,here,ICU,,,", "", '2,"Li', 'Na",nurse,here,ICU,,,', "1,Wang,boss,x,ICU,,,",
                       "１,Li,nurse,here,ICU,,,")  # fmt: skip
    assert [error.line for error in errors] == [4, 6, 6, 7]
    errors = errors_of("a1,Li,nurse,here,ICU,,,", "A1,Li,nurse,here,ICU,,,")
    assert errors == [LineError(3, "the number A1 is in line 2 already: one line a person")]


@pytest.mark.parametrize(("content", "words"), [
    (b"", "there is nobody in this file: a heading, then a line a person"),
    (HEADING.encode(), "there is nobody in this file"),
    (b"staff,name\n1,Li", "there is no column role, licence, wards, from, until: the first line names the columns"),
    (HEADING.replace("name", "nome").encode(), "'nome' is no column: known are staff, name, role,"),
    (f"{HEADING},staff".encode(), "the column staff is there twice"),
    (b"\xff\xff\xff", "neither UTF-8 nor GB18030: save it as CSV UTF-8"),
])  # fmt: skip
def test_a_file_that_is_none(content: bytes, words: str) -> None:
    found = read_staff_file(content, WARDS)
    assert found.rows == ()
    assert found.errors[0].text.startswith(words)


_days = st.none() | st.dates(date(1990, 1, 1), date(2090, 1, 1))
_wards = st.lists(st.sampled_from(sorted(WARDS)), unique=True).map(tuple)


@st.composite
def _rows(draw: st.DrawFn) -> StaffRow:
    licence = draw(st.sampled_from(sorted(Licence)))
    recognised = licence is Licence.RECOGNISED
    first, last = draw(_days), draw(_days)
    if first and last and last < first:
        first, last = last, first
    name = draw(st.text("李娜O'’\",; ab", min_size=1, max_size=20).filter(lambda text: text == text.strip() != ""))
    role = draw(st.sampled_from(sorted(set(Role) - {Role.STATION_DISPLAY, Role.MACHINE})))
    until = draw(st.dates(date(1990, 1, 1), date(2090, 1, 1))) if recognised else None
    staff = draw(st.from_regex(r"[A-Z0-9._-]{1,12}", fullmatch=True))
    return StaffRow(staff, name, role, licence, until, draw(_wards), first, last, draw(_wards))


@given(st.lists(_rows(), min_size=1, max_size=8, unique_by=lambda row: row.staff.casefold()), st.booleans())
def test_what_was_written_is_read(rows: list[StaffRow], in_gb18030: bool) -> None:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADING.split(","))
    for row in rows:
        licence = f"recognised until {row.licence_until}" if row.licence_until else row.licence
        wards, pool = (";".join(ward.partition("^")[2] for ward in each) for each in (row.wards, row.pool))
        writer.writerow([row.staff, row.name, row.role, licence, wards, row.first_day or "", row.last_day or "", pool])
    content = out.getvalue().encode("gb18030" if in_gb18030 else "utf-8-sig")
    found = read_staff_file(content, WARDS)
    assert (found.errors, list(found.rows)) == ((), rows)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"{HEADING}\n{text}".encode()))
def test_whatever_comes_is_read_or_named(content: bytes) -> None:
    found = read_staff_file(content, WARDS)
    assert bool(found.rows) != bool(found.errors)
    assert all(1 <= error.line <= content.count(b"\n") + content.count(b"\r") + 1 for error in found.errors)
