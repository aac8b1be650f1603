"""One bed, however it is spelt; no bed where there is none."""

from __future__ import annotations

import pytest

from clinical.beds import NO_BED, BedRegistry, BedState, bed_key
from schemas.adt import DELETED, SentBed

TWELVE = bed_key(facility="H", ward="0312", bed="12")
REGISTRY = BedRegistry(
    [TWELVE, bed_key(facility="H", ward="0312", bed="+3")],
    {"ICU^^V2": "0312^^12", "0312^^+3床": "0312^^+3", "0312^single^": "0312^^12", "Tent^^1^Annexe": "0312^^12^H"},
)


@pytest.mark.parametrize(
    ("sent", "facility"),
    [
        (SentBed(ward="0312", bed="12"), "H"),
        (SentBed(ward="0312", bed="12", facility="h"), "another"),
        (SentBed(ward=" ０３１２ ", bed="１２"), "H"),  # full width
        (SentBed(ward="icu", bed="v2"), "H"),
        (SentBed(ward="ICU", bed="V2"), "h"),
        (SentBed(ward="0312", room="Single"), "H"),
        (SentBed(ward="tent", bed="1"), "ANNEXE"),
    ],
)
def test_each_spelling_is_the_same_bed(sent: SentBed, facility: str) -> None:
    found = REGISTRY.find(sent, facility)
    assert (found.state, found.key) == (BedState.KNOWN, TWELVE)


@pytest.mark.parametrize("sent", [SentBed(ward="0312", bed="012"), SentBed(ward="0312", bed="1 2"), SentBed(bed="12")])
def test_what_differs_is_another_bed(sent: SentBed) -> None:
    found = REGISTRY.find(sent, "H")
    assert (found.state, found.key) == (BedState.UNKNOWN, "")


def test_the_same_bed_of_another_facility_is_unknown() -> None:
    assert REGISTRY.find(SentBed(ward="0312", bed="12"), "H2").state is BedState.UNKNOWN


def test_an_extra_bed_is_a_bed() -> None:
    assert REGISTRY.find(SentBed(ward="0312", bed="+3床"), "H").key == bed_key(facility="H", ward="0312", bed="+3")


@pytest.mark.parametrize(
    "sent", [SentBed(ward="0312"), SentBed(ward="0312", room="4"), SentBed(ward="ED", bed=DELETED)]
)
def test_a_ward_alone_is_no_bed(sent: SentBed) -> None:
    found = REGISTRY.find(sent, "H")
    assert (found.state, found.key) == (BedState.NONE, "")
    assert found.as_sent.startswith(sent.ward)


def test_nothing_sent_is_no_bed() -> None:
    assert REGISTRY.find(None, "H") == REGISTRY.find(SentBed(), "H") == NO_BED
