"""Lines behind noise: found at once, however the bytes come."""

from adapters.session import Moment, Piece
from adapters.sessions.lines import LINE_BYTES_MAX, LineSession

NOISE, LINE = b"x" * LINE_BYTES_MAX, b"SPO2=097 HR=072"
NOW = Moment(0, 0)


def test_a_line_behind_a_piece_that_is_too_long_does_not_wait_for_the_next() -> None:
    whole = LineSession().feed(NOISE + LINE + b"\r\n", NOW).pieces
    assert whole == (Piece(NOISE, "line-too-long"), Piece(LINE))
    session = LineSession()
    assert tuple(p for b in NOISE + LINE + b"\r\n" for p in session.feed(bytes([b]), NOW).pieces) == whole


def test_what_is_left_of_a_line_when_the_port_closes_is_kept() -> None:
    session = LineSession()
    assert session.feed(LINE, NOW).phase == "receiving"
    assert session.closed(False, NOW).pieces == (Piece(LINE, "cut-off"),)
    assert session.closed(False, NOW).pieces == ()
    assert session.feed(b"\r\n", NOW).pieces == ()
