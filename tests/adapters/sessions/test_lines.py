"""Lines behind noise: found at once, however the bytes come."""

from adapters.formats.lines import LINE_BYTES_MAX, LineFramer

NOISE, LINE = b"x" * LINE_BYTES_MAX, b"SPO2=097 HR=072"


def test_a_line_behind_a_piece_that_is_too_long_does_not_wait_for_the_next() -> None:
    whole = LineFramer().feed(NOISE + LINE + b"\r\n")
    assert [(p.data, p.reason) for p in whole] == [(NOISE, "line-too-long"), (LINE, "")]
    framer = LineFramer()
    assert [p for b in NOISE + LINE + b"\r\n" for p in framer.feed(bytes([b]))] == whole
