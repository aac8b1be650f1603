"""What a scan means by itself: its device, its numbers, whether it says anything."""

from __future__ import annotations

from uuid import UUID

import pytest

from clinical.encounter import Encounter, Period
from clinical.identity import AdtSource
from clinical.scans import KnownScan, is_number, is_visit, open_at, problem, scan_id
from clinical.worklist import ItemKind
from schemas.adt import Identifier
from schemas.report import device_id
from schemas.scan import Scan, ScanAction
from tests.adt import us

SOURCE = AdtSource(name="his", authority="HOSP", patient_type="MR")
WRISTBAND = Identifier(value="007")


def known(at: float | None = 0, received: float = 1, *, retained: bool = False, device: str = "his/x=1") -> KnownScan:
    scan = Scan(
        action=ScanAction.ASSOCIATE, device=device, digest=b"", wristband=WRISTBAND,
        at_us=None if at is None else us(at),
    )  # fmt: skip
    return KnownScan(id=b"\x01" * 32, scan=scan, received_at_us=us(received), retained=retained)


def test_a_sticker_has_the_id_of_a_device_or_its_claim() -> None:
    uuid = device_id("his/x=1")
    assert known().device == known(device=str(uuid).upper()).device == uuid
    assert known(device="3f2a").device == device_id("3f2a") != UUID(int=0)  # the beginning of an id is no id


@pytest.mark.parametrize(
    ("scanned", "why"),
    [
        (known(), None),
        (known(at=301, received=1), None),  # five minutes are a clock
        (known(at=302, received=1), ItemKind.SCAN_AHEAD),
        (known(at=-86_400), None),  # it waited in a spool
        (known(at=None), ItemKind.SCAN_WITHOUT_TIME),
        (known(retained=True), ItemKind.SCAN_RETAINED),
    ],
)
def test_a_scan_without_a_time_of_its_own_says_nothing_of_anybody(scanned: KnownScan, why: ItemKind | None) -> None:
    assert scanned.without_effect == why
    assert problem(scanned, device_known=True, encounters=["visit:1"]) == why


def test_nothing_is_guessed() -> None:
    assert problem(known(), device_known=False, encounters=["a"]) is ItemKind.SCAN_OF_UNKNOWN_DEVICE
    assert problem(known(), device_known=True, encounters=[]) is ItemKind.SCAN_OF_UNKNOWN_WRISTBAND
    assert problem(known(), device_known=True, encounters=["a", "b"]) is ItemKind.SCAN_OF_SEVERAL_VISITS


@pytest.mark.parametrize(
    ("key", "wristband", "fits"),
    [
        ("007^HOSP^MR", Identifier(value="007"), True),
        ("007^HOSP^PI", Identifier(value="007"), False),
        ("007^HOSP^PI", Identifier(value="007", type="PI"), True),
        ("007^OTHER^MR", Identifier(value="007"), False),
        ("007^OTHER^MR", Identifier(value="007", authority="OTHER"), True),
        ("7^HOSP^MR", Identifier(value="007"), False),
    ],
)
def test_a_number_counts_with_authority_and_type(key: str, wristband: Identifier, fits: bool) -> None:
    assert is_number(key, wristband, SOURCE) is fits


def test_without_a_type_anywhere_a_number_of_any_type_is_meant() -> None:
    assert is_number("007^HOSP^PI", WRISTBAND, AdtSource(name="his", authority="HOSP"))


def test_a_visit_has_an_authority_and_no_type() -> None:
    assert is_visit("visit:007^HOSP", WRISTBAND, SOURCE)
    assert is_visit("account:007^HOSP", WRISTBAND, SOURCE)
    assert not is_visit("visit:007^OTHER", WRISTBAND, SOURCE)
    assert not is_visit("admitted:007^HOSP^MR@29", WRISTBAND, SOURCE)


def test_the_same_bytes_are_one_scan_and_what_was_retained_is_another() -> None:
    one = scan_id(scanner=b"a", digest=b"b", retained=False)
    assert one == scan_id(scanner=b"a", digest=b"b", retained=False)
    assert (
        len(
            {one, scan_id(scanner=b"a", digest=b"b", retained=True), scan_id(scanner=b"ab", digest=b"", retained=False)}
        )
        == 3
    )


def test_those_are_open_that_were_at_that_moment() -> None:
    def encounter(key: str, from_us: int, until_us: int | None) -> Encounter:
        period = Period(from_us=from_us, until_us=until_us, from_fact=b"", until_fact=None)
        return Encounter(
            key=key, patients=("p",), periods=(period,), absences=(), admitted_at_us=None, discharged_at_us=None
        )

    encounters = [encounter("c", 10, None), encounter("a", 10, 20), encounter("b", 15, 30)]
    found = [[each.key for each in open_at(encounters, at_us)] for at_us in (9, 10, 20, 30)]
    assert found == [[], ["a", "c"], ["b", "c"], ["c"]]
