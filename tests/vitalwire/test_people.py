"""`vitalwire people`, as people type it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from emr_store import login_sessions, provider_accounts
from emr_store.acts import Author
from emr_store.bed_names import keep_bed_names
from emr_store.connect import open_store
from emr_store.login_sessions import NewSession
from emr_store.migrate import migrate
from tests.commands import as_json, vitalwire

HEADING = "工号,姓名,角色,执业,病区,起,止,机动病区"
LI, WANG = "1001,李娜,护士,本院,ICU,,,3A", "1002,王伟,医师,认可至 2027-01-31,ICU;3A,,,"
ZHAO = "1003,赵敏,实习,无,ICU,,,"


@pytest.fixture
def file(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    migrate(database)
    with open_store(database) as conn:
        keep_bed_names(conn, {"hosp^icu^^1": "ICU-1", "hosp^3a^1^1": "3A-1"})
    return tmp_path / "staff.csv"


def load(file: Path, *lines: str, more: str = "") -> tuple[int, str]:
    file.write_text("\n".join((HEADING, *lines)), "utf-8-sig")
    return vitalwire(f"people import {file} {more}")


def another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever types from now on has another account."""
    monkeypatch.setattr("vitalwire.people.this_user", lambda why="": Author("os:bob@office", why))


def test_a_staff_file_is_imported_and_listed(file: Path) -> None:
    code, text = load(file, LI, WANG, ZHAO, more="--dry-run")
    assert (code, text) == (
        0,
        "would be: 3 new, 0 changed, 0 ended, 0 unchanged, 0 kept ended\nnew: 1001, 1002, 1003\n",
    )
    assert as_json("people list") == []
    code, text = load(file, LI, WANG, ZHAO)
    assert (code, text.splitlines()[0]) == (0, "3 new, 0 changed, 0 ended, 0 unchanged, 0 kept ended")
    li, wang, zhao = as_json("people list")
    assert (li["staff"], li["role"], li["wards"], li["pool"]) == ("1001", "nurse", ["hosp^icu"], ["hosp^3a"])
    assert (wang["licence"], wang["licence_until"]) == ("recognised", "2027-01-31")
    assert zhao["name"] == "赵敏"
    text = vitalwire("people list")[1]
    assert "recognised until 2027-01-31" in text
    assert "3A^HOSP; ICU^HOSP" in text
    assert json.loads(load(file, LI, WANG, more="--json")[1]) == {
        "new": [], "changed": [], "ended": ["1003"], "unchanged": ["1001", "1002"], "kept_ended": [],
        "takes_two": False, "dry_run": False,
    }  # fmt: skip
    assert [each["staff"] for each in as_json("people list")] == ["1001", "1002"]
    assert [each["ended_at"] is None for each in as_json("people list --all")] == [True, True, False]


def test_each_line_that_is_wrong_is_named_and_nothing_is_imported(file: Path) -> None:
    code, text = load(file, LI, "1002,王伟,boss,本院,IUC,,,")
    assert code == 2
    assert text.splitlines() == [
        "line 3: 'boss' is no role: known are nurse, physician, technician, biomedical_engineer, record_office,"
        " auditor, second_auditor, trainee, administrator",
        "line 3: wards: 'IUC' is no ward: known are ICU^HOSP, 3A^HOSP",
        "nothing was imported: correct the file, and import it again",
    ]  # fmt: skip
    code, text = load(file, LI, "1002,王伟,boss,本院,ICU,,,", more="--json")
    assert code == 2
    assert json.loads(text)["errors"][0].startswith("line 3: 'boss' is no role")
    assert as_json("people list --all") == []
    with pytest.raises(FileNotFoundError):  # `main` makes one line of it
        vitalwire(f"people import {file}x")


def test_another_person_s_number_is_refused(file: Path) -> None:
    load(file, LI, WANG, ZHAO)
    renamed = LI.replace("李娜", "李丽")
    code, text = load(file, renamed, WANG, ZHAO)
    assert code == 2
    assert text.startswith("1001 is 李娜, and the file calls it 李丽: a number is never given again;"
                           " if it is one person: --same-person 1001\n")  # fmt: skip
    assert load(file, renamed, WANG, ZHAO, more="--same-person 1001")[0] == 0
    assert as_json("people list")[0]["name"] == "李丽"


