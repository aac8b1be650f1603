from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from emr_store.registry import DeviceRow
from gateway.access import Bed
from gateway.pages.beds import Beds, Row

ONE, TWO, THREE = (UUID(int=i) for i in (1, 2, 3))
NOW = datetime(2026, 5, 1, tzinfo=UTC)
ICU_1, ICU_2 = Bed("bed ICU-01", "ICU-01", True), Bed("bed ICU-02", "ICU-02", True)


def device(uuid: UUID, claim: str | None = None, bed: str | None = None) -> DeviceRow:
    return DeviceRow(uuid, claim, "a name" if bed else None, bed, NOW if bed else None, NOW, UUID(int=9))


def test_devices_stand_where_people_put_them_and_what_nobody_put_anywhere_by_itself() -> None:
    beds = Beds()
    known = [device(ONE, "claims:ICU-02", None), device(TWO, "two", "ICU-01"), device(THREE, "three", "ICU-01")]
    changed = beds.arrange(known, {ONE: [Row(0, 7)], TWO: [Row(1, 7), Row(2, 8)]}, {(TWO, 150344, 5): "T1"}, ())
    alone = Bed(f"device {ONE}", "claims:ICU-02", False)
    assert changed == beds.shown.keys() == {alone, ICU_1}
    assert beds.shown[ICU_1]["devices"] == [
        {"id": TWO, "claim": "two", "name": "a name", "bed": "ICU-01", "rows": [[1, 7], [2, 8]],
         "labels": {"150344-5": "T1"}},
        {"id": THREE, "claim": "three", "name": "a name", "bed": "ICU-01", "rows": [], "labels": {}},
    ]  # fmt: skip
    assert beds.of_device[ONE] == alone


def test_a_device_that_said_no_value_and_that_nobody_adopted_is_not_shown_unless_it_alarms() -> None:
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
