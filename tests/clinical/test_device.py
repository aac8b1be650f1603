"""Which of a device's claims count."""

from __future__ import annotations

from clinical.device import Device, PidClaim, PidMute


def claim(patients: tuple[str, ...], from_us: int, until_us: int | None) -> PidClaim:
    return PidClaim(patients=patients, from_us=from_us, until_us=until_us, fact=b"pid")


OLD, SILENT, OLD_STILL, NEW = (
    claim(("P1",), 0, 10), claim((), 10, 20), claim(("P1",), 20, 30), claim(("P2",), 30, None),
)  # fmt: skip


def counted(*mutes_us: int) -> list[PidClaim]:
    mutes = [PidMute(from_us=from_us, act=b"mute") for from_us in mutes_us]
    return Device(id="monitor", claims=[NEW, OLD_STILL, SILENT, OLD], mutes=mutes).claims_that_count()


def test_without_a_mute_all_count_in_their_order() -> None:
    assert counted() == [OLD, SILENT, OLD_STILL, NEW]


def test_a_mute_silences_the_number_that_was_shown_until_another_comes() -> None:
    assert counted(5) == [claim(("P1",), 0, 5), NEW]
    assert counted(15) == [OLD, claim((), 10, 15), NEW]


def test_a_mute_of_the_new_number_leaves_the_old_one() -> None:
    assert counted(40) == [OLD, SILENT, OLD_STILL, claim(("P2",), 30, 40)]


def test_a_mute_before_any_number_silences_nothing() -> None:
    assert counted(-1) == counted()
