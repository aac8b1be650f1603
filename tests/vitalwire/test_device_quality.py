"""`vitalwire devices --quality` and docs/quality.md: drivers by seven aspects, from the drivers themselves."""

from __future__ import annotations

import re
from dataclasses import replace

from adapters.devices.registry import DRIVERS
from adapters.quality import Request, State
from tests.catalogues import ROOT
from tests.commands import as_json, vitalwire
from vitalwire import device_quality
from vitalwire.device_quality import ASPECTS, aspects_of, page


def test_the_page_is_what_the_drivers_say() -> None:
    shipped = (ROOT / "docs" / "quality.md").read_text("utf-8")
    assert shipped == page(), "python -m vitalwire.device_quality > docs/quality.md"


def test_a_table_for_people_has_every_driver_aspect_and_reason() -> None:
    code, text = vitalwire("devices --quality")
    assert code == 0
    assert re.search(r"(?m)^driver +numerics +waves +alarms +settings +clock +no reading +disconnect", text)
    for driver in DRIVERS:
        states = " +".join(finding.state.value for finding in aspects_of(driver).values())
        assert re.search(rf"(?m)^{driver.name} +{states}", text), driver.name
        for finding in aspects_of(driver).values():
            assert finding.reason in text


def test_scripts_get_the_same() -> None:
    found = as_json("devices --quality")
    assert [each["driver"] for each in found] == [driver.name for driver in DRIVERS]
    for each, driver in zip(found, DRIVERS, strict=True):
        assert list(each["aspects"]) == list(ASPECTS)
        assert [bytes.fromhex(sent["code"]) for sent in each["sends"]] == [request.code for request in driver.requests]
        for name, finding in aspects_of(driver).items():
            assert each["aspects"][name] == {"state": finding.state.value, "reason": finding.reason}


def test_a_driver_that_states_nothing_has_all_to_do_and_what_it_sends_is_shown() -> None:
    requests = (Request("data", b"\x1b$", "a manual, p. 8"), Request("status", b"MEM:GET", "another | p. 9"))
    driver = replace(DRIVERS[0], name="acme", quality=None, requests=requests)
    assert {finding.state for finding in aspects_of(driver).values()} == {State.TODO}
    assert [device_quality._shown(request.code) for request in requests] == ["1b 24", "MEM:GET"]
    assert device_quality._cell(requests[1].source) == r"another \| p. 9"


def test_without_anything_to_do_it_says_what_can_be_done() -> None:
    code, text = vitalwire("devices --json")
    assert code == 2
    assert "--quality" in text
