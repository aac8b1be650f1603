from itertools import count

import hl7apy.core
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_segments
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.hl7_ack import Answers, HeadReader, MessageHead, _Shape, read_head
from adapters.formats.hl7v2 import Hl7Message, header
from adapters.session import Outcome
from schemas.errors import FrameError

STRICT = VALIDATION_LEVEL.STRICT
NOW_US = 1_777_601_700_000_000  # 2026-05-01 02:15 UTC
KEPT, MALFORMED, UNSUPPORTED, CANNOT_KEEP = Outcome


def _message(
    version: str = "2.5", accept: str = "", application: str = "", charset: str = "", sender: str = "MON"
) -> str:
    return (
        rf"MSH|^~\&|{sender}|ICU|VW|H|20260501101500||ORU^R01|A17|P|{version}|||{accept}|{application}||{charset}"
        "\rPID|1\r"
    )


def _answers(payload: bytes | str, outcome: Outcome, reason: str = "", answers: Answers = "accept") -> list[bytes]:
    payload = payload.encode() if isinstance(payload, str) else payload
    return read_head(payload).answers(outcome, NOW_US, count(1), reason, answers)


def _answer(payload: bytes | str, outcome: Outcome, reason: str = "") -> bytes | None:
    found = _answers(payload, outcome, reason)
    assert len(found) <= 1
    return found[0] if found else None


def _msa_1(payload: str, outcome: Outcome) -> str | None:
    answer = _answer(payload, outcome)
    return None if answer is None else Hl7Message(answer).field("MSA", 1)


@pytest.mark.parametrize(
    ("accept", "application", "codes"),
    [
        # MSH-15, MSH-16    kept  malformed unsupported cannot keep
        ("", "", ["AA", "AE", "AR", "AR"]),
        ('""', '""', ["AA", "AE", "AR", "AR"]),
        ("AL", "", ["CA", "CE", "CR", "CE"]),
        ("al", "NE", ["CA", "CE", "CR", "CE"]),
        ("AL", "AL", ["CA", "CE", "CR", "CE"]),
        ("SU", "", ["CA", None, None, None]),
        ("ER", "NE", [None, "CE", "CR", "CE"]),
        ("NE", "", [None, None, None, None]),
        ("NE", "NE", [None, None, None, None]),
        ("NE", "AL", ["AA", "AE", "AR", "AR"]),  # IHE PCD-01
        ("", "AL", ["AA", "AE", "AR", "AR"]),
        ("NE", "ER", [None, "AE", "AR", "AR"]),
        ("ER", "SU", ["AA", "CE", "CR", "CE"]),
        ("??", "", ["CA", "CE", "CR", "CE"]),
        (" AL ", " ", ["CA", "CE", "CR", "CE"]),  # padding means nothing
        (" ", "  ", ["AA", "AE", "AR", "AR"]),
    ],
)  # fmt: skip
def test_each_is_answered_as_it_asks(accept: str, application: str, codes: list[str | None]) -> None:
    message = _message(accept=accept, application=application)
    assert [_msa_1(message, outcome) for outcome in Outcome] == codes


@pytest.mark.parametrize(
    ("answers", "accept", "application", "kept", "malformed"),
    [
        ("accept", "AL", "AL", ["CA"], ["CE"]),
        ("application", "AL", "AL", ["AA"], ["AE"]),
        ("both", "AL", "AL", ["CA", "AA"], ["CE", "AE"]),
        ("both", "AL", "ER", ["CA"], ["CE", "AE"]),
        ("application", "AL", "ER", ["CA"], ["AE"]),
        ("application", "AL", "NE", ["CA"], ["CE"]),
        ("both", "AL", "NE", ["CA"], ["CE"]),
        ("both", "NE", "AL", ["AA"], ["AE"]),
        ("both", "", "", ["AA"], ["AE"]),
        ("application", "", "", ["AA"], ["AE"]),
        ("both", "NE", "NE", [], []),
    ],
)
def test_who_asks_for_two_gets_what_the_source_says(
    answers: Answers, accept: str, application: str, kept: list[str], malformed: list[str]
) -> None:
    message = _message(accept=accept, application=application)
    for outcome, codes in ((KEPT, kept), (MALFORMED, malformed)):
        found = [Hl7Message(answer) for answer in _answers(message, outcome, "", answers)]
        assert [answer.field("MSA", 1) for answer in found] == codes
        assert [answer.field("MSH", 10) for answer in found] == [f"VW{n + 1}" for n in range(len(codes))]


