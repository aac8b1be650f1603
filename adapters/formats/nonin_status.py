"""What the status byte of Nonin's pulse by pulse formats (2 and 7) says of a second of averages and of its pleth."""

from __future__ import annotations

from schemas.report import Validity

ARTF, OOT, RED, PERFUSION = 0x20, 0x10, 0x04, 0x06
PULSE_FRAMES = 12  # a pulse's mark is held for 160 ms


def quality(status: bytes) -> Validity:
    """What a second with a working sensor says of its averages."""
    artifact = sum(1 for s in status if s & ARTF)
    red = sum(1 for s in status if s & PERFUSION == RED)
    other_perfusion = sum(1 for s in status if s & PERFUSION) - red
    half_a_pulse = PULSE_FRAMES // 2
    doubtful = (
        any(s & OOT for s in status) or artifact >= half_a_pulse or (red >= half_a_pulse and red > other_perfusion)
    )
    return Validity.QUESTIONABLE if doubtful else Validity.VALID


def unusable_stretches(status: bytes, unusable: int) -> tuple[tuple[int, int], ...]:
    """From where to where, in frames, the status has one of these bits."""
    stretches = []
    begin = None
    for at, s in enumerate((*status, 0)):
        if s & unusable and begin is None:
            begin = at
        elif not s & unusable and begin is not None:
            stretches.append((begin, at))
            begin = None
    return tuple(stretches)
