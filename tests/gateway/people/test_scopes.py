"""Scopes of machines: what is one, what it opens, and what two have in common."""

from __future__ import annotations

import pytest

from gateway.fhir.parameters import TYPES
from gateway.people.scopes import READ, READABLE, SEARCH, both, opens, read_scopes, written


def test_each_type_of_the_api_can_be_named() -> None:
    assert set(READABLE) == set(TYPES)


def test_a_scope_opens_what_it_names() -> None:
    scopes = read_scopes("system/Observation.r system/Patient.read")
    assert [opens(scopes, "Observation", how) for how in (READ, SEARCH)] == [True, False]
    assert [opens(scopes, "Patient", how) for how in (READ, SEARCH)] == [True, True]
    assert not opens(scopes, "Encounter", READ)
    assert opens(read_scopes("system/*.rs"), "Encounter", SEARCH)


def test_what_two_have_in_common_is_told_by_type() -> None:
    registered = read_scopes("system/Observation.rs system/Patient.r")
    assert written(both(read_scopes("system/*.s"), registered)) == "system/Observation.s"
    assert both(read_scopes("system/Device.rs"), registered) == frozenset()


@pytest.mark.parametrize(
    "text",
    ["", "system/Observation", "system/Observation.cruds", "system/observation.rs", "user/Observation.rs",
     "patient/*.rs", "system/Claim.rs", "system/Observation.rs?code=1", "openid"],
)  # fmt: skip
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        read_scopes(text)