def test_padding_and_a_byte_order_mark_mean_nothing() -> None:
    plain, padded = _message("2.3", accept="AL"), _message("2.3", accept="AL")
    padded = padded.replace("|2.3|", "| 2.3 |").replace("|AL|", "| al|").replace("ORU^R01", " ORU ^ R01 ")
    for outcome in Outcome:
        assert _answer(padded, outcome, "charset") == _answer(plain, outcome, "charset")
        assert _answer(b"\xef\xbb\xbf" + plain.encode(), outcome) == _answer(plain, outcome)
    assert read_head(b"\xef\xbb\xbf" + plain.replace("ORU^R01", " ack ").encode()).is_acknowledgement


def test_two_messages_in_a_frame_are_named_as_the_error() -> None:
    answer = _answer(_message("2.6", accept="AL"), MALFORMED, "two-messages")
    assert answer is not None
    assert answer.endswith(b"\rMSA|CE|A17\rERR|||100^Segment sequence error^HL70357|E||||two-messages\r")


@pytest.mark.parametrize("kind", ["ACK", " ACK ", "ACK^R01^ACK", "ack"])
def test_an_acknowledgement_is_told(kind: str) -> None:
    assert read_head(_message().replace("ORU^R01", kind).encode()).is_acknowledgement
    assert not read_head(_message().encode()).is_acknowledgement
    assert not read_head(b"ACK").is_acknowledgement


def test_the_whole_answer_before_and_from_2_5() -> None:
    assert _answer(_message("2.3.1"), MALFORMED, "no-msh-10") == (
        b"MSH|^~\\&|VW|H|MON|ICU|20260501021500+0000||ACK^R01^ACK|VW1|P|2.3.1\r"
        b"MSA|AE|A17|no-msh-10\rERR|MSH^1^10^101&Required field missing&HL70357\r"
    )
    assert (
        _answer(_message("2.6", charset="UNICODE UTF-8", sender="监护^E&I"), UNSUPPORTED, "unsupported-type")
        == (
            "MSH|^~\\&|VW|H|监护^E&I|ICU|20260501021500+0000||ACK^R01^ACK|VW1|P|2.6||||||UNICODE UTF-8\r"
            "MSA|AR|A17\rERR||MSH^1^9|200^Unsupported message type^HL70357|E||||unsupported-type\r"
        ).encode()
    )
    assert _answer(_message("2.3"), CANNOT_KEEP, "spool full | try^again") == (
        b"MSH|^~\\&|VW|H|MON|ICU|20260501021500+0000||ACK^R01|VW1|P|2.3\r"
        b"MSA|AR|A17|spool full \\F\\ try\\S\\again\rERR|^^^207&Application internal error&HL70357\r"
    )


def test_separators_are_theirs() -> None:
    answer = _answer("MSH$%*!/$MON$ICU$VW$H$1$$ORU%R01$A$9$P$2.3\r".replace("$A$", "$"), MALFORMED, "a%b")
    assert answer is not None
    assert answer.split(b"\r")[:2] == [
        b"MSH$%*!/$VW$H$MON$ICU$20260501021500+0000$$ACK%R01$VW1$P$2.3", b"MSA$AE$9$a!S!b"
    ]  # fmt: skip


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "latin-1"])
def test_what_is_echoed_is_the_same_bytes(codec: str) -> None:
    sender = "Santé" if codec == "latin-1" else "燶"  # in GB 18030 燶 ends with the byte of |
    payload = _message(sender=sender).encode(codec)
    answer = _answer(payload, KEPT)
    assert answer is not None
    assert b"|VW|H|" + sender.encode(codec) + b"|ICU|" in answer
    assert answer.endswith(b"\rMSA|AA|A17\r")


