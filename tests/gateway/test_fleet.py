"""The fleet over HTTP: what is not known is null, and whose business it is."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from gateway.access.words import Role
from tests.gateway.test_app import connect
from tests.gateway.ward import EDGE, Page, Ward


def test_a_box_that_said_nothing_of_itself_is_shown_with_what_is_known(ward: Ward, page: Page) -> None:
    ward.emit("n10:1", SpO2="97")
    ward.store()
    ward.assign("n10:1", "ICU-1", "监护仪1")
    page.sign_in("A1", Role.ADMINISTRATOR)
    found = json.load(connect(page, "/fleet-list"))
    assert found["version"] == version("vitalwire")
    (box,) = found["boxes"]
    assert (box["edge"], box["label"], box["state"]) == (str(EDGE), "box on ward 3", "flows")
    for name in ("version", "certificate_ends", "disk_free", "spool", "room_s", "said", "key_ends"):
        assert box[name] is None, name
    assert [(device["name"], device["bed"]) for device in box["devices"]] == [("监护仪1", "ICU-1")]


@pytest.mark.parametrize("role", [Role.NURSE, Role.PHYSICIAN, Role.AUDITOR, Role.TRAINEE, Role.RECORD_OFFICE])
def test_it_is_the_business_of_engineers_and_administrators_alone(ward: Ward, page: Page, role: Role) -> None:
    page.sign_in("X1", role)
    assert connect(page, "/fleet-list").status == 403
