import numpy as np

from benchmarks.ward import SECOND_US, Ward
from schemas.batch import check, table_of
from schemas.block import ValidationResult
from schemas.report import device_id
from stream_processors.validation import validate_table
from tests.making import T0_US


def test_a_ward_sends_what_an_edge_would_encode_and_all_of_it_is_accepted() -> None:
    stretch = Ward(10, 20).send(T0_US, 3, 4)
    table = stretch.table()
    check(table)
    assert table_of(stretch.encoded()).rows.tobytes() == table.rows.tobytes()
    assert table_of(stretch.encoded()).records.tobytes() == table.records.tobytes()
    validated = validate_table(table, np.zeros(len(table), bool))
    assert set(validated.validation_results.tolist()) == {ValidationResult.ACCEPTED}
    assert set(validated.flags.tolist()) == {0}
    assert {d.tobytes() for d in table.device} == {device_id(f"fixture:{10 + i}").bytes for i in range(20)}


def test_devices_are_interleaved_and_count_their_reports() -> None:
    ward = Ward(0, 5)
    first, second = ward.send(T0_US, 2, 1), ward.send(T0_US + 2 * SECOND_US, 1, 1)
    moments = np.concatenate([first.table().observed_at_us, second.table().observed_at_us])
    assert (np.diff(moments) == SECOND_US // 5).all()
    assert sorted(first.device[:5].tolist()) == [0, 1, 2, 3, 4]
    assert first.table().sequence.tolist() == [1] * 5 + [2] * 5
    assert second.table().sequence.tolist() == [3] * 5
