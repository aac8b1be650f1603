"""The id under which something leaves the house."""

from __future__ import annotations

import re

from clinical.charted import resource_id


def test_id_is_what_fhir_allows_and_tells_kinds_apart() -> None:
    patient = resource_id("Patient", "4711^HOSP^MR")
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", patient)
    assert patient == resource_id("Patient", "4711^HOSP^MR")
    assert patient != resource_id("Encounter", "4711^HOSP^MR")
    assert patient != resource_id("Patient", "4711^OTHER^MR")
