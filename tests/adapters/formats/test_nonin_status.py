from __future__ import annotations

import pytest

from adapters.formats.nonin_status import ARTF, OOT, RED, quality, unusable_stretches
from schemas.report import Validity

GOOD, UNUSABLE = 0x80, 0x08


@pytest.mark.parametrize(("mark", "frames", "expected"), [
    (0, 0, Validity.VALID),
    (OOT, 1, Validity.QUESTIONABLE),
    (ARTF, 5, Validity.VALID),  # less than half a pulse is the other second's
    (ARTF, 6, Validity.QUESTIONABLE),
    (RED, 6, Validity.QUESTIONABLE),
])  # fmt: skip
def test_what_is_said_of_a_second(mark: int, frames: int, expected: Validity) -> None:
    assert quality(bytes([GOOD | mark] * frames + [GOOD] * (75 - frames))) is expected


def test_stretches_begin_and_end_where_the_bit_does() -> None:
    status = bytes([GOOD | UNUSABLE] * 2 + [GOOD] * 3 + [GOOD | UNUSABLE] * 2)
    assert unusable_stretches(status, UNUSABLE) == ((0, 2), (5, 7))
    assert unusable_stretches(bytes([GOOD] * 4), UNUSABLE) == ()
