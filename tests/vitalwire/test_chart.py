"""`vitalwire chart`, as people type it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clinical.chart_policy import read_policies
from emr_store import chart_policies
from emr_store.instants import moment
from tests.adt import group, us
from tests.charting import CLAIM, POLICIES, SLOT, SPO2_ID, Ward, spo2
from tests.commands import as_json, vitalwire
from tests.conftest import Databases
from tests.storing import event

SINCE = f"--since {moment(us(0)).isoformat()} --until {moment(us(2000)).isoformat()}"


@pytest.fixture(scope="module")
def made_once(module_database: str) -> Ward:
    """One entry, of 97 %, at 14:15."""
    made = Ward(module_database, read_policies(POLICIES))
    made.place()
    made.hospital.emit_records([group("A01", 0)])
    with made.store.open() as conn:
        chart_policies.note_policies(conn, POLICIES)
    made.emit(spo2(50, 97))
    made.chart()
    made.store.hang_up()
    return made


@pytest.fixture
def database(databases: Databases, made_once: Ward) -> Iterator[str]:
    yield from databases.copy_of(made_once.store.address)


@pytest.fixture
def ward(made_once: Ward, database: str, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    return made_once.in_copy(database)


def shows(command: str, *more: str) -> str:
    code, text = vitalwire(command, *more)
    assert code == 0, text
    return text


def test_what_is_charted_is_confirmed_unsigned_corrected_and_withdrawn(ward: Ward) -> None:
    (entry,) = as_json(f"chart show V1 {SINCE}")
    assert [version["status"] for version in entry["versions"]] == ["preliminary"]
    assert (entry["item"], entry["versions"][0]["value"], entry["versions"][0]["signed"]) == (SPO2_ID, 97, False)
    ident = entry["entry"]
    assert "preliminary" in shows(f"chart show V1 {SINCE}")
    assert f"97 % at 2026-09-21 {moment(us(SLOT)).astimezone():%H:%M}:00: final, unsigned" in shows(
        f"chart confirm {ident} --by Li"
    )
    assert vitalwire(f"chart confirm {ident} --by Li") == (2, "it is confirmed already: correct it, or withdraw it")
    ward.emit(spo2(60, 91))
    ward.chart()
    text = shows(f"chart show V1 {SINCE}")
    assert "final, unsigned" in text
    assert "proposed: 91" in text
    shows(f"chart correct {ident[:20]} 92 --by Li --why", "read at the bed")
    assert "read at the bed" in shows(f"chart show V1 {SINCE}")
    shows(f"chart withdraw {ident} --by Li --why", "of the next bed")
    text = shows(f"chart show V1 {SINCE} --versions")
    assert [word in text for word in ("97", "92", "entered-in-error", "of the next bed")] == [True] * 4
    kinds = [act["kind"] for act in as_json("acts list")]
    assert kinds[-3:] == ["chart.confirm", "chart.correct", "chart.withdraw"]


def test_what_is_proposed_is_accepted_with_its_sources(ward: Ward) -> None:
    (entry,) = as_json(f"chart show V1 {SINCE}")
    shows(f"chart confirm {entry['entry']} --by Li")
    ward.emit(spo2(60, 91))
    ward.chart()
    assert ": amended, unsigned" in shows(f"chart accept {entry['entry']} --by Li")
    (entry,) = as_json(f"chart show V1 {SINCE}")
    newest = entry["versions"][-1]
    assert (newest["value"], newest["origin"], len(newest["sources"])) == (91, "device", 1)
    assert vitalwire(f"chart accept {entry['entry']} --by Li")[1].startswith("no other value is proposed for it")


def test_values_by_hand_and_their_totals(ward: Ward) -> None:
    assert "Pain" not in shows(f"chart show V1 {SINCE}")
    shows(f"chart enter V1 pain 3 --at {moment(us(60)).isoformat()} --by Li")
    assert "3 {score}" in shows(f"chart enter V1 pain 3 --at {moment(us(90)).isoformat()} --by Li")
    for hour in (1, 2, 3):
        shows(f"chart enter V1 urine 100 --at {moment(us(hour * 3600)).isoformat()} --by Li")
    until = moment(us(3 * 3600)).isoformat()
    assert "incomplete: 300 mL, from" in shows(f"chart totals V1 urine --until {until}")
    assert as_json(f"chart totals V1 drain --until {until}") is None
    assert "no volume" in vitalwire("chart totals V1 pain")[1]


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        ("chart show V9", "no encounter has the number 'V9'"),
        ("chart enter V9 pain 3 --by Li", "no encounter has the number 'V9'"),
        ("chart enter V1 pain x --by Li", "'x' is no number"),
        ("chart enter V1 pain 12 --by Li", "12.0 is not possible"),
        ("chart enter V1 pain 3 --at 2099-01-01T10:00Z --by Li", "lies ahead"),
        ("chart confirm ffffffff --by Li", "no entry has the id 'ffffffff'"),
        ("chart confirm zz --by Li", "no entry has the id 'zz'"),
        ("chart gaps V9", "no encounter has the number 'V9'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(ward: Ward, command: str, refused: str) -> None:
    code, text = vitalwire(command)
    assert (code, refused in text) == (2, True), text


def test_an_empty_slot_says_why_with_what_shows_it(ward: Ward) -> None:
    ward.store.emit(event(CLAIM, "silent", "30 s", us(150)), event(CLAIM, "heard-again", "", us(500)))
    (gap, *others) = as_json(f"chart gaps V1 --item {SPO2_ID} {SINCE}")
    assert gap["gaps"][0]["reason"] == "unplugged"
    assert gap["gaps"][0]["evidence"][0] == {"kind": "event", "reference": "silent"}
    assert others[-1]["gaps"][0]["reason"] == "not measured"
    assert "unplugged" in shows(f"chart gaps V1 --item {SPO2_ID} {SINCE}")


def test_a_file_of_policies_is_checked_before_it_is_used(tmp_path: Path) -> None:
    file = tmp_path / "chart.toml"
    file.write_text(POLICIES, "utf-8")
    assert shows(f"chart check {file}") == "2 policies, days of UTC\n"
    file.write_text(POLICIES.replace("5 min", "7 min"), "utf-8")
    code, text = vitalwire(f"chart check {file}")
    assert (code, "line 5: a day cannot be divided into slots of 7 min" in text) == (2, True)
