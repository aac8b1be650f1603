"""The figure finds a wrong owner where there is one."""

from __future__ import annotations

import pytest

from benchmarks.simhospital import SIMHOSPITAL, Message, Naive, read_messages
from benchmarks.wrong_attributions import measure_on, shuffled

pytestmark = pytest.mark.skipif(not SIMHOSPITAL.exists(), reason="../shared/data is not beside this checkout")


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return read_messages(SIMHOSPITAL / "ward.hl7")


@pytest.fixture
def beginning(messages: list[Message]) -> list[Message]:
    """With 140 observations, and each event of the 1,055 messages at least once: the figure itself takes them all."""
    taken = messages[:250]
    assert {message.event for message in taken} == {message.event for message in messages}
    return taken


def test_two_shuffles_have_no_wrong_owner(database: str, beginning: list[Message]) -> None:
    assert measure_on(database, beginning, 2) == 0


def test_another_owner_is_counted(database: str, beginning: list[Message], monkeypatch: pytest.MonkeyPatch) -> None:
    def owner(self: Naive, bed: str, patient: str, second: int) -> tuple[str, str | None]:
        return "bed+pid", "somebody else"

    monkeypatch.setattr(Naive, "owner", owner)
    assert measure_on(database, beginning, 1) == 140


def test_a_shuffle_is_late_and_resends_one_in_ten(messages: list[Message]) -> None:
    arrived = shuffled(messages, 1)
    assert len(messages) * 1.05 < len(arrived) < len(messages) * 1.15
    assert {message.msh[9] for message in arrived} == {message.msh[9] for message in messages}
    assert arrived[: len(messages)] != messages
    assert arrived == shuffled(messages, 1)
