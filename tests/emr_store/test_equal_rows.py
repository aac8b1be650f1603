import numpy as np
import pytest

from emr_store.equal_rows import distinct, distinct_of_runs


@pytest.mark.parametrize("numbers", [[], [5], [5, 5, 5], [1, 1, 1, 2, 2, 2, 1, 1, 1], [1, 2, 1, 2], [3, 3, 3, 3, 1, 3]])
@pytest.mark.parametrize("words", [1, 18])
def test_rows_that_follow_their_equals_are_found_like_any_others(numbers: list[int], words: int) -> None:
    key = np.repeat(np.array(numbers, np.uint64), words).view(np.uint8).reshape(len(numbers), 8 * words)
    first, which = distinct_of_runs(key)
    assert sorted(first.tolist()) == sorted(numbers.index(number) for number in set(numbers))
    assert [numbers[first[at]] for at in which.tolist()] == numbers
    assert len(distinct(key)[0]) == len(first)
