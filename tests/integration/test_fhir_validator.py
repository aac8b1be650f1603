"""All that leaves the house before a validator that is none of ours: HAPI, FHIR 4.0.1 (fhir_validator/).

fhir.resources, which the other tests use, is R4B: what both accept is equal in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.fhir_resources import RESOURCES
from tests.integration.fhir_validating import Issue, validate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Allowed:
    """A warning that stands, and why. `text`: what is in its message."""

    id: str
    text: str
    why: str


ALLOWED = (
    Allowed(
        "http://hl7.org/fhir/StructureDefinition/DomainResource#dom-6",
        "narrative",
        "a text for people would say each value twice, and could come to differ from it",
    ),
    Allowed(
        "All_observations_should_have_a_performer",
        "performer",
        "no person stands behind a device's value that nobody confirmed",
    ),
    Allowed(
        "Terminology_TX_NoValid_2_CC",
        "http://hl7.org/fhir/ValueSet/observation-vitalsignresult|4.0.1",
        "the validator has no LOINC, of which the value set is made: 8867-4 is not in it either",
    ),
    Allowed(
        "Terminology_TX_NoValid_2_CC",
        "'IdentifierType'",
        "the value set is a part of HL7 table 0203, which our codes are from, and may be extended",
    ),
    Allowed(
        "Terminology_TX_Code_ValueSet_Ext",
        "'IdentifierType'",
        "a hospital's own type of number, which HL7 table 0203 does not have, is given as a text",
    ),
    Allowed(
        "Terminology_TX_NoValid_13",
        "v3-NullFlavor#UNK",
        "an encounter must have a class, and the admission office sent none that FHIR has",
    ),
    Allowed(
        "TYPE_SPECIFIC_CHECKS_DT_QTY_UCUM_ANNOTATIONS",
        "{score}",
        "a score has no unit but its name",
    ),
    Allowed(
        "Terminology_TX_NoValid_13",
        "http://hl7.org/fhir/ValueSet/audit-event-sub-type",
        "what somebody looked at is a page of ours: the value set may be extended",
    ),
)


def is_allowed(issue: Issue) -> bool:
    if issue.severity == "information":
        return True
    return issue.severity == "warning" and any(
        issue.id == allowed.id and allowed.text in issue.message for allowed in ALLOWED
    )


def change(resource: bytes, **members: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(resource, type=dict[str, object]) | members)


# Proof that the validator looks: each of these is wrong, and it has to say so. (A reference to another kind it does not
# see: `check_resource` does.)
PANEL = RESOURCES["Observation-panel"]
BROKEN = {
    "broken-status": change(RESOURCES["Observation-acvpu"], status="bogus"),
    "broken-code": change(RESOURCES["Observation-acvpu"], code={}),
    "broken-unit": RESOURCES["Observation-decimals"].replace(b'"Cel"', b'"K"'),
    "broken-absent": change(RESOURCES["Observation-absent"], valueString="x"),
    "broken-panel": change(PANEL, component=msgspec.json.decode(PANEL)["component"][:1]),
    "broken-request": RESOURCES["Bundle-first"].replace(b'"method":"POST"', b'"method":"BREW"', 1),
}


@pytest.fixture(scope="module")
def issues(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Issue]]:
    folder: Path = tmp_path_factory.mktemp("resources")
    return validate({**RESOURCES, **BROKEN}, folder)


@pytest.mark.parametrize("name", RESOURCES)
def test_what_leaves_is_valid(name: str, issues: dict[str, list[Issue]]) -> None:
    assert [issue for issue in issues[name] if not is_allowed(issue)] == []


@pytest.mark.parametrize("name", BROKEN)
def test_the_validator_sees_what_is_wrong(name: str, issues: dict[str, list[Issue]]) -> None:
    assert [issue for issue in issues[name] if issue.severity in ("error", "fatal")]


@pytest.mark.parametrize("allowed", ALLOWED, ids=lambda allowed: allowed.text)
def test_each_allowed_warning_occurs(allowed: Allowed, issues: dict[str, list[Issue]]) -> None:
    of_ours = [issue for name in RESOURCES for issue in issues[name]]
    assert [issue for issue in of_ours if issue.id == allowed.id and allowed.text in issue.message]
