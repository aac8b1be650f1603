"""Commands about patients as people who signed in: what they see, what they are refused, and the look that stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emr_store import acts
from emr_store.connect import open_store
from gateway.access.words import Role
from tests.adt import visit_of
from tests.attributing import Hospital
from tests.commands import as_json, vitalwire
from tests.gateway.asking import name_beds
from tests.gateway.hospital import DEVICE, admit, disagree, open_hospital
from tests.gateway.signing_in import hire
from tests.gateway.test_app import connect
from tests.gateway.ward import Page
from tests.vitalwire.logging_in import log_in_as
from vitalwire.gateway_client import NO_ACCESS

SHORT = str(DEVICE)[:8]


@pytest.fixture(scope="module")
def hospital(module_database: str) -> Hospital:
    made = open_hospital(module_database)
    name_beds(module_database)
    admit(made)
    return made


@pytest.fixture(scope="module")
def page(module_database: str, hospital: Hospital) -> Iterator[Page]:
    """N1 is a nurse of the ward, N2 of another one, T1 repairs monitors there."""
    served = Page(module_database)
    served.start()
    assert connect(served, "/sign-in").status == 200  # it is there
    hire(module_database, "N1", Role.NURSE)
    hire(module_database, "N2", Role.NURSE, wards=("h^surgery",))
    hire(module_database, "T1", Role.BIOMEDICAL_ENGINEER)
    yield served
    served.stop()
    hospital.store.hang_up()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("VITALWIRE_DATABASE", raising=False)


def refused(command: str, *more: str) -> str:
    """The last line: the gateway runs in this process, and logs its refusals before."""
    code, text = vitalwire(command, *more)
    assert code == 2, text
    return text.splitlines()[-1]


def looks(page: Page, person: str) -> list[Any]:
    with open_store(page.database) as conn:
        sql = "SELECT DISTINCT page, encounters FROM look WHERE person = %s ORDER BY page, encounters"
        return conn.execute(sql, (person,)).fetchall()


def test_a_nurse_reads_her_ward_and_each_look_is_kept(page: Page) -> None:
    log_in_as(page, "N1")
    listed = as_json("patients list")
    assert [each["encounter"] for each in listed] == [visit_of("V1"), visit_of("V2")]
    assert "张**" in vitalwire("patients list")[1]
    shown = as_json("patients show V1")
    assert (shown["person"]["name"], len(shown["stays"])) == ("张三", 1)
    assert "because" in shown["stays"][0]
    assert "张三" in vitalwire("patients show 00012345")[1]
    found = as_json(f"whose {SHORT} now")
    assert (found["encounter"], found["state"]) == (visit_of("V1"), "attributed")
    assert any(fact["words"].startswith("ADT A01") for fact in found["facts"])
    assert vitalwire(f"whose {SHORT} now")[1].startswith("00012345^HOSP^MR (张三), visit V1, by the bed alone\n")
    assert as_json("worklist list") == []
    assert looks(page, "N1") == [
        ("device", [visit_of("V1")]), ("patient", [visit_of("V1")]), ("ward", [visit_of("V1"), visit_of("V2")]),
    ]  # fmt: skip
    for command in ("patients show 4711", f"whose ffff{SHORT} now", "worklist show 99999"):
        assert refused(command) == NO_ACCESS, command


def test_another_wards_nurse_is_asked_for_a_reason_and_sees_nothing(page: Page) -> None:
    log_in_as(page, "N2")
    assert as_json("patients list") == []
    for command in ("patients show V1", f"whose {SHORT} now"):
        text = refused(command)
        assert text.startswith("a reason is asked for, as it is no stay of yours: give one on http")
        assert "张" not in text
    assert looks(page, "N2") == []


def test_who_has_no_business_with_names_is_refused_as_if_nothing_were_there(page: Page) -> None:
    log_in_as(page, "T1")
    assert as_json("patients list") == []
    for command in ("patients show V1", "patients show V9", f"whose {SHORT} now", "worklist list", "worklist show 1"):
        assert refused(command) == NO_ACCESS, command


def test_values_are_those_of_ones_own_ward_and_of_who_looks_after_monitors(page: Page) -> None:
    log_in_as(page, "N1")
    values = as_json("latest")
    assert [(each["device"], each["bed"], each["value"]) for each in values] == [
        (str(DEVICE), "ICU-1", 72), (str(DEVICE), "ICU-1", 97),
    ]  # fmt: skip
    assert "ICU-1" in vitalwire("latest")[1]
    assert ("ward", [visit_of("V1")]) in looks(page, "N1")
    log_in_as(page, "T1")
    assert as_json("latest") == values
    log_in_as(page, "N2")
    assert as_json("latest") == []


def test_a_question_is_read_and_resolved_as_the_nurse(page: Page, hospital: Hospital) -> None:
    disagree(hospital)
    log_in_as(page, "N2")
    assert as_json("worklist list") == []
    log_in_as(page, "N1")
    (asked,) = as_json("worklist list")
    item = asked["item"]
    assert "the device's sender named P2" in vitalwire(f"worklist show {item}")[1]
    assert "患者号" in vitalwire("worklist list --language zh")[1]
    code, text = vitalwire(f"worklist resolve {item} --adt-is-right", "--why", "not discharged on the monitor")
    assert (code, text.startswith(f"item {item} is resolved: ICU-1 ")) == (0, True), text
    assert as_json("worklist list") == []
    again = refused(f"worklist resolve {item}", "--why", "again")
    assert again == "it is not asked any more: it ceased, or somebody was faster"
    with open_store(page.database) as conn:
        assert [act.by for act in acts.acts(conn) if act.kind == "worklist.resolve"] == ["staff:N1"]


def test_a_database_that_is_written_out_is_an_operators_door(page: Page) -> None:
    log_in_as(page, "T1")
    code, text = vitalwire(f"patients list --database {page.database}")
    assert (code, "张**" in text) == (0, True)
    assert "operators' door" in " ".join(vitalwire("patients list --help")[1].split())
