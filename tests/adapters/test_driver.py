"""What drivers have in common: the size of what a frame says."""

from __future__ import annotations

import pytest

from adapters.driver import LARGE_FRAME_BYTES, NoSettings, Source, fitting
from adapters.formats.values import text_record
from schemas.errors import FrameError
from schemas.report import Report
from tests.making import report

LARGE = report(records=[text_record("vitalwire", "long", "x" * 200_000)] * 20)


def fits(reports: list[Report], frame: bytes, *, outgrows_frame: bool = False) -> Source[NoSettings]:
    source = Source("bed 7", NoSettings())
    source.remember_emitted("patient", "7")
    try:
        assert fitting(reports, frame, source, outgrows_frame=outgrows_frame) is reports
    except FrameError as error:
        assert source.memory == {}  # nothing of the frame was emitted
        raise error
    assert source.memory == {"patient": "7"}
    return source


def test_what_a_large_frame_says_is_looked_at() -> None:
    fits([report()], b"x" * (LARGE_FRAME_BYTES + 1))
    with pytest.raises(FrameError, match="report-too-large"):
        fits([LARGE], b"x" * (LARGE_FRAME_BYTES + 1))


def test_what_a_small_frame_says_is_looked_at_where_it_may_outgrow_the_frame() -> None:
    fits([report()], b"x", outgrows_frame=True)
    with pytest.raises(FrameError, match="report-too-large"):
        fits([LARGE], b"x", outgrows_frame=True)