def test_who_is_ended_is_out_at_once_and_stays_out(file: Path, database: str) -> None:
    load(file, LI, WANG, ZHAO)
    now = datetime.now(UTC)
    with open_store(database) as conn:
        new = NewSession("1002", "demo_link", "w", "127.0.0.1", "t", None, now + timedelta(hours=1))
        login_sessions.begin(conn, b"s", new, now)
    code, text = vitalwire("people end 1002 --why", "left")
    assert (code, text) == (0, "王伟 (1002) has ended, and so have all sessions\n")
    with open_store(database) as conn:
        session = login_sessions.find(conn, b"s")
    assert session is not None
    assert session.end_reason == "left"
    code, text = load(file, LI, WANG, ZHAO)
    assert "kept ended: 1002" in text
    assert [each["staff"] for each in as_json("people list")] == ["1001", "1003"]
    assert vitalwire("people end 9999 --why x") == (2, "nobody has the number '9999': see `vitalwire people list`")
    assert vitalwire("people end 1001")[0] == 2  # a reason is needed


def test_a_number_is_unbound_from_its_account_with_a_reason(file: Path, database: str) -> None:
    load(file, LI, WANG, ZHAO)
    with open_store(database) as conn:
        assert provider_accounts.bind(conn, "https://id.example", "s1", "1002")
    assert vitalwire("people unbind 1002")[0] == 2
    code, text = vitalwire("people unbind 1002 --why", "moved")
    assert (code, text) == (0, "the next account that says 1002 is bound to it; sessions that ended: 0\n")
    with open_store(database) as conn:
        assert provider_accounts.bind(conn, "https://id.example", "s2", "1002")


def test_half_of_the_staff_takes_two_people(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(file, LI, WANG)
    assert "it would end 1 of 2, half or more: that takes two people" in load(file, LI, more="--dry-run")[1]
    assert as_json("people asked") == []
    code, text = load(file, LI)
    assert code == 2
    (asked,) = as_json("people asked")
    assert text == (
        "this file would end 1 of 2 who work here, half or more: if it is right, let a second person do"
        f" `vitalwire people agree {asked['request']}`, then import it again"
    )  # fmt: skip
    assert (asked["kind"], asked["details"]["first"], asked["agrees"]) == ("staff_file", ["1002"], None)
    agree = f"people agree {asked['request']}"
    assert vitalwire(agree) == (2, "who asked cannot agree: it takes another person, at an account of his own")
    with monkeypatch.context() as other:
        another_user(other)
        code, text = vitalwire(agree)
        assert code == 0
        assert text.startswith("agreed to staff_file, asked by os:")
    assert "bob@office agrees" in vitalwire("people asked")[1]
    assert load(file, LI)[0] == 0
    assert [each["staff"] for each in as_json("people list")] == ["1001"]
    assert as_json("people asked") == []


def test_what_was_asked_can_be_declined(file: Path) -> None:
    load(file, LI, WANG)
    load(file, LI)
    (asked,) = as_json("people asked")
    assert "waits" in vitalwire("people asked")[1]
    code, text = vitalwire(f"people agree {asked['request']} --decline")
    assert code == 0
    assert text.startswith("declined staff_file")
    assert as_json("people asked") == []


def test_somebody_answers_for_a_trainee(file: Path) -> None:
    load(file, LI, WANG, ZHAO)
    tomorrow = (datetime.now().astimezone() + timedelta(days=1)).isoformat()
    assert vitalwire(f"people supervise 1002 1003 --until {tomorrow}")[0] == 0
    assert vitalwire(f"people supervise 1002 1001 --until {tomorrow}") == (
        2, "1002 does not answer for 1001: only who is a trainee, or has no licence, is answered for"
    )  # fmt: skip
    assert "--until lies in the past" in vitalwire("people supervise 1002 1003 --until 2020-01-01")[1]


@pytest.mark.parametrize("command", ["import", "list", "end", "unbind", "supervise", "asked", "agree"])
def test_help_has_an_example(command: str) -> None:
    assert f"vitalwire people {command}" in " ".join(vitalwire(f"people {command} --help")[1].split())
