from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from emr_store.registry import DeviceRow
from gateway.access.beds import Bed
from gateway.pages.beds import Beds, Row

ONE, TWO, THREE = (UUID(int=i) for i in (1, 2, 3))
NOW = datetime(2026, 5, 1, tzinfo=UTC)
ASSIGNED = {"since": int(NOW.timestamp() * 1000), "registered": True, "foreign": None}
ICU_1, ICU_2 = Bed("bed ICU-01", "ICU-01", True), Bed("bed ICU-02", "ICU-02", True)


def device(
    uuid: UUID, claim: str | None = None, bed: str | None = None, *, registered: bool = False, foreign: bool = False
) -> DeviceRow:
    return DeviceRow(
        uuid=uuid, claim=claim, name="a name" if bed else None, bed=bed, since=NOW if bed else None,
        registered_at=NOW if bed or registered else None, first_seen_at=NOW, edge=UUID(int=9), edge_label="box 9",
        foreign_edge=foreign, shown_as=uuid,
    )  # fmt: skip


def test_a_device_that_another_edge_claims_stands_beside_it_and_is_marked() -> None:
    beds = Beds()
    beds.arrange([device(ONE, "one", "ICU-01"), device(TWO, "one", "ICU-01", foreign=True)], {TWO: [Row(0, 7)]}, {}, ())
    assert [(d["id"], d["foreign"]) for d in beds.shown[ICU_1]["devices"]] == [(ONE, None), (TWO, "box 9")]


def test_a_registered_device_on_no_bed_is_not_called_a_stranger() -> None:
    beds = Beds()
    beds.arrange(
        [device(ONE, "one", registered=True), device(TWO, "two")], {ONE: [Row(0, 7)], TWO: [Row(1, 7)]}, {}, ()
    )
    assert [d["registered"] for bed in beds.shown.values() for d in bed["devices"]] == [True, False]
    assert beds.arrange([device(ONE, "one", registered=True)], {}, {}, ()) != set()  # it said nothing: nothing to show
    assert not beds.shown


def test_devices_stand_where_people_put_them_and_what_nobody_put_anywhere_by_itself() -> None:
    beds = Beds()
    known = [device(ONE, "claims:ICU-02", None), device(TWO, "two", "ICU-01"), device(THREE, "three", "ICU-01")]
    changed = beds.arrange(known, {ONE: [Row(0, 7)], TWO: [Row(1, 7), Row(2, 8)]}, {(TWO, 150344, 5): "T1"}, ())
    alone = Bed(f"device {ONE}", "claims:ICU-02", False)
    assert changed == beds.shown.keys() == {alone, ICU_1}
    assert beds.shown[ICU_1]["devices"] == [
        {"id": TWO, "claim": "two", "name": "a name", "bed": "ICU-01", **ASSIGNED, "rows": [[1, 7], [2, 8]],
         "labels": {"150344-5": "T1"}},
        {"id": THREE, "claim": "three", "name": "a name", "bed": "ICU-01", **ASSIGNED, "rows": [], "labels": {}},
    ]  # fmt: skip
    assert beds.of_device[ONE] == alone


def test_a_device_that_said_no_value_and_that_nobody_assigned_is_not_shown_unless_it_alarms() -> None:
    beds = Beds()
    assert beds.arrange([device(ONE)], {}, {}, ()) == set()
    assert beds.arrange([device(ONE)], {}, {}, [ONE, TWO]) == {
        Bed(f"device {ONE}", str(ONE), False), Bed(f"device {TWO}", str(TWO), False)
    }  # fmt: skip


def test_what_changed_is_told_and_numbers_stay() -> None:
    beds = Beds()
    rows = {ONE: [Row(0, 7)], TWO: [Row(1, 7)]}
    beds.arrange([device(ONE, "one", "ICU-01"), device(TWO, "two", "ICU-02")], rows, {}, ())
    numbers = [beds.number(bed) for bed in (ICU_1, ICU_2)]
    assert beds.arrange([device(ONE, "one", "ICU-01"), device(TWO, "two", "ICU-02")], rows, {}, ()) == set()
    assert beds.arrange([device(ONE, "one", "ICU-01"), device(TWO, "two", "ICU-01")], rows, {}, ()) == {ICU_1, ICU_2}
    assert beds.shown.keys() == {ICU_1}
    assert beds.arrange([device(ONE, "one", "ICU-01"), device(TWO, "two", "ICU-02")], rows, {}, ()) == {ICU_1, ICU_2}
    assert [beds.number(bed) for bed in (ICU_1, ICU_2)] == numbers
