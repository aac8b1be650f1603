"""`vitalwire patients unlink` and `patients undo`, as people type them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.adt import Merge
from tests.adt import group, number
from tests.commands import as_json, vitalwire
from tests.vitalwire.test_census import Ward
from tests.vitalwire.test_temporary_patients import DEVICE, Hospital, admit, at, hospital

assert hospital  # the fixture
TEMPORARY = "^vitalwire^TEMPORARY"


@pytest.fixture
def ward(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    return Ward(database, tmp_path)


def now() -> str:
    return datetime.now(UTC).isoformat()


def patient_at(second: float, *more: str) -> Any:
    return as_json(" ".join([f"whose {DEVICE} {at(second)}", *more]))["patient"]


def test_a_wrong_link_is_two_patients_again_and_what_was_believed_stays(hospital: Hospital) -> None:
    temporary = admit(hospital)
    hospital.emit_records([group("A01", 60, bed="")])
    as_json(f"patients link {temporary} P1 --config p.toml --why family")
    hospital.attribute()
    assert patient_at(10) == "P1^HOSP^MR"
    before = now()
    undone = as_json(f"patients unlink {temporary} P1 --why brother")
    assert (undone["retired"], undone["survivor"]) == (f"{temporary}{TEMPORARY}", "P1^HOSP^MR")
    hospital.attribute()
    assert patient_at(10) == patient_at(90) == f"{temporary}{TEMPORARY}"
    assert patient_at(10, "--believed-at", before) == "P1^HOSP^MR"
    assert len(as_json("patients show P1")["encounters"]) == 1
    assert as_json("acts list")[-1]["kind"] == "patient.unlink"
    assert hospital.store.rows("SELECT count(*) FROM adt_fact WHERE event IN ('A24', 'A50')") == [(2,)]
    code, said = vitalwire(f"patients unlink {temporary} P1 --why twice")
    assert (code, "nothing says that" in said) == (2, True)
    # It was he after all.
    as_json(f"patients link {temporary} P1 --config p.toml --why certain")
    hospital.attribute()
    assert patient_at(10) == "P1^HOSP^MR"


def test_a_merge_by_a_message_can_be_taken_back(hospital: Hospital) -> None:
    hospital.emit_records(
        [group("A01", 0), group("A01", 5, visit="V2", patient="P2", bed="2"),
         group("A40", 20, visit="", patient="P2", bed="", merges=(Merge(patients=(number("P1"),)),))]
    )  # fmt: skip
    assert patient_at(10) == "P2^HOSP^MR"
    as_json("patients unlink P1 P2 --why namesakes")
    hospital.attribute()
    assert patient_at(10) == "P1^HOSP^MR"


def test_a_first_census_is_taken_back_and_loaded_again(ward: Ward) -> None:
    first = ward.take("ICU-1,P1,V1,张三,", "ICU-2,P2,V2,,")
    ward.hospital.emit_records([group("A02", 30, visit="V2", patient="P2", bed="3")])
    assert len(ward.beds()) == 2
    before = now()
    undone = as_json(f"patients undo {first['act_id'][:12]} --why swapped")
    assert (undone["kind"], undone["facts"]) == ("patient.census", 2)
    ward.hospital.attribute()
    # What a message says of a visit goes on, as if the census had never been.
    assert ward.beds() == [("h^icu^^3", "P2^HOSP^MR")]
    assert ("h^icu^^1", "P1^HOSP^MR") in [
        (row["bed"], row["patient"]) for row in as_json(f"patients list --believed-at {before}")
    ]
    assert ward.hospital.store.rows("SELECT count(*) FROM patient_person") == [(0,)]
    again = ward.take("ICU-1,P1,V1,张三,", "ICU-2,P2,V2,,")  # the same file, of the same time
    assert (again["first"], again["loaded"]) == (True, ["visit:V1^HOSP"])
    assert ("h^icu^^1", "P1^HOSP^MR") in ward.beds()


def test_a_temporary_patient_is_taken_back(hospital: Hospital) -> None:
    admit(hospital)
    (act,) = [act["act_id"] for act in as_json("acts list") if act["kind"] == "patient.temporary"]
    before = now()
    as_json(f"patients undo {act} --why next")
    hospital.attribute()
    assert (as_json("patients list"), patient_at(10)) == ([], None)
    believed = as_json(f"whose {DEVICE} {at(10)} --believed-at {before}")
    assert any(fact["words"].endswith("; a person took it back since") for fact in believed["facts"])


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("patients undo 3f --why x", "is no id of an act"),
        ("patients undo 3f2a91c0ffee --why x", "no act has the id"),
        ("patients unlink P1 P2 --why x", "nothing says that 'P1' goes on as 'P2'"),
    ],
)
def test_what_cannot_be_taken_back_is_said(ward: Ward, command: str, reason: str) -> None:
    code, said = vitalwire(command)
    assert (code, reason in said) == (2, True)


def test_only_what_made_facts_is_taken_back_and_once(ward: Ward) -> None:
    first = ward.take("ICU-1,P1,V1,,")
    later = ward.take("ICU-2,P1,V1,,", at=60)
    assert [each["kind"] for each in as_json("worklist list")] == ["census_names_other_bed"]
    assert "compared alone" in vitalwire(f"patients undo {later['act_id']} --why x")[1]
    as_json(f"patients undo {first['act_id']} --why x")
    assert "taken back before" in vitalwire(f"patients undo {first['act_id']} --why x")[1]
    (undoing,) = [act["act_id"] for act in as_json("acts list") if act["kind"] == "patient.undo"]
    assert "is a patient.undo" in vitalwire(f"patients undo {undoing} --why x")[1]
