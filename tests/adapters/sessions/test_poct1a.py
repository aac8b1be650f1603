"""A conversation with a POCT1-A device, message by message; the messages are those of makers' manuals, shortened."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from adapters.session import Moment, Outcome, Piece, Step
from adapters.sessions.poct1a import NOISE_BYTES_MAX, REQUESTS, Poct1Session
from schemas.layout import FRAME_BYTES_MAX

NOW = Moment(0.0, 1_773_065_109_000_000)  # 2026-03-09 14:05:09 UTC


def message(name: str, control_id: int, inner: str = "", declaration: str = '<?xml version="1.0"?>') -> bytes:
    header = f'<HDR><HDR.control_id V="{control_id}"/><HDR.version_id V="POCT1"/></HDR>'
    return f"{declaration}<{name}>{header}{inner}</{name}>".encode()


HELLO = message("HEL.R01", 5520, '<DEV><DEV.device_id V="M1"/></DEV><DCP><DCP.application_timeout V="30"/></DCP>')
STATUS = message("DST.R01", 5521, '<DST><DST.new_observations_qty V="2"/></DST>')
NOTHING_NEW = message("DST.R01", 5521, '<DST><DST.new_observations_qty V="0"/></DST>')
RESULT = message("OBS.R01", 5522, '<SVC><SVC.role_cd V="OBS"/></SVC>')
END_OF_TOPIC = message("EOT.R01", 5523, '<EOT><EOT.topic_cd V="OBS"/></EOT>')
KEEP_ALIVE = message("KPA.R01", 5524)
END = message("END.R01", 5525, '<TRM><TRM.reason_cd V="NRM"/></TRM>')
ESCAPE = message("ESC.R01", 5526, '<ESC><ESC.detail_cd V="CNC"/></ESC>')
ACKNOWLEDGED = message("ACK.R01", 5527, '<ACK><ACK.type_cd V="AA"/><ACK.ack_control_id V="3"/></ACK>')


def said(sent: bytes) -> list[str]:
    """What we sent in short: "ACK AA 5521", "REQ ROBS", "END NRM"."""
    found = []
    for name, body in re.findall(rb"<([A-Z]{3})\.R01>(.*?)</\1\.R01>", sent):
        fields = dict(re.findall(rb'<[A-Z]{3}\.([a-z_]+) V="([^"]*)"/>', body.partition(b"</HDR>")[2]))
        found.append(" ".join([name.decode(), *(value.decode() for value in fields.values())]))
    return found


def test_the_answer_is_the_manuals() -> None:
    session = Poct1Session()
    (piece,) = session.feed(STATUS, NOW).pieces
    assert piece.token is not None
    sent = session.kept(piece.token, Outcome.KEPT, "", NOW).send
    assert sent.startswith(
        b'<ACK.R01><HDR><HDR.control_id V="1"/><HDR.version_id V="POCT1"/>'
        b'<HDR.creation_dttm V="2026-03-09T14:05:09+00:00"/></HDR>'
        b'<ACK><ACK.type_cd V="AA"/><ACK.ack_control_id V="5521"/></ACK></ACK.R01>'
    )


def talk(session: Poct1Session, data: bytes, outcome: Outcome = Outcome.KEPT, reason: str = "") -> list[str]:
    """What is answered to a message that is kept at once."""
    step = session.feed(data, NOW)
    sent = step.send
    for piece in step.pieces:
        if piece.token is not None:
            sent += session.kept(piece.token, outcome, reason, NOW).send
    return said(sent)


def test_a_whole_conversation() -> None:
    session = Poct1Session()
    assert session.opened(NOW).send == b""
    assert talk(session, HELLO) == ["ACK AA 5520"]
    assert talk(session, STATUS) == ["ACK AA 5521", "REQ ROBS"]
    assert talk(session, ACKNOWLEDGED) == []
    assert talk(session, RESULT) == ["ACK AA 5522"]
    assert talk(session, END_OF_TOPIC) == ["ACK AA 5523", "END NRM"]
    assert session.feed(ACKNOWLEDGED, NOW).close


def test_a_device_without_results_is_let_go() -> None:
    session = Poct1Session()
    assert talk(session, NOTHING_NEW) == ["ACK AA 5521", "END NRM"]
    assert not session.tick(Moment(4.9, 0)).close
    assert session.tick(Moment(5.0, 0)).close


def test_the_end_waits_until_all_is_kept() -> None:
    session = Poct1Session()
    step = session.feed(RESULT + END_OF_TOPIC, NOW)
    assert said(step.send) == ["ACK AA 5523"]
    (piece,) = step.pieces
    assert piece.token is not None
    assert said(session.kept(piece.token, Outcome.KEPT, "", NOW).send) == ["ACK AA 5522", "END NRM"]


def test_what_is_not_kept_is_not_accepted() -> None:
    assert talk(Poct1Session(), RESULT, Outcome.CANNOT_KEEP, "later") == ["ACK AE 5522 later"]
    assert talk(Poct1Session(), RESULT, Outcome.MALFORMED, "no-results") == ["ACK AE 5522 no-results"]


def test_keep_alive_escape_and_end() -> None:
    session = Poct1Session()
    step = session.feed(KEEP_ALIVE, NOW)
    assert (said(step.send), step.pieces, step.close) == (["ACK AA 5524"], (), False)
    step = session.feed(ESCAPE, NOW)
    assert (said(step.send), step.pieces, step.close) == (["ACK AA 5526"], (Piece(ESCAPE),), True)
    step = Poct1Session().feed(END, NOW)
    assert (said(step.send), step.close) == (["ACK AA 5525"], True)


def test_in_mllp_frames_the_answers_are_too() -> None:
    session = Poct1Session()
    step = session.feed(b"\x0b" + RESULT + b"\x1c\r", NOW)
    assert [piece.data for piece in step.pieces] == [RESULT]
    sent = session.kept(0, Outcome.KEPT, "", NOW).send
    assert sent.startswith(b"\x0b<ACK.R01>")
    assert sent.endswith(b"</ACK.R01>\x1c\r")


def test_a_device_is_silent_for_no_longer_than_it_said() -> None:
    session = Poct1Session()
    assert session.opened(NOW).wake_at_s == 65
    assert session.feed(HELLO, NOW).wake_at_s == 30
    assert not session.tick(Moment(29.0, 0)).close
    step = session.tick(Moment(30.0, 0))
    assert (step.close, step.counts) == (True, ("silent",))


def test_a_time_out_that_nobody_means_is_none() -> None:
    for stated in ("", "soon", "0", "-5", "1e3", "99999999"):
        hello = message("HEL.R01", 1, f'<DCP><DCP.application_timeout V="{stated}"/></DCP>')
        assert Poct1Session().feed(hello, NOW).wake_at_s == 65


def pieces_of(*chunks: bytes) -> list[tuple[bytes, str]]:
    session = Poct1Session()
    found = [piece for chunk in chunks for piece in session.feed(chunk, NOW).pieces]
    return [(piece.data, piece.reason) for piece in (*found, *session.closed(False, NOW).pieces)]


def test_what_is_no_message_has_its_reason() -> None:
    assert pieces_of(b"GET / HTTP/1.1\r\n\r\n" + RESULT) == [(b"GET / HTTP/1.1\r\n\r\n", "noise"), (RESULT, "")]
    assert pieces_of(RESULT[:-3]) == [(RESULT[:-3], "cut-off")]
    assert pieces_of(b"\x0b" + RESULT[:50] + b"\x0b" + RESULT + b"\x1c\r") == [
        (b"\x0b" + RESULT[:50], "no-end-block"), (RESULT, ""),
    ]  # fmt: skip
    assert pieces_of(b"  \r\n" + RESULT + b"\n") == [(RESULT, "")]
    assert pieces_of(b"<OBS.R01/>") == [(b"<OBS.R01/>", "")]
    assert pieces_of(b"x" * (NOISE_BYTES_MAX + 5) + RESULT) == [
        (b"x" * NOISE_BYTES_MAX, "noise"), (b"x" * 5, "noise"), (RESULT, ""),
    ]  # fmt: skip


def test_a_message_without_an_end_is_too_long() -> None:
    ((first, reason), *_) = pieces_of(b"<OBS.R01>" + b"<a/>" * (FRAME_BYTES_MAX // 4))
    assert (len(first), reason) == (FRAME_BYTES_MAX, "too-long")


WORDS = [HELLO, STATUS, RESULT, END, KEEP_ALIVE, RESULT[:60], b"\x0b", b"\x1c\r", b"\x1c", b"<OBS.R01", b"</OBS.R01 >",
         b"<?xml version='1.0'?>", b"\xef\xbb\xbf", b" \n", b"<HEL.R01/>"]  # fmt: skip


@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=20)), max_size=8),
    st.lists(st.integers(1, 70), min_size=1, max_size=10),
)
def test_any_chunking_gives_the_same_pieces(parts: list[bytes], sizes: list[int]) -> None:
    stream, chunks, at = b"".join(parts), [], 0
    while at < len(stream):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(stream[at : at + size])
        at += size
    assert pieces_of(*chunks) == pieces_of(stream)


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=30)), max_size=12))
def test_whatever_comes_it_goes_on(parts: list[bytes]) -> None:
    session, at_s = Poct1Session(), 0.0
    for part in parts:
        at_s += 1
        step: Step = session.feed(part, Moment(at_s, 0))
        assert step.close or (step.wake_at_s is not None and step.wake_at_s > at_s)
        for piece in step.pieces:
            if piece.token is not None:
                session.kept(piece.token, Outcome.KEPT, "", Moment(at_s, 0))


def test_it_sends_nothing_that_is_not_in_its_table() -> None:
    session = Poct1Session()
    sent = [each for data in (HELLO, STATUS, RESULT, END_OF_TOPIC) for each in talk(session, data)]
    assert {each.split()[0] for each in sent} == {"ACK", "REQ", "END"}
    assert {request.code for request in REQUESTS} == {b"ROBS", b"END.R01"}
