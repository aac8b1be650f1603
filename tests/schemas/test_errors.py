import pytest

from schemas.errors import FrameError, LayoutError, LayoutReason, UnreadableError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FrameError("checksum", "frame 2 of 3"), "checksum: frame 2 of 3"),
        (FrameError("nul"), "nul"),
        (LayoutError(LayoutReason.BODY_HASH), "body-hash"),
        (LayoutError(LayoutReason.SIZE, "7 bytes"), "size: 7 bytes"),
    ],
)
def test_an_unreadable_one_says_its_reason_first(error: UnreadableError, text: str) -> None:
    assert str(error) == text
    assert f"{error.reason}" == text.partition(":")[0]
