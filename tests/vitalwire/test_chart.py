"""`vitalwire chart`, as people type it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clinical.chart_policy import read_policies
from emr_store import chart_policies
from emr_store.instants import moment
from gateway.access.viewer import Licence
from gateway.access.words import Role
from tests.adt import group, us
from tests.charting import CLAIM, POLICIES, SLOT, SPO2_ID, Ward, spo2
from tests.commands import as_json, vitalwire
from tests.conftest import Databases
from tests.gateway.signing_in import hire
from tests.gateway.test_app import connect
from tests.gateway.ward import Page
from tests.storing import event
from tests.vitalwire.logging_in import log_in_as
from vitalwire.gateway_client import NO_ACCESS

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
def page(database: str) -> Iterator[Page]:
    served = Page(database)
    served.start()
    assert connect(served, "/sign-in").status == 200  # it is there
    hire(database, "N1", Role.NURSE, name="Wang")
    hire(database, "N2", Role.NURSE, wards=("h^surgery",))
    hire(database, "S1", Role.TRAINEE, licence=Licence.NONE)
    hire(database, "T1", Role.BIOMEDICAL_ENGINEER)
    yield served
    served.stop()


@pytest.fixture
def ward(made_once: Ward, database: str, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """N1 of its ward has made `vitalwire login`."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    log_in_as(page, "N1")
    return made_once.in_copy(database)


def refused(command: str, *more: str) -> str:
    """The last line: the gateway runs in this process, and logs its refusals before."""
    code, text = vitalwire(command, *more)
    assert code == 2, text
    return text.splitlines()[-1]


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
        f"chart confirm {ident}"
    )
    assert refused(f"chart confirm {ident}") == "it is confirmed already: correct it, or withdraw it"
    ward.emit(spo2(60, 91))
    ward.chart()
    text = shows(f"chart show V1 {SINCE}")
    assert "final, unsigned" in text
    assert "proposed: 91" in text
    shows(f"chart correct {ident[:20]} 92 --why", "read at the bed")
    assert "read at the bed" in shows(f"chart show V1 {SINCE}")
    shows(f"chart withdraw {ident} --why", "of the next bed")
    text = shows(f"chart show V1 {SINCE} --versions")
    assert [word in text for word in ("97", "92", "entered-in-error", "of the next bed")] == [True] * 4
    acts = [(act["kind"], act["by"]) for act in as_json("acts list")]
    assert acts[-3:] == [(f"chart.{kind}", "staff:N1") for kind in ("confirm", "correct", "withdraw")]


def test_what_is_proposed_is_accepted_with_its_sources(ward: Ward) -> None:
    (entry,) = as_json(f"chart show V1 {SINCE}")
    shows(f"chart confirm {entry['entry']}")
    ward.emit(spo2(60, 91))
    ward.chart()
    assert ": amended, unsigned" in shows(f"chart accept {entry['entry']}")
    (entry,) = as_json(f"chart show V1 {SINCE}")
    newest = entry["versions"][-1]
    assert (newest["value"], newest["origin"], len(newest["sources"])) == (91, "device", 1)
    assert refused(f"chart accept {entry['entry']}").startswith("no other value is proposed for it")


def test_values_by_hand_and_their_totals(ward: Ward) -> None:
    assert "Pain" not in shows(f"chart show V1 {SINCE}")
    shows(f"chart enter V1 pain 3 --at {moment(us(60)).isoformat()}")
    assert "3 {score}" in shows(f"chart enter V1 pain 3 --at {moment(us(90)).isoformat()}")
    for hour in (1, 2, 3):
        shows(f"chart enter V1 urine 100 --at {moment(us(hour * 3600)).isoformat()}")
    until = moment(us(3 * 3600)).isoformat()
    assert "incomplete: 300 mL, from" in shows(f"chart totals V1 urine --until {until}")
    assert as_json(f"chart totals V1 drain --until {until}") is None
    assert "no volume" in vitalwire("chart totals V1 pain")[1]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("chart show V9", NO_ACCESS),
        ("chart enter V9 pain 3", NO_ACCESS),
        ("chart enter V1 pain x", "'x' is no number"),
        ("chart enter V1 pain 12", "12.0 is not possible"),
        ("chart enter V1 pain 3 --at 2099-01-01T10:00Z", "lies ahead"),
        ("chart enter V1 pain 3 --at 2020-01-01T10:00Z", "before the stay began"),
        ("chart take V1 MDC_TEMP", "no policy of the ward says"),
        ("chart confirm ffffffff", NO_ACCESS),
        ("chart confirm zz", NO_ACCESS),
        ("chart gaps V9", NO_ACCESS),
    ],
)
def test_what_cannot_be_is_refused_in_words(ward: Ward, command: str, why: str) -> None:
    assert why in refused(command)


def test_who_is_of_another_ward_or_has_no_business_with_charts_does_nothing(ward: Ward, page: Page) -> None:
    (entry,) = as_json(f"chart show V1 {SINCE}")
    acts = ("enter V1 pain 3", f"confirm {entry['entry']}", f"withdraw {entry['entry']} --why wrong")
    log_in_as(page, "N2")
    for command in ("show V1", "totals V1 urine", "gaps V1", *acts):
        assert refused(f"chart {command}").startswith("a reason is asked for, as it is no stay of yours"), command
    log_in_as(page, "T1")
    for command in ("show V1", "totals V1 urine", "gaps V1", *acts):
        assert refused(f"chart {command}") == NO_ACCESS, command
    assert not [act for act in as_json("acts list") if act["by"].startswith("staff:")]


def test_what_a_trainee_enters_is_pending_until_a_nurse_confirms_it(ward: Ward, page: Page) -> None:
    log_in_as(page, "S1")
    assert ": preliminary, unsigned" in shows(f"chart enter V1 pain 3 --at {moment(us(60)).isoformat()}")
    (entry,) = [each for each in as_json(f"chart show V1 {SINCE}") if each["item"] == "pain"]
    assert refused(f"chart confirm {entry['entry']}") == NO_ACCESS
    log_in_as(page, "N1")
    assert ": final, unsigned" in shows(f"chart confirm {entry['entry']}")


def test_nobody_acts_who_is_not_signed_in(ward: Ward) -> None:
    assert vitalwire("logout") == (0, "signed out\n")
    assert refused("chart enter V1 pain 3") == "nobody is signed in here: vitalwire login"
    assert "preliminary" in shows(f"chart show V1 {SINCE}")  # as an operator, by VITALWIRE_DATABASE


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
