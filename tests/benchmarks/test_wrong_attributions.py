"""The figure finds a wrong owner where there is one."""

from __future__ import annotations

import pytest

from benchmarks import wrong_attributions
from benchmarks.simhospital import SIMHOSPITAL, Naive
from benchmarks.wrong_attributions import measure_on, shuffled

pytestmark = pytest.mark.skipif(not SIMHOSPITAL.exists(), reason="../shared/data is not beside this checkout")


def test_two_shuffles_have_no_wrong_owner(database: str) -> None:
    assert measure_on(database, 2) == 0


def test_another_owner_is_counted(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def owner(self: Naive, bed: str, patient: str, second: int) -> tuple[str, str | None]:
        return "bed+pid", "somebody else"

    monkeypatch.setattr(Naive, "owner", owner)
    assert measure_on(database, 1) == 607


def test_a_shuffle_is_late_and_resends_one_in_ten() -> None:
    messages = wrong_attributions.read_messages(SIMHOSPITAL / "ward.hl7")
    arrived = shuffled(messages, 1)
    assert len(messages) * 1.05 < len(arrived) < len(messages) * 1.15
    assert {message.msh[9] for message in arrived} == {message.msh[9] for message in messages}
    assert arrived[: len(messages)] != messages
    assert arrived == shuffled(messages, 1)
