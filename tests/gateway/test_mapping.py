"""The page of parameters over HTTP: what is said of each, and whose business it is."""

from __future__ import annotations

import json

import pytest

from emr_store import parameters
from emr_store.connect import open_store
from gateway.access.words import Role
from schemas.report import AsSent, Kind, Record
from tests.gateway.test_app import connect
from tests.gateway.ward import Page, Ward
from tests.making import PERCENT, SPO2


@pytest.fixture
def site(ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """A monitor with a value that has a code and one that has none."""
    monkeypatch.setattr(parameters, "_NEWEST_SETTLED_SQL", "SELECT coalesce(max(batch), -1) FROM batch")
    heart = Record(mantissa=72, as_sent=AsSent("99X", "101^HR", "bpm"))
    ward.emit_records("n10:1", Kind.METRIC, Record(SPO2, PERCENT, mantissa=97), heart)
    ward.store()
    ward.assign("n10:1", "ICU-1", "监护仪1")
    with open_store(ward.database) as conn:
        parameters.note_unmapped(conn)
    return ward


def test_each_parameter_with_its_state_samples_and_proposal(site: Ward, page: Page) -> None:
    page.sign_in("B1", Role.BIOMEDICAL_ENGINEER)
    (device,) = json.load(connect(page, "/parameter-list"))["devices"]
    assert (device["bed"], device["mapped"], device["unmapped"], device["unit_in_doubt"]) == ("ICU-1", 1, 1, 0)
    unmapped, mapped = device["parameters"]
    assert (unmapped["name"], unmapped["state"], unmapped["unit"]) == ("101^HR", "unmapped", "bpm")
    assert (unmapped["samples"], unmapped["count"]) == ([72.0], 1)
    assert unmapped["proposals"][0]["metric"] == "MDC_ECG_HEART_RATE"
    assert "its unit /min is one of HR" in unmapped["proposals"][0]["en"]
    assert "单位" in unmapped["proposals"][0]["zh"]
    assert (mapped["name"], mapped["state"], mapped["proposals"]) == ("MDC_PULS_OXIM_SAT_O2", "mapped", [])


def test_who_may_not_see_values_sees_no_samples(site: Ward, page: Page) -> None:
    page.sign_in("A1", Role.ADMINISTRATOR)
    (device,) = json.load(connect(page, "/parameter-list"))["devices"]
    assert [each["samples"] for each in device["parameters"]] == [[], []]
    assert device["unmapped"] == 1


@pytest.mark.parametrize("role", [Role.NURSE, Role.PHYSICIAN, Role.AUDITOR, Role.TRAINEE, Role.RECORD_OFFICE])
def test_it_is_the_business_of_engineers_and_administrators_alone(site: Ward, page: Page, role: Role) -> None:
    page.sign_in("X1", role)
    assert connect(page, "/parameter-list").status == 403
