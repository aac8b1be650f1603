"""The staff file: CSV of who works here, from the hospital's personnel system, read without a database.

A heading, then a line a person, columns in any order: staff (工号), name, role, licence (`here`, `none`, or
`recognised until DATE`), wards (`;` between them), from, until (days, both count; empty: from ever, without an end)
and, of one who floats, pool. Headings, roles and licences are English or Chinese. UTF-8 with or without BOM, else
GB18030.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from io import StringIO
from typing import NamedTuple

from clinical.ward_names import UnknownWardError, find_ward
from emr_store.staff import StaffRow
from gateway.access.viewer import Licence
from gateway.access.words import Role

STAFF_CHARS_MAX = 64
NAME_CHARS_MAX = 200
_HEADINGS = {
    "staff": ("staff", "工号", "staff number", "员工号", "职工号"),
    "name": ("name", "姓名"),
    "role": ("role", "角色", "岗位"),
    "licence": ("licence", "license", "执业", "执业资格", "执业证"),
    "wards": ("wards", "ward", "病区", "科室"),
    "from": ("from", "起", "开始日期", "起始日期"),
    "until": ("until", "止", "结束日期", "截止日期"),
    "pool": ("pool", "机动病区", "轮转病区"),
}
_REQUIRED = ("staff", "name", "role", "licence", "wards", "from", "until")
_ROLES = {
    Role.NURSE: ("护士", "护师"),
    Role.PHYSICIAN: ("医师", "医生", "doctor"),
    Role.TECHNICIAN: ("技师", "技士"),
    Role.BIOMEDICAL_ENGINEER: ("医学工程师", "医工", "biomedical engineer"),
    Role.RECORD_OFFICE: ("病案室", "病案管理员", "record office"),
    Role.AUDITOR: ("审计员",),
    Role.SECOND_AUDITOR: ("第二审计员", "second auditor"),
    Role.TRAINEE: ("实习", "进修", "规培", "学员"),
    Role.ADMINISTRATOR: ("管理员",),
}
_ROLE_BY_WORD = {word: role for role, words in _ROLES.items() for word in (str(role), *words)}
_HEADING_BY_WORD = {word: heading for heading, words in _HEADINGS.items() for word in words}
_LICENCE_BY_WORD = {
    "here": Licence.HERE, "本院": Licence.HERE, "本机构": Licence.HERE, "none": Licence.NONE, "无": Licence.NONE
}  # fmt: skip
_RECOGNISED = re.compile(r"(?:recognised until|recognized until|认可至)\s*(\S+)")
_DAY = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})")
_BETWEEN = re.compile("[;；、]")


class LineError(NamedTuple):
    """What is wrong in a line, counted from 1 as an editor does, and what would be right."""

    line: int
    text: str


@dataclass(frozen=True)
class StaffFile:
    """The rows, where there is no error; with any, nothing of the file may be imported."""

    rows: Sequence[StaffRow]
    errors: Sequence[LineError]


def read_staff_file(content: bytes, wards: Collection[str]) -> StaffFile:
    """`wards`: keys of those that the site registered."""
    text = _decoded(content)
    if text is None:
        return StaffFile((), [LineError(1, "neither UTF-8 nor GB18030: save it as CSV UTF-8")])
    rows: list[StaffRow] = []
    errors: list[LineError] = []
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    headings: list[str] | None = None
    first_line: dict[str, int] = {}  # of each number
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if headings is None:
                    headings = _headings(cells, line, errors)
                    if errors:
                        break
                else:
                    row = _row(headings, cells, line, wards, errors)
                    if row is not None and _is_first(row, line, first_line, errors):
                        rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        errors.append(LineError(line, f"this is no CSV: {error}"))
    if not errors and not rows:
        errors.append(LineError(1, "there is nobody in this file: a heading, then a line a person"))
    return StaffFile((), sorted(errors)) if errors else StaffFile(rows, ())


def _decoded(content: bytes) -> str | None:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _word(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def _headings(cells: Sequence[str], line: int, errors: list[LineError]) -> list[str]:
    """The column of each cell."""
    found: list[str] = []
    for cell in cells:
        heading = _HEADING_BY_WORD.get(_word(cell))
        if heading is None:
            text = f"{cell.strip()!r} is no column: known are {', '.join(_HEADINGS)}{_near(cell, _HEADING_BY_WORD)}"
            errors.append(LineError(line, text))
            continue
        if heading in found:
            errors.append(LineError(line, f"the column {heading} is there twice"))
        found.append(heading)
    missing = [heading for heading in _REQUIRED if heading not in found]
    if missing:
        errors.append(LineError(line, f"there is no column {', '.join(missing)}: the first line names the columns"))
    return found


def _is_first(row: StaffRow, line: int, first_line: dict[str, int], errors: list[LineError]) -> bool:
    first = first_line.setdefault(row.staff.casefold(), line)
    if first != line:
        errors.append(LineError(line, f"the number {row.staff} is in line {first} already: one line a person"))
    return first == line


def _row(
    headings: Sequence[str], cells: Sequence[str], line: int, wards: Collection[str], errors: list[LineError]
) -> StaffRow | None:
    """None: something in it is wrong, and is among the errors."""
    if len(cells) > len(headings):
        text = f"{len(cells)} cells under {len(headings)} columns: wards have ';' between them, text with ',' quotes"
        errors.append(LineError(line, text))
        return None
    cell = dict.fromkeys(_HEADINGS, "") | {
        heading: each.strip() for heading, each in zip(headings, cells, strict=False)
    }
    problems: list[str] = []
    licence = _licence(cell["licence"], problems)
    first_day, last_day = _day("from", cell["from"], problems), _day("until", cell["until"], problems)
    if first_day and last_day and last_day < first_day:
        problems.append(f"until {last_day} lies before from {first_day}")
    row = StaffRow(
        staff=_staff(cell["staff"], problems), name=_name(cell["name"], problems), role=_role(cell["role"], problems),
        licence=licence.kind, licence_until=licence.until, wards=_wards("wards", cell["wards"], wards, problems),
        first_day=first_day, last_day=last_day, pool=_wards("pool", cell["pool"], wards, problems),
    )  # fmt: skip
    errors += [LineError(line, problem) for problem in problems]
    return None if problems else row


def _staff(text: str, problems: list[str]) -> str:
    number = unicodedata.normalize("NFKC", text)
    if not number:
        problems.append("the number (staff, 工号) is empty")
    elif not re.fullmatch(r"[\w.-]+", number) or len(number) > STAFF_CHARS_MAX:
        problems.append(f"{text!r} is no number: letters, digits, '.', '-' and '_', at most {STAFF_CHARS_MAX}")
    return number


def _name(text: str, problems: list[str]) -> str:
    if not text:
        problems.append("the name is empty")
    elif not text.isprintable() or len(text) > NAME_CHARS_MAX:
        problems.append(f"{text!r} is no name: text in one line, of at most {NAME_CHARS_MAX} characters")
    return text


def _role(text: str, problems: list[str]) -> str:
    role = _ROLE_BY_WORD.get(_word(text)) or _ROLE_BY_WORD.get(_word(text).replace(" ", "_"))
    if role is None:
        problems.append(f"{text!r} is no role: known are {', '.join(_ROLES)}{_near(text, _ROLE_BY_WORD)}")
        return ""
    return role


@dataclass(frozen=True)
class _StatedLicence:
    kind: Licence
    until: date | None = None


def _licence(text: str, problems: list[str]) -> _StatedLicence:
    word = _word(text)
    if word in _LICENCE_BY_WORD:
        return _StatedLicence(_LICENCE_BY_WORD[word])
    recognised = _RECOGNISED.fullmatch(word)
    if recognised is None:
        problems.append(f"{text!r} is no licence: known are here, recognised until 2027-01-31, none")
        return _StatedLicence(Licence.NONE)
    return _StatedLicence(Licence.RECOGNISED, _day("licence", recognised[1], problems))


def _day(column: str, text: str, problems: list[str]) -> date | None:
    """None: the cell is empty, or cannot be read."""
    if not text:
        return None
    stated = _DAY.fullmatch(unicodedata.normalize("NFKC", text))
    try:
        if stated is not None:
            day = date(*(int(part) for part in stated.groups()))
            if 1900 <= day.year < 9999:  # the day after it is a day too
                return day
    except ValueError:
        pass
    problems.append(f"{column} {text!r} is no day: write it as 2026-11-30")
    return None


def _wards(column: str, text: str, known: Collection[str], problems: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for each in _BETWEEN.split(text):
        if not each.strip():
            continue
        try:
            ward = find_ward(each.strip(), known)
        except UnknownWardError as error:
            problems.append(f"{column}: {error}")
            continue
        if ward not in found:
            found.append(ward)
    return tuple(found)


def _near(text: str, words: Collection[str]) -> str:
    """The nearest of the words; "" where none is near."""
    near = get_close_matches(_word(text), list(words), 1)
    return f"; is it {near[0]}?" if near else ""
