"""A patient's page: what is, and what was believed before a late message came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from clinical.key_words import NO_BED_NAMES
from gateway.access.viewer import Grant
from gateway.access.words import Relation, Role
from gateway.pages import patient
from gateway.permission import AccessRefusedError
from tests.adt import group, key, us
from tests.attributing import Hospital
from tests.gateway.asking import asking
from tests.gateway.hospital import NUMBER

KEY = f"{NUMBER}^HOSP^MR"


@pytest.fixture
def hospital(admitted: Hospital) -> Hospital:
    return admitted


def history(hospital: Hospital, key: str = NUMBER, bed_names: Mapping[str, str] = NO_BED_NAMES) -> Any:
    with hospital.store.open() as conn:
        return patient.history(conn, asking(hospital.store.address), key, bed_names)


def test_who_it_is_and_where_since_when_with_the_facts(hospital: Hospital) -> None:
    found = history(hospital)
    assert (found["key"], found["number"], found["name"]) == (KEY, NUMBER, "张三")
    (bed,) = found["beds"]
    assert (bed["since"], bed["until"], bed["believed_until"]) == (us(0) // 1000, None, None)
    assert "A01" in bed["facts"][0]["en"]
    (device,) = found["devices"]
    assert (device["device"], device["basis"], device["since"]) == ("监护仪1", "bed", us(0) // 1000)
    assert [(each["en"], each["zh"]) for each in found["encounters"]] == [("visit V1", "就诊 V1")]


def test_what_was_believed_before_a_late_transfer_is_still_said(hospital: Hospital) -> None:
    hospital.emit_records([group("A02", 3600, happened=1800, patient=NUMBER, bed="3")])
    found = history(hospital)
    now = [(b["bed"][-1], b["since"], b["until"]) for b in found["beds"] if b["believed_until"] is None]
    then = [(b["bed"][-1], b["since"], b["until"]) for b in found["beds"] if b["believed_until"] is not None]
    assert now == [("3", us(1800) // 1000, None), ("1", us(0) // 1000, us(1800) // 1000)]
    assert then == [("1", us(0) // 1000, None)]
    assert [d["until"] for d in found["devices"] if d["believed_until"] is None] == [us(1800) // 1000]


def test_who_is_not_known_or_not_for_this_viewer_is_not_shown(hospital: Hospital) -> None:
    assert history(hospital, "nobody") is None
    nurse = asking(hospital.store.address, "N2", Role.NURSE, ["h^w5"])
    with hospital.store.open() as conn:
        for ask in (
            lambda: patient.history(conn, nurse, NUMBER, NO_BED_NAMES), lambda: patient.trend(conn, nurse, NUMBER, 1),
        ):  # fmt: skip
            with pytest.raises(AccessRefusedError) as refused:
                ask()
            assert refused.value.encounter == "visit:V1^HOSP"


def test_of_stays_that_are_not_for_this_viewer_nothing_is_shown(hospital: Hospital) -> None:
    """V1 is over since long; a grant opens V3 alone."""
    hospital.emit_records([
        group("A03", 100, patient=NUMBER), group("A01", 200, visit="V3", patient=NUMBER, bed="4"),
    ])  # fmt: skip
    nurse = asking(hospital.store.address, "N2", Role.NURSE, ["h^w5"])
    granted = Grant(Relation.CONSULTED, nurse.at_us - 1, nurse.at_us + 1)
    nurse = replace(nurse, viewer=replace(nurse.viewer, grants={"visit:V3^HOSP": (granted,)}))
    with hospital.store.open() as conn:
        found = patient.history(conn, nurse, NUMBER, NO_BED_NAMES)
        trend = patient.trend(conn, nurse, NUMBER, 0)
    assert found is not None
    assert trend is not None
    assert [each["key"] for each in found["encounters"]] == ["visit:V3^HOSP"]
    assert {bed["bed"] for bed in found["beds"]} == {"ICU^^4"}
    assert found["devices"] == []
    assert [(mark["event"], mark["bed"]) for mark in trend["adt"]] == [("A01", "ICU^^4")]


def test_a_trend_of_the_stay_is_of_the_stay_alone(hospital: Hospital) -> None:
    with hospital.store.open() as conn:
        found = patient.trend(conn, asking(hospital.store.address), NUMBER, 0)
        assert patient.trend(conn, asking(hospital.store.address), NUMBER, 7) is None
    assert found is not None
    assert us(0) // 1000 - found["width"] < found["since"] <= us(0) // 1000  # when he came into a bed
    assert found["buckets"] <= patient.BUCKETS_MAX + 1
    assert [(mark["event"], mark["at"]) for mark in found["adt"]] == [("A01", us(0) // 1000)]


def test_a_bed_is_called_by_the_site_s_name_else_as_it_was_sent(hospital: Hospital) -> None:
    assert history(hospital)["beds"][0]["bed"] == "ICU^^1"
    named = history(hospital, bed_names={key("1"): "ICU-1"})
    assert named["beds"][0]["bed"] == "ICU-1"
    (fact,) = named["beds"][0]["facts"]
    assert fact["en"].startswith("ADT A01 (admit) of visit V1 to bed ICU-1, message ")
    assert fact["zh"].startswith("ADT A01（入院），就诊 V1，床位 ICU-1，")


def test_acts_are_told_in_words_and_dated_from_when_they_hold(hospital: Hospital) -> None:
    (device,) = history(hospital)["devices"]
    act = next(fact for fact in device["facts"] if "ADT" not in fact["en"])
    assert act["en"].startswith("device 监护仪1 put at bed ICU-1 by ")
    assert act["zh"].endswith("将设备监护仪1放置于床位 ICU-1")
    assert act["at"] == us(-1000) // 1000 < act["known_at"]
