"""`vitalwire whose`, `patients`, `worklist` and `devices associate`, as people type them."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec
import pytest

from emr_store.instants import moment
from schemas.adt import Merge, Person
from schemas.report import Kind, device_id
from tests.adt import group, number, us, visit_of
from tests.attributing import Hospital, text_of
from tests.commands import as_json, vitalwire
from tests.making import report
from tests.storing import Store, event

CLAIM = "adt/PV1-3=ICU^^1"
DEVICE = str(device_id(CLAIM))
SHORT = DEVICE[:8]


@pytest.fixture
def hospital(database: str, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    """A device at bed ICU-1; Zhang San is in it from second 0 to 60, then Li Si, who came from bed 2."""
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    hospital = Hospital(Store(database))
    hospital.store.emit(event(CLAIM, "identity", CLAIM, us(0)))
    assert vitalwire(f"devices assign {SHORT} --bed ICU-1 --since {at(-1000)}")[0] == 0
    hospital.emit(group("A01", 0, control="m1"), person=Person(name="张三", birth_date="19560214", sex="M"))
    hospital.emit(group("A01", 0, visit="V2", patient="P2", bed="2"), person=Person(family="Li", given="Si"))
    hospital.attribute()
    hospital.emit_records([group("A03", 60), group("A02", 60, visit="V2", patient="P2", control="m2")])
    return hospital


def at(second: float) -> str:
    return moment(us(second)).isoformat()


def shows(command: str, *more: str) -> str:
    code, text = vitalwire(command, *more)
    assert code == 0, text
    return text


def test_whose_says_who_by_which_way_and_the_facts_behind_it(hospital: Hospital) -> None:
    text = shows(f"whose {SHORT} {at(30)}")
    assert text.startswith("P1^HOSP^MR (张三), encounter visit:V1^HOSP, by the bed alone\n")
    assert "ADT A01 (admit) of visit V1 to bed ICU^^1, message m1 of adt" in text
    assert re.search(r"put at bed ICU-1 by \w+ \(", text)
    assert shows(f"whose {SHORT} {at(60)}").startswith("P2^HOSP^MR (Li Si), encounter visit:V2^HOSP")
    assert shows(f"whose {SHORT} {at(-1)}").startswith("nobody's\n")
    assert shows(f"whose {SHORT} {at(-2000)}").startswith("nothing is known")


def test_what_was_believed_before_can_be_asked_for(hospital: Hospital) -> None:
    before = datetime.fromisoformat(as_json(f"whose {SHORT} {at(30)}")["believed_from"]).isoformat()
    hospital.emit_records([group("A02", 90, happened=20, bed="3")])
    now, then = as_json(f"whose {SHORT} {at(30)}"), as_json(f"whose {SHORT} {at(30)} --believed-at {before}")
    assert (now["state"], then["state"], then["encounter"]) == ("nobody", "attributed", visit_of("V1"))
    assert then["believed_until"] == now["believed_from"]
    assert [f["kind"] for f in then["facts"]] == ["act", "adt"]
    stays = as_json("patients show V1")["stays"]
    assert [stay["bed"] for stay in stays] == ["h^^^1", "h^^^3"] or len(stays) == 2
    assert len(as_json(f"patients show V1 --believed-at {before}")["stays"]) == 1


def test_a_conflict_names_nobody_and_is_dealt_with_by_one_gesture(hospital: Hospital) -> None:
    hospital.store.emit(report(CLAIM, us(70), [text_of("HL7", "PID-3", "P1^^^HOSP^MR")], Kind.CONTEXT))
    hospital.attribute()
    assert shows(f"whose {SHORT} {at(80)}").startswith("in conflict: ")
    (question,) = as_json("worklist list")
    assert (question["kind"], question["subject"]) == ("bed_and_monitor_disagree", DEVICE)
    item = question["item"]
    assert "the device's sender named P1 (HOSP)" in shows(f"worklist show {item}")
    assert "患者号" in shows("worklist list --language zh")
    shows(f"worklist resolve {item} --adt-is-right", "--why", "not discharged on the monitor")
    assert as_json("worklist list") == []
    hospital.attribute()
    assert as_json(f"whose {SHORT} {at(80)}")["encounter"] == visit_of("V2")
    code, message = vitalwire(f"worklist resolve {item}", "--why", "again")
    assert (code, "no item" in message or "resolved already" in message) == (2, True)
    assert [a["kind"] for a in as_json("acts list")][-1] == "worklist.resolve"


def test_an_item_is_resolved_once_and_stays_so(hospital: Hospital) -> None:
    hospital.emit_records([group("A01", 100, visit="V3", patient="P3", bed="1")])
    (question,) = as_json("worklist list")
    assert question["kind"] == "two_in_one_bed"
    code, message = vitalwire(f"worklist resolve {question['item']} --adt-is-right", "--why", "x")
    assert (code, "about no number on a monitor" in message) == (2, True)
    shows(f"worklist resolve {question['item']}", "--why", "a bed between two")
    hospital.emit_records([group("A08", 110, visit="V3", patient="P3", bed="1")])
    assert as_json("worklist list") == []
    (resolved,) = as_json("worklist list --all")
    assert resolved["resolved_by"] is not None


def test_a_person_says_whose_a_device_is(hospital: Hospital) -> None:
    message = shows(f"devices associate {SHORT} V1 --since {at(70)} --until {at(80)}", "--why", "swapped for a scan")
    assert message.startswith(f"{DEVICE} is visit:V1^HOSP's since ")
    shows(f"devices associate {SHORT} nobody --since {at(90)} --until {at(95)}", "--why", "cleaned")
    hospital.attribute()
    assert shows(f"whose {SHORT} {at(92)}").startswith("nobody's, because a person said so\n")
    for command, problem in (
        (f"devices associate {SHORT} V9", "no encounter has"),
        (f"devices associate {SHORT} V1 --since 2999-01-01", "lies ahead"),
        (f"devices associate {SHORT} V1 --since {at(9)} --until {at(9)}", "not after the beginning"),
    ):
        code, text = vitalwire(command, "--why", "x")
        assert (code, problem in text) == (2, True), text


def test_patients_are_listed_with_masked_names(hospital: Hospital) -> None:
    hospital.emit_records([group("A13", 61, control="back")])
    text = shows("patients list")
    assert re.search(r"(?m)^h\^icu\^\^1 +P1\^HOSP\^MR +张\*\* +visit:V1", text)
    assert re.search(r"(?m)^h\^icu\^\^1 +P2\^HOSP\^MR +L\. S\. +visit:V2", text)
    assert [p["encounter"] for p in as_json(f"patients list --at {at(30)}")] == [visit_of("V1"), visit_of("V2")]
    assert "张三" in shows("patients show P1")


def test_a_patient_that_is_not_there_or_not_one(hospital: Hospital) -> None:
    code, text = vitalwire("patients show 4711")
    assert (code, "no patient and no visit" in text) == (2, True)
    code, text = vitalwire("whose", SHORT, "yesterday")
    assert (code, "is no instant" in text) == (2, True)


def test_a_name_is_erased_from_all_that_can_be_read(hospital: Hospital) -> None:
    assert "张三" in str(hospital.store.rows("SELECT texts FROM report"))
    text = shows("patients erase P1", "--why", "asked for it")
    assert "out of 1 entries and 1 reports" in text
    assert "sealed still: 2 batches" in text
    hospital.emit(group("A08", 70, control="again"), person=Person(name="张三"))
    hospital.attribute()
    for table in ("report", "patient_person", "adt_fact", "act", "worklist_item", "latest"):
        rows = str(hospital.store.rows(f"SELECT {table}::text FROM {table}"))
        assert "张三" not in rows, table
    assert "(no name is kept)" in shows("patients show P1")
    assert "Li Si" in shows("patients show P2")
    hospital.store.seal_log()
    found = as_json("verify")
    assert found["findings"] == []
    assert found["counts"]["erased"] == 2


def test_verify_finds_a_name_that_was_changed_and_not_erased(hospital: Hospital) -> None:
    hospital.store.seal_log()
    changed = """UPDATE report SET texts = replace(texts::text, '张三', '李四')::jsonb WHERE kind = 7"""
    with hospital.store.open() as conn:
        conn.execute(changed.encode())
    code, text = vitalwire("verify")
    assert (code, "the row's texts are not what was sealed" in text) == (4, True)


def test_the_ledger_says_whose_the_accepted_values_are(hospital: Hospital) -> None:
    hospital.store.emit(*(report(CLAIM, us(second)) for second in (-5, 30, 70)))
    hospital.attribute()
    assert re.search(
        r"(?m)^whose    \d+ accepted, waves apart = 4 by bed \+ 2 nobody's( \+ \d+ not measured)?$",
        shows("ledger --whose all"),
    )
    total = as_json(f"ledger --whose {at(0)}")["whose"]
    assert (total["bed"], total["nobody"]) == (4, 0)
    assert as_json("ledger")["whose"] is None


def test_after_a_merge_the_values_of_a_patient_who_lies_still_are_the_survivors(hospital: Hospital) -> None:
    merge = group("A40", 80, visit="", patient="P9", bed="", patient_class="N")
    hospital.emit_records([msgspec.structs.replace(merge, merges=(Merge(patients=(number("P2"),)),))])
    whose = as_json(f"whose {SHORT} {at(70)}")
    assert (whose["patient"], whose["encounter"]) == ("P9^HOSP^MR", visit_of("V2"))
