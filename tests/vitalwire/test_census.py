"""`vitalwire patients census`: a ward that is full when it is switched on, and compared each day."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from emr_store import evidence_words
from emr_store.instants import moment
from runtime import config as configuration
from schemas.adt import Person
from stream_processors.attribute import site_of
from stream_processors.config import ProcessorsConfig
from tests.adt import group, us
from tests.attributing import Hospital
from tests.commands import as_json, vitalwire
from tests.storing import Store

HEAD = "bed,patient,visit,name,admitted_at\n"


class Ward:
    """A store with a configuration, and the file of a census."""

    def __init__(self, database: str, folder: Path) -> None:
        self.config, self.file = folder / "processors.toml", folder / "ward.csv"
        beds = (
            "".join(
                f'[[bed]]\nname = "ICU-{n}"\nlocation = "ICU^^{n}^H"\naliases = ["ICU^^+{n}"]\n' for n in range(1, 5)
            )
            + '[[bed]]\nname = "CCU-1"\nlocation = "CCU^^1^H"\n'
        )
        self.config.write_text(
            f'[[adt_source]]\nname = "adt"\nauthority = "HOSP"\npatient_type = "MR"\n{beds}', "utf-8"
        )
        self.hospital = Hospital(Store(database), site_of(configuration.load(self.config, ProcessorsConfig)))

    def command(self, *lines: str, at: int = 0) -> str:
        self.file.write_text(HEAD + "".join(f"{line}\n" for line in lines), "utf-8")
        return f"patients census {self.file} --config {self.config} --at {moment(us(at)).isoformat()}"

    def take(self, *lines: str, at: int = 0) -> Any:
        taken = as_json(self.command(*lines, at=at))
        self.hospital.attribute()
        return taken

    def beds(self) -> list[tuple[str, str]]:
        return [(row["bed"], row["patient"]) for row in as_json("patients list")]


@pytest.fixture
def ward(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    return Ward(database, tmp_path)


def questions() -> list[tuple[str, str, str]]:
    return [(item["kind"], item["subject"], item["detail"]) for item in as_json("worklist list")]


def census_acts() -> list[Any]:
    return [act for act in as_json("acts list") if act["kind"] == "patient.census"]


def test_the_first_census_fills_the_beds_and_messages_go_on_from_there(ward: Ward) -> None:
    taken = ward.take(f"ICU-1,P1,V1,张三,{moment(us(-9000)).isoformat()}", 'ICU^^+2,P2,V2,"Li, Si",', at=0)
    assert (taken["first"], taken["rows"], taken["loaded"]) == (True, 2, ["visit:V1^HOSP", "visit:V2^HOSP"])
    assert ward.beds() == [("h^icu^^1", "P1^HOSP^MR"), ("h^icu^^2", "P2^HOSP^MR")]
    shown = as_json("patients show P1")
    assert shown["person"]["name"] == "张三"
    (stay,) = shown["stays"]
    # Since when the patient was in this bed nobody said: PV1-44's time is the encounter's alone.
    assert stay["since"] == as_json("patients list")[0]["since"]
    assert stay["because"].startswith("the census of visit V1 to bed icu^^1^h, line 2, by numbers of adt")
    with ward.hospital.store.open() as conn:
        (behind,) = evidence_words.facts_behind(conn, [bytes.fromhex(stay["from_fact"])])
    assert behind.words_zh == "在院名单，就诊 V1，床位 icu^^1^h，第 2 行，编号按 adt"
    assert shown["encounters"][0]["admitted_at"] < stay["since"]
    (act,) = census_acts()
    assert act["details"]["sha256"] == hashlib.sha256(ward.file.read_bytes()).hexdigest()
    assert "张三" not in json.dumps(act, ensure_ascii=False)
    ward.hospital.emit_records([group("A02", 60, bed="3"), group("A03", 60, visit="V2", patient="P2", bed="2")])
    assert ward.beds() == [("h^icu^^3", "P1^HOSP^MR")]
    assert questions() == []


def test_what_messages_know_is_compared_by_the_first_census_and_not_loaded(ward: Ward) -> None:
    ward.hospital.emit_records([group("A01", -60, bed="1")])
    taken = ward.take("ICU-2,P1,V1,,", "ICU-3,P2,V2,,")
    assert taken["loaded"] == ["visit:V2^HOSP"]
    assert questions() == [("census_names_other_bed", "visit:V1^HOSP", "h^icu^^2 / h^icu^^1")]
    assert ward.beds() == [("h^icu^^1", "P1^HOSP^MR"), ("h^icu^^3", "P2^HOSP^MR")]


def test_a_later_census_opens_items_and_changes_nothing(ward: Ward) -> None:
    ward.take("ICU-1,P1,V1,,", "ICU-2,P2,V2,,")
    ward.hospital.emit(group("A01", 5, visit="V9", patient="P9", bed="1", digest=b"c" * 32, facility="H"))
    ward.hospital.attribute()
    before = ward.beds()
    taken = ward.take("ICU-1,P1,V1,,", "ICU-3,P2,V2,,", "ICU-4,P4,V4,,", at=10)
    assert (taken["first"], taken["loaded"]) == (False, [])
    asked = [
        ("census_names_other_bed", "visit:V2^HOSP", "h^icu^^3 / h^icu^^2"),
        ("in_adt_not_in_census", "visit:V9^HOSP", "h^icu^^1"),
        ("in_census_not_in_adt", "visit:V4^HOSP", "h^icu^^4"),
    ]
    of_census = [question for question in questions() if "census" in question[0]]
    assert sorted(of_census) == asked
    assert ward.beds() == before
    number = next(item["item"] for item in as_json("worklist list") if item["kind"] == "in_census_not_in_adt")
    assert "census of 3 patients read by " in vitalwire(f"worklist show {number}")[1]
    # What somebody dealt with is not asked anew tomorrow; what is mended is gone.
    assert vitalwire(f"worklist resolve {number} --why called")[0] == 0
    ward.take("ICU-1,P1,V1,,", "ICU-2,P2,V2,,", "ICU-4,P4,V4,,", at=20)
    assert [question for question in questions() if "census" in question[0]] == [asked[1]]


def test_wards_that_the_file_does_not_name_are_not_asked_about(ward: Ward) -> None:
    ward.take("ICU-1,P1,V1,,", "CCU-1,P2,V2,,")
    assert ward.take("ICU-1,P1,V1,,", at=10)["differences"] == []


def test_a_dry_run_says_it_and_leaves_nothing(ward: Ward) -> None:
    code, text = vitalwire(ward.command("ICU-1,P1,V1,,") + " --dry-run")
    assert code == 0
    assert "1 would become facts" in text
    ward.hospital.attribute()
    assert (ward.beds(), census_acts()) == ([], [])
    assert ward.take("ICU-1,P1,V1,,")["first"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["ICU-9,P1,V1,,"], "line 2: the bed 'ICU-9' is not registered"),
        (["ICU-1,P1,V1,,", "ICU-2,P2,V1,,"], "line 3: the visit V1 stands in line 2 too"),
        (["ICU-1,P1,V1,,", "ICU-2,P1,V2,,"], "line 3: the patient P1 stands in line 2 too"),
        (["ICU-1,,V1,,"], "line 2: patient is empty"),
        (["ICU-1,P1,V1,Li, Si,"], "line 2: has 6 fields and not 5"),
        (["ICU-1,P1,V1,,yesterday"], "line 2: admitted_at 'yesterday' is no instant"),
        (["ICU-1,P1,V1,,2030-01-01T00:00Z"], "line 2: admitted_at lies after the census"),
        (['ICU-1,P1,V1,"Li'], "line 2: is no CSV"),
        (["ICU-1,P1,V1,L\x00i,"], "line 2"),
        ([], "has no patients"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_line_and_nothing_is_loaded(ward: Ward, lines: list[str], message: str) -> None:
    code, text = vitalwire(ward.command(*lines))
    assert code == 2
    assert message in text
    assert census_acts() == []


def test_a_file_that_is_none_is_refused(ward: Ward) -> None:
    command = ward.command("ICU-1,P1,V1,,")
    ward.file.write_bytes(HEAD.encode() + "ICU-1,P1,V1,张三,\n".encode("gb18030"))
    assert "line 2: is not UTF-8" in vitalwire(command)[1]
    ward.file.write_text("bed,patient\n", "utf-8")
    assert "line 1: has other columns than bed,patient,visit,name,admitted_at" in vitalwire(command)[1]
    ward.file.unlink()
    assert "cannot be read" in vitalwire(command)[1]


def test_an_erased_name_is_not_kept_when_a_census_brings_it(ward: Ward) -> None:
    ward.hospital.emit(group("A01", -60), person=Person(name="张三"))
    ward.hospital.attribute()
    ward.hospital.emit_records([group("A03", -30)])
    assert vitalwire("patients erase P1 --why asked")[0] == 0
    ward.take("ICU-1,P1,V8,张三,")
    assert as_json("patients show P1")["person"] is None
