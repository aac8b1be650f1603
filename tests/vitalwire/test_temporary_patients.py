"""`vitalwire patients temporary` and `patients link`, as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from emr_store.instants import moment
from runtime import config as configuration
from schemas.report import device_id
from stream_processors.attribute import site_of
from stream_processors.config import ProcessorsConfig
from tests.adt import group, us
from tests.attributing import Hospital
from tests.commands import as_json, vitalwire
from tests.storing import Store, event

CLAIM = "adt/PV1-3=ICU^^1"
DEVICE = str(device_id(CLAIM))[:8]


@pytest.fixture
def hospital(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    """A device at bed ICU-1, which nobody is in."""
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text(
        '[[adt_source]]\nname = "adt"\nauthority = "HOSP"\n[[bed]]\nname = "ICU-1"\nlocation = "ICU^^1^H"\n', "utf-8"
    )
    made = Hospital(Store(database), site_of(configuration.load(Path("p.toml"), ProcessorsConfig)))
    made.store.emit(event(CLAIM, "identity", CLAIM, us(0)))
    assert vitalwire(f"devices assign {DEVICE} --bed ICU-1 --since {at(-1000)}")[0] == 0
    return made


def at(second: float) -> str:
    return moment(us(second)).isoformat()


def admit(hospital: Hospital) -> str:
    made = as_json(f"patients temporary ICU-1 --since {at(0)} --config p.toml --why found")
    hospital.attribute()
    number: str = made["number"]
    return number


def shown_stay(number: str) -> str:
    because: str = as_json(f"patients show {number}")["stays"][0]["because"]
    return because


def test_values_are_the_temporary_patients_and_later_the_patients(hospital: Hospital) -> None:
    number = admit(hospital)
    whose = as_json(f"whose {DEVICE} {at(10)}")
    assert (whose["state"], whose["patient"]) == ("attributed", f"{number}^vitalwire^TEMPORARY")
    assert as_json(f"patients show {number}")["person"]["name"] == "无名氏"
    assert shown_stay(number).startswith("an act, as ADT A01 (admit) of visit T")
    hospital.emit_records([group("A01", 60)])
    assert as_json(f"whose {DEVICE} {at(90)}")["state"] != "attributed"
    linked = as_json(f"patients link {number} P1 --config p.toml --why family")
    assert (linked["patient"], linked["encounter"]) == ("P1^HOSP^MR", "visit:V1^HOSP")
    hospital.attribute()
    for second in (10, 90):
        whose = as_json(f"whose {DEVICE} {at(second)}")
        assert (whose["state"], whose["patient"], whose["encounter"]) == ("attributed", "P1^HOSP^MR", "visit:V1^HOSP")
    assert as_json("worklist list") == []
    hospital.emit_records([group("A03", 120)])
    assert as_json("patients list") == []
    assert {"patient.temporary", "patient.link"} <= {act["kind"] for act in as_json("acts list")}


def test_a_patient_who_has_left_is_linked_by_the_number_alone(hospital: Hospital) -> None:
    hospital.emit_records([group("A01", -60, bed="1"), group("A03", -30)])
    number = admit(hospital)
    assert as_json(f"patients link {number} P1 --config p.toml --why family")["encounter"] is None
    hospital.attribute()
    assert as_json(f"whose {DEVICE} {at(10)}")["patient"] == "P1^HOSP^MR"
    # The admission comes at last: what was linked goes on as its visit.
    hospital.emit_records([group("A01", 60, visit="V2")])
    assert as_json(f"patients link {number} P1 --config p.toml --why admitted")["encounter"] == "visit:V2^HOSP"
    hospital.attribute()
    assert [as_json(f"whose {DEVICE} {at(second)}")["encounter"] for second in (10, 90)] == ["visit:V2^HOSP"] * 2


def test_what_is_not_clear_is_refused(hospital: Hospital) -> None:
    number = admit(hospital)
    for command, message in (
        ("temporary ICU-9", "no [[bed]] has the name 'ICU-9'"),
        ("temporary ICU-1", "is in ICU-1 by ADT"),
        ("temporary ICU-1 --since 2999-01-01T00:00Z", "lies ahead"),
        ("link T0 P1", "is no temporary patient"),
        (f"link {number} P1", "no patient and no visit has this number"),
        (f"link {number} {number}", "is the temporary patient itself"),
    ):
        code, text = vitalwire(f"patients {command} --config p.toml --why x")
        assert code == 2
        assert message in text
