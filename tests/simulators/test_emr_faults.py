"""The words that switch faults on."""

from __future__ import annotations

import pytest

from simulators.emr import EmrPlan
from simulators.emr_faults import Faults


def test_whole_numbers_are_the_next_so_many_and_shares_are_random() -> None:
    faults = Faults("ae=2 ar=0.5 lost", seed=3)
    assert [faults.happens("ae") for _ in range(4)] == [True, True, False, False]
    assert 30 < sum(faults.happens("ar") for _ in range(100)) < 70
    assert all(faults.happens("lost") for _ in range(10))
    assert not faults.happens("doubled")
    assert faults.happened["ae"] == 2
    assert faults.words == "ar=0.5 lost=1.0"


@pytest.mark.parametrize("words", ["slow=0.02 down", "late=5.0", "ae=3", "duplicates", "none"])
def test_what_is_on_is_told_as_it_is_set(words: str) -> None:
    assert Faults(words).words == words
    assert Faults(Faults(words).words).words == words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("slower=1", "no fault 'slower': none or slow, late"),
        ("slow", "slow: write its seconds, as in slow=0.5"),
        ("ae=1.5", "ae=1.5: a share is from 0.0 to 1.0"),
        ("late=-1", "late=-1: not a number"),
        ("late=x", "late=x: not a number"),
    ],
)
def test_what_is_no_fault_is_refused_and_changes_nothing(words: str, message: str) -> None:
    faults = Faults("ae=1")
    with pytest.raises(ValueError, match=message):
        faults.set(words)
    assert faults.words == "ae=1"


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "emr.example"])
def test_it_listens_on_loopback_alone(host: str) -> None:
    with pytest.raises(ValueError, match="not on loopback"):
        EmrPlan(mllp=(host, 2575))
