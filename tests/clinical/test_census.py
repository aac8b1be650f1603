"""A census against ADT, and its lines as facts."""

from __future__ import annotations

import msgspec
import pytest

from clinical.census import CensusReading, CensusRow, census_source, compare, read_rows
from clinical.worklist import ItemKind
from schemas.errors import VitalwireError
from tests.adt import REGISTRY, SOURCE, fact, key, patient_of, us

ROW = CensusRow(line=2, bed="ICU^^1^H", patient="P1^^MR", visit="V1", name="", admitted_at_us=None)
READING = CensusReading(
    source=census_source(SOURCE), beds=REGISTRY, bed_by_label={}, digest=b"d", at_us=us(0), received_at_us=us(5)
)


def test_a_line_has_the_keys_that_a_message_would_have() -> None:
    (entry,) = read_rows([ROW], READING)
    sent = fact("A01", 0)
    assert (entry.fact.encounter, entry.fact.patients, entry.fact.bed.key) == (sent.encounter, sent.patients, key("1"))
    assert entry.fact.patients == (patient_of("P1"),)
    assert entry.fact.source == "census:adt"
    assert entry.fact.happened_at_us == us(0)
    assert entry.person is None


def test_a_visit_that_continues_a_number_has_it_from_the_patient() -> None:
    composing = msgspec.structs.replace(census_source(SOURCE), visit_prefix_type="MR", patient_type="MR")
    reading = msgspec.structs.replace(READING, source=composing)
    (entry,) = read_rows([msgspec.structs.replace(ROW, patient="P1", visit="2")], reading)
    assert entry.fact.encounter == "visit:P1-2^HOSP"
    with pytest.raises(VitalwireError, match="line 2: visit numbers of this source continue a number of type MR"):
        read_rows([msgspec.structs.replace(ROW, patient="P1^^XX")], reading)


def test_only_what_differs_in_wards_that_the_census_names() -> None:
    census = {"same": "h^icu^^1", "moved": "h^icu^^2", "missing": "h^icu^^3", "loaded": "h^icu^^4"}
    adt = {"same": "h^icu^^1", "moved": "h^ccu^^2", "gone": "h^icu^^5", "elsewhere": "h^ccu^^5"}
    assert [(each.kind, each.encounter, each.detail) for each in compare(census, adt, ["loaded"])] == [
        (ItemKind.IN_CENSUS_NOT_IN_ADT, "missing", "h^icu^^3"),
        (ItemKind.CENSUS_NAMES_OTHER_BED, "moved", "h^icu^^2 / h^ccu^^2"),
        (ItemKind.IN_ADT_NOT_IN_CENSUS, "gone", "h^icu^^5"),
    ]
