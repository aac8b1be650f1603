"""`vitalwire whose`, `patients`, `worklist` and `devices associate`, as people type them."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime, timedelta

import msgspec
import pytest

from emr_store import holds, retention
from emr_store.acts import Author
from emr_store.bed_names import keep_bed_names
from emr_store.connect import open_store_async
from emr_store.instants import moment
from evidence.dead_letter import DeadLetter
from schemas.adt import Merge, Person
from schemas.report import Kind, Lane, Report, device_id
from tests.adt import group, number, us, visit_of
from tests.attributing import SITE, Hospital, text_of
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
    assert text.startswith("P1^HOSP^MR (张三), visit V1, by the bed alone\n")
    assert "ADT A01 (admit) of visit V1 to bed ICU^^1, message m1 of adt" in text
    assert re.search(r"put at bed ICU-1 by \w+ \(", text)
    assert shows(f"whose {SHORT} {at(60)}").startswith("P2^HOSP^MR (Li Si), visit V2,")
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
    assert message.startswith(f"{DEVICE} is of visit V1 since ")
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
    assert re.search(r"(?m)^icu 1 +P1\^HOSP\^MR +张\*\* +V1 ", text)
    assert re.search(r"(?m)^icu 1 +P2\^HOSP\^MR +L\. S\. +V2 ", text)
    assert [p["encounter"] for p in as_json(f"patients list --at {at(30)}")] == [visit_of("V1"), visit_of("V2")]
    assert "张三" in shows("patients show P1")


def test_beds_and_devices_are_called_as_people_call_them(hospital: Hospital) -> None:
    with hospital.store.open() as conn:
        keep_bed_names(conn, SITE.bed_names)
    hospital.emit_records([group("A01", 100, visit="V3", patient="P3", bed="1")])
    assert re.search(r"(?m)^ICU-1 +P2\^HOSP\^MR +L\. S\. +V2 ", shows("patients list"))
    text = shows("patients show P1")
    assert "H^" not in text
    assert "{" not in text
    assert re.search(r"(?m)^ICU-1 +20", text)
    assert "to bed ICU-1," in text
    assert "to bed ICU-1," in shows(f"whose {SHORT} {at(30)}")
    assert re.search(r" ICU-1 +By ADT two patients are in one bed", shows("worklist list"))
    (question,) = as_json("worklist list")
    assert shows(f"worklist show {question['item']}").startswith("ICU-1 since ")
    assert shows(f"worklist show {question['item']} --language zh").startswith("ICU-1，自 ")
    assert "按ADT消息" in shows(f"worklist show {question['item']} --language zh")
    assert "（入院），" in shows(f"worklist show {question['item']} --language zh")
    assert f"item {question['item']} is resolved: ICU-1: By ADT two" in shows(
        f"worklist resolve {question['item']}", "--why", "asked"
    )


def test_a_question_about_a_device_names_it_and_its_bed(hospital: Hospital) -> None:
    hospital.store.emit(report(CLAIM, us(70), [text_of("HL7", "PID-3", "P1^^^HOSP^MR")], Kind.CONTEXT))
    hospital.attribute()
    shows(f"devices rename {SHORT} 监护仪1")
    assert shows(f"whose 监护仪1 {at(30)}") == shows(f"whose ICU-1 {at(30)}") == shows(f"whose {SHORT} {at(30)}")
    assert f" ICU-1 监护仪1 {SHORT} " in shows("worklist list")


def test_a_question_that_ceased_by_itself_is_still_shown(hospital: Hospital) -> None:
    with hospital.store.open() as conn:
        conn.execute(
            "INSERT INTO worklist_item (scope, kind, subject, since, announce_at, facts, detail, recorded) VALUES"
            " ('measuring', 'nobody_in_bed', %s, %s, %s, '{}', '', tstzrange(%s, %s))",
            (DEVICE, at(0), at(0), at(1), at(9)),
        )
    assert as_json("worklist list") == []
    (ceased,) = as_json("worklist list --all")
    assert ceased["kind"] == "nobody_in_bed"
    assert datetime.fromisoformat(ceased["until"]) == moment(us(9))
    assert "ceased 2026-" in shows(f"worklist show {ceased['item']}")
    code, text = vitalwire(f"worklist resolve {ceased['item']}", "--why", "x")
    assert (code, "no item" in text) == (2, True)


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


def test_erase_says_what_remains_sealed_until_when(hospital: Hospital) -> None:
    store = hospital.store
    assert "no processors have said yet" in shows("patients erase P2", "--why", "asked for it")
    hospital.emit(group("A08", 5, control="m7"), person=Person(name="张三"))
    hospital.emit(group("A08", 5, control="m7"), person=Person(name="张三"))  # once more: the same fact
    hospital.attribute()
    store.emit(rejected("PID|||0000123||张三"), lane=Lane.ADT)
    store.write([], [DeadLetter("layout", "adt.raw", None, b"a damaged batch")])
    drop_old(store, adt_batches=30)
    text = shows("patients erase P1", "--why", "asked for it")
    assert "out of 1 entries and 3 reports" in text
    gone_by = (datetime.now().astimezone() + timedelta(days=30)).strftime("%Y-%m-%d")
    until = rf"stored \S+ to \S+; their bytes are dropped by {gone_by} \(keep_adt_batches_days = 30\)"
    assert re.search(rf"sealed still: 4 batches that hold it, {until}", text), text
    assert re.search(rf"it may lie in 1 more batches of admission offices: rejected frames.*, {until}", text), text
    assert re.search(rf"it may lie in 1 messages that could not be validated.*, {until}", text), text
    drop_old(store, adt_batches=0)
    assert "their bytes are kept for ever" in shows("patients erase P1", "--why", "once more")
    with store.open() as conn:
        holds.add(conn, "batch_body_4_0", Author("os:clerk@ward", "case 2026-117"))
    assert "a legal hold keeps their bytes" in shows("patients erase P1", "--why", "once more")


def test_erase_says_when_nothing_is_sealed_and_verify_proves_no_more_than_is_there(hospital: Hospital) -> None:
    store = hospital.store
    store.emit(rejected("PID|||0000123||张三"), lane=Lane.ADT)
    store.write([], [DeadLetter("layout", "adt.raw", None, b"a damaged batch")])
    store.seal_log()
    for table, column in (("batch", "stored_at"), ("dead_letter", "at")):
        store.rows(f"UPDATE {table} SET {column} = {column} - interval '31 days' RETURNING 1")
    drop_old(store, adt_batches=30)
    assert "no sealed bytes that hold it are left" in shows("patients erase P1", "--why", "asked for it")
    assert "张三" not in str(store.rows("SELECT texts FROM report"))
    code, message = vitalwire("dead show 1")
    assert (code, "keep_adt_batches_days took them" in message) == (2, True)
    store.seal_log()
    found = as_json("verify")
    assert found["findings"] == []
    assert any(line.startswith("the bytes of 5 batches, and rows over them") for line in found["not_proved"])
    store.rows("UPDATE report SET leaf = 7 WHERE kind = 8 RETURNING 1")
    assert vitalwire("verify")[0] == 4  # its batch never had so many


def rejected(frame: str) -> Report:
    """As an edge has it of a frame that its driver could not read."""
    made = event("adt/rejected", "no-event", "neither MSH-9.2 nor EVN-1 names an event such as A01", us(5))
    return msgspec.structs.replace(made, kind=Kind.REJECTED, frame=frame.encode(), lane=Lane.ADT)


def drop_old(store: Store, **days: int) -> None:
    async def run() -> None:
        async with await open_store_async(store.address) as conn:
            await retention.drop_old(conn, retention.Keep(**days))

    asyncio.run(run())


def test_verify_finds_a_name_that_was_changed_and_not_erased(hospital: Hospital) -> None:
    hospital.store.seal_log()
    changed = """UPDATE report SET texts = replace(texts::text, '张三', '李四')::jsonb WHERE kind = 7"""
    with hospital.store.open() as conn:
        conn.execute(changed.encode())
    code, text = vitalwire("verify")
    assert (code, "the row's texts are not what was sealed" in text) == (4, True)


def test_verify_finds_a_name_that_was_erased_without_an_act(hospital: Hospital) -> None:
    hospital.store.rows("SELECT erase_person(batch, leaf) FROM adt_fact JOIN batch USING (batch_id)")
    shows("patients erase P1", "--why", "asked for it")
    hospital.store.seal_log()
    code, text = vitalwire("verify --json")
    assert code == 4
    found = json.loads(text)
    (finding,) = found["findings"]
    assert finding["what"] == "a patient's name was erased from its row, and no act has it so"
    assert "adt, number 3" in finding["where"]  # Li Si's
    assert found["counts"]["erased"] == 1
    shows("patients erase P2", "--why", "asked for it")
    hospital.store.seal_log()
    found = as_json("verify")
    assert (found["findings"], found["counts"]["erased"]) == ([], 2)


def test_the_ledger_says_whose_the_accepted_values_are(hospital: Hospital) -> None:
    hospital.store.emit(*(report(CLAIM, us(second)) for second in (-5, 30, 70)))
    hospital.attribute()
    assert re.search(
        r"(?m)^whose    \d+ accepted = 4 by bed \+ 2 nobody's( \+ \d+ not measured)?$",
        shows("ledger --whose all"),
    )
    assert "waves" not in shows("ledger --whose all")
    total = as_json(f"ledger --whose {at(0)}")["whose"]
    assert (total["bed"], total["nobody"]) == (4, 0)
    assert as_json("ledger")["whose"] is None


def test_after_a_merge_the_values_of_a_patient_who_lies_still_are_the_survivors(hospital: Hospital) -> None:
    merge = group("A40", 80, visit="", patient="P9", bed="", patient_class="N")
    hospital.emit_records([msgspec.structs.replace(merge, merges=(Merge(patients=(number("P2"),)),))])
    whose = as_json(f"whose {SHORT} {at(70)}")
    assert (whose["patient"], whose["encounter"]) == ("P9^HOSP^MR", visit_of("V2"))


def test_show_has_the_class_of_each_encounter_with_its_time(hospital: Hospital) -> None:
    hospital.emit_records([group("A07", 30, patient_class="O")])
    (encounter,) = as_json("patients show P1")["encounters"]
    found = [(each["patient_class"], datetime.fromisoformat(each["since"])) for each in encounter["classes"]]
    assert found == [("I", moment(us(0))), ("O", moment(us(30)))]
    assert "O since" in shows("patients show P1")


def test_an_act_that_is_cut_says_so(hospital: Hospital) -> None:
    text = shows(f"devices associate {SHORT} V2 --since {at(10)} --until {at(90)} --why asked")
    assert "cut at" in text
    hospital.attribute()
    assert as_json(f"whose {SHORT} {at(30)}")["basis"] == "act"
    assert as_json(f"whose {SHORT} {at(70)}")["basis"] == "bed"
