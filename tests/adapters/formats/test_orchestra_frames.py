"""Orchestra frames against the sums of a public reader's rule."""

from __future__ import annotations

import pytest

from adapters.formats.orchestra_frames import framed, read_answer
from schemas.errors import FrameError


def test_frames_of_the_host() -> None:
    assert framed("1", "LE;dr") == b"\x021LE;dr2C\x03"
    assert framed("0", "DC") == b"\x020DC48\x03"


def test_an_answer_is_its_origin_status_and_fields() -> None:
    answer = read_answer(b"\x021C;d0078;r00002EE0C4\x03")
    assert (answer.origin, answer.status, answer.fields) == ("1", "C", ("d0078", "r00002EE0"))
    alone = read_answer(b"\x02CBC\x03")
    assert (alone.origin, alone.status, alone.fields) == ("", "C", ())


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\x021C;d0078;r00002EE0C5\x03", "checksum"), (b"\x021X2C\x03", "framing"), (b"\x021C;d0078C4", "framing"),
        (b"\x021Cd00782C\x03", "framing"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as refused:
        read_answer(frame)
    assert refused.value.reason == reason
