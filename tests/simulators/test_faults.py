from __future__ import annotations

from random import Random

import pytest

from simulators.faults import FAULTS, NOTICED, FaultyWire

FRAME = bytes(range(100))


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_changes_the_bytes_and_is_the_same_for_the_same_seed(kind: str) -> None:
    for seed in range(50):
        spoilt = FAULTS[kind](FRAME, Random(seed))
        assert spoilt != FRAME
        assert spoilt == FAULTS[kind](FRAME, Random(seed))


def test_each_spoils_what_it_says() -> None:
    for seed in range(50):
        spoilt = {kind: fault(FRAME, Random(seed)) for kind, fault in FAULTS.items()}
        assert spoilt["bad_checksum"][:-1] == FRAME[:-1]
        assert FRAME.startswith(spoilt["half_frame"])
        assert 0 < len(spoilt["half_frame"]) < len(FRAME)
        assert spoilt["noise"].endswith(FRAME)
        assert len(spoilt["burst"]) == len(FRAME)
        assert sum(a != b for a, b in zip(spoilt["burst"], FRAME, strict=True)) <= 25


def test_a_wire_spoils_its_share() -> None:
    wire, same = FaultyWire(NOTICED, 0.1, 7), FaultyWire(NOTICED, 0.1, 7)
    out = [wire.spoilt(FRAME) for _ in range(2000)]
    assert out == [same.spoilt(FRAME) for _ in range(2000)]
    assert sum(o is not None for o in out) == pytest.approx(200, abs=60)
    assert FaultyWire((), 1.0, 7).spoilt(FRAME) is None