@pytest.mark.parametrize(
    ("payload", "control_id"),
    [
        (b"", ""), (b"hello", ""), (b"MSH", ""), (b"MSH|", ""), (b"PID|1", ""),
        (b"MSH|^^^^|a|b|c|d|1||ORU|A17|P|2.3", "A17"),
        (b"MSH|^~\\&|||||||ORU^R01|204|P|2.3.1|", "204"), (b"noise\x0bMSH|^~\\&|||||||ORU^R01|204|P|2.3.1|", "204"),
        (b"MSH|^~\\&|a\x1cb|\0|||||ORU^R01|A\x0b17|P", "A17"), (b"MSH|^~\\&|\xff\xfe|||||||A17", "A17"),
        (b"MSH|^~\\&||||||||A17\nPID|1", "A17"),
    ],
)  # fmt: skip
def test_broken_messages_are_answered_by_what_id_they_have(payload: bytes, control_id: str) -> None:
    answer = _answer(payload, MALFORMED, "no-end-block")
    assert answer is not None
    message = Hl7Message(answer, "8859/1")
    assert (message.field("MSA", 1), message.field("MSA", 2)) == ("AE", control_id)
    assert message.field("ERR", 1) or message.field("ERR", 3)


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6"])
@pytest.mark.parametrize("accept", ["", "AL"])
@pytest.mark.parametrize("outcome", Outcome)
def test_hl7apy_validates_what_is_built(version: str, accept: str, outcome: Outcome) -> None:
    for reason in ("no-msh-10", "checksum", "charset", "unsupported-version"):
        answer = _answer(_message(version, accept, charset="ASCII"), outcome, reason)
        assert answer is not None
        parsed = hl7apy.core.Message("ACK", version=version, validation_level=STRICT)  # in 2.3 MSH-9 does not name it
        parsed.children = parse_segments(answer.decode(), version, validation_level=STRICT)
        assert parsed.validate()
        assert parsed.to_er7() == answer.decode().rstrip("\r")


@given(
    st.binary() | st.binary().map(b"MSH|^~\\&|".__add__) | st.binary().map(b"MSH".__add__),
    st.sampled_from(Outcome), st.text(),
)  # fmt: skip
def test_any_bytes_are_answered_in_one_frame(payload: bytes, outcome: Outcome, reason: str) -> None:
    answer = _answer(payload, outcome, reason)
    if answer is None:
        return
    assert not set(answer) & {0x0B, 0x1C, 0x00, 0x0A}
    segments = answer.split(b"\r")
    assert [s[:3] for s in segments] == [b"MSH", b"MSA"] + [b"ERR"] * (outcome is not KEPT) + [b""]
    try:
        message = Hl7Message(answer, "8859/1")
    except FrameError as error:
        assert error.reason == "charset"  # noqa: PT017
    else:
        assert message.field("MSA", 1)[1] == {KEPT: "A", MALFORMED: "E", UNSUPPORTED: "R"}.get(
            outcome, message.field("MSA", 1)[1]
        )


_FIELDS = st.lists(st.text("AB^~&\\|1 \x1b\n\x80é", max_size=3), max_size=20)


@given(
    st.binary(max_size=40) | _FIELDS.map(lambda fields: ("MSH|" + "|".join(fields) + "\rPID|1\r").encode()),
    st.sampled_from(Outcome),
    st.sampled_from(["", "charset"]),
)
def test_an_answer_from_the_cache_is_the_one_built_for_the_message(
    payload: bytes, outcome: Outcome, reason: str
) -> None:
    head = header(payload)
    built = MessageHead(_Shape(head), head.fields[10] if head else "")
    for _ in range(2):
        found = read_head(payload)
        assert found.is_acknowledgement == built.is_acknowledgement
        assert found.is_there == built.is_there
        assert found.answers(outcome, NOW_US, count(1), reason) == built.answers(outcome, NOW_US, count(1), reason)


_ODD = st.sampled_from(
    ["", "A1", "20260501101500", "x|y", "\r", "\n", "é", "\rMSH|^~\\&|", "|", "a" * 600, " ", "\x0b"]
)
_ENDS = st.sampled_from(["|P|2.6|||AL|NE\rPID|1\r", "|P|2.6|||AL|NE", "\rPID|1", "|T|2.5\r", "|P|2.6|||AL|NE\n"])


@given(
    st.lists(st.tuples(st.sampled_from(["MON", "é", "M\rN"]), _ODD, st.sampled_from(["ORU^R01", "ACK"]), _ODD, _ENDS))
)
def test_a_sender_s_next_head_is_read_as_if_it_were_the_first(sent: list[tuple[str, ...]]) -> None:
    reader = HeadReader()
    for sender, time, kind, ident, end in sent:
        payload = rf"MSH|^~\&|{sender}|ICU|||{time}||{kind}|{ident}{end}".encode()
        next_head, first_head = reader.read(payload), read_head(payload)
        assert next_head.control_id == first_head.control_id
        assert next_head.is_acknowledgement == first_head.is_acknowledgement
        answers = [head.answers(KEPT, NOW_US, count(1)) for head in (next_head, first_head)]
        assert answers[0] == answers[1]
