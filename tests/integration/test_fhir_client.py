"""HAPI's generic client walks the API (fhir_client/), and its validator reads what the API alone says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from clinical.charted import resource_id
from tests.gateway.chart_ward import NUMBER, a_day
from tests.gateway.fhir.asking import serving
from tests.integration.fhir_validating import jars, validate
from tests.integration.test_fhir_validator import is_allowed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SOURCE = Path(__file__).parent / "fhir_client" / "FhirWalk.java"


def test_a_generic_client_finds_pages_and_reads_what_is_charted(database: str) -> None:
    assert shutil.which("javac"), "the client is a source file: sudo apt install default-jdk-headless"
    day = a_day(database)
    with serving(day.store.address) as api:
        patient = resource_id("Patient", f"{NUMBER}^HOSP^MR")
        observations = api.all_of("Observation", patient=patient)
        rates = api.all_of("Observation", patient=patient, code="8867-4")
        uncharted = api.all_of("Observation", ("_tag", "device"), patient=patient)
        command = ["java", "-Xmx512m", "-cp", f"{jars()}/*", str(SOURCE), api.base, NUMBER, api.cookie]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = [line for line in ran.stdout.splitlines() if "=" in line]
    assert said == [
        "fhirVersion=4.0.1", "types=7", "patient=张三", f"observations={len(observations)}",
        f"heart rates={len(rates)}", "read=40", "device=监护仪1", "bed=icu 1 in icu", f"uncharted={len(uncharted)}",
        "refused=400", "refused=400", "refused=404", "refused=404", "refused=405", "refused=405",
    ]  # fmt: skip


def test_what_the_api_alone_says_is_valid(database: str, tmp_path: Path) -> None:
    """The resources themselves are in test_fhir_validator.py."""
    day = a_day(database)
    with serving(day.store.address) as api:
        patient = resource_id("Patient", f"{NUMBER}^HOSP^MR")
        said = {
            "CapabilityStatement": api.get("metadata").body,
            "Bundle-page": api.search("Observation", patient=patient, _count="3").body,
            "Bundle-count": api.search("Observation", patient=patient, _summary="count").body,
            "Bundle-nothing": api.search("Patient", identifier="nobody").body,
            "Bundle-devices": api.search("Observation", ("_tag", "device"), patient=patient, _count="2").body,
            "Bundle-lenient": api.get(f"Observation?patient={patient}&x=1&_count=1", Prefer="handling=lenient").body,
            "OperationOutcome-parameter": api.get("Observation?nonsense=1").body,
            "OperationOutcome-gone": api.get("Observation/nothing").body,
        }
    issues = validate(said, tmp_path)
    assert {name: [each for each in found if not is_allowed(each)] for name, found in issues.items()} == {
        name: [] for name in said
    }
