"""OBX-18 of a value's neighbours: lent to it as long as all of its MDS name one device, in whatever message."""

from __future__ import annotations

import pytest

from adapters.devices.hl7_oru import Hl7Settings
from adapters.driver import Source
from adapters.formats import hl7_channels
from tests.hl7 import OBR, PV1, frame, obx, reports, source

A, B = "AAAA000000000001", "BBBB000000000002"
DEVICE_A, DEVICE_B, BED = f"eui64:{A.lower()}", f"eui64:{B.lower()}", "test/PV1-3=ICU^^07"
OF_A = obx("5", "8^Rate^L", "mL/h", sub_id="1.1.1.1", equipment=A)
OF_B = obx("6", "8^Rate^L", "mL/h", sub_id="1.2.1.1", equipment=B)
OF_NONE = obx("97", sub_id="1.3.1.1")


def claim_of_97(*segments: str, of: Source[Hl7Settings]) -> str:
    found = [r.claim for r in reports(frame(*segments), of) if r.records[-1].mantissa == 97]
    (claim,) = found
    return claim


@pytest.mark.parametrize("times", [1, 3])  # also where the shape of the message is known
def test_once_a_second_device_is_seen_no_neighbour_lends_its_own(times: int) -> None:
    of = source()
    for _ in range(times):
        assert claim_of_97(PV1, OBR, OF_A, OF_NONE, of=of) == DEVICE_A
    for _ in range(times):
        assert claim_of_97(PV1, OBR, OF_B, OF_NONE, of=of) == BED
        assert claim_of_97(PV1, OBR, OF_A, OF_NONE, of=of) == BED
        assert claim_of_97(PV1, OBR, OF_A, OF_B, OF_NONE, of=of) == BED


def test_a_second_device_under_another_obr_counts_for_the_one_before() -> None:
    assert claim_of_97(PV1, OBR, OF_A, OF_NONE, OBR, OF_B, of=source()) == BED


def test_what_the_mds_itself_says_is_lent_ever_after() -> None:
    of = source()
    node = f"OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||{B}"
    reports(frame(PV1, OBR, OF_A, OF_B), of)
    assert claim_of_97(PV1, OBR, node, OF_A, OF_NONE, of=of) == DEVICE_B
    assert claim_of_97(PV1, OBR, OF_A, OF_NONE, of=of) == BED


def test_another_bed_and_another_mds_are_none_of_it() -> None:
    of = source()
    reports(frame(PV1, OBR, OF_A, OF_B), of)
    other = "PV1||I|ICU^^08"
    assert claim_of_97(other, OBR, OF_A, OF_NONE, of=of) == DEVICE_A
    of_mds_2 = obx("5", "8^Rate^L", "mL/h", sub_id="2.1.1.1", equipment=A)
    assert claim_of_97(PV1, OBR, of_mds_2, obx("97", sub_id="2.3.1.1"), of=of) == DEVICE_A


def test_one_device_however_it_is_written_is_one() -> None:
    of = source()
    reports(frame(PV1, OBR, obx("5", sub_id="1.2.1.1", equipment=f"^^{A.lower()}^EUI-64")), of)
    assert claim_of_97(PV1, OBR, OF_A, OF_NONE, of=of) == DEVICE_A


def test_connections_without_a_place_are_places_of_their_own() -> None:
    of = source()
    for _ in range(2):
        assert claim_of_97(OBR, OF_A, OF_NONE, of=of) == DEVICE_A
    of.peer = "10.0.0.8"
    reports(frame(OBR, OF_A, OF_B), of)
    assert claim_of_97(OBR, OF_A, OF_NONE, of=of) == "test/connection=10.0.0.8"
    of.peer = "10.0.0.7"
    for _ in range(2):
        assert claim_of_97(OBR, OF_A, OF_NONE, of=of) == DEVICE_A
    of.peer = "10.0.0.8"
    assert claim_of_97(OBR, OF_A, OF_NONE, of=of) == "test/connection=10.0.0.8"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hl7_channels, "DEVICES_MAX", 3)
    monkeypatch.setattr(hl7_channels, "SHARED_MDS_MAX", 2)
    known = hl7_channels.KnownEquipment()
    for bed in range(5):
        for mds in range(4):
            known.learn(f"bed {bed}", [(f"{mds}", "a"), (f"{mds}", "b")])
    assert len(known.first) == len(known.shared) == 3
    assert set(known.shared.values()) == {frozenset({hl7_channels.ANY_MDS})}
