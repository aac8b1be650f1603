import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.hl7v2 import NULL, REPETITIONS_MAX, SEGMENTS_MAX, Hl7Message
from schemas.errors import FrameError

PDS = rb"MSH|^~\&|||||||ORU^R01|204|P|2.3.1|"  # Mindray's PDS: MSH-10 is a kind of message, MSH-7 is empty


def _payload(*segments: str, charset: str = "", codec: str = "utf-8", end: str = "\r") -> bytes:
    msh = rf"MSH|^~\&|MON|ICU|VW|H|20260501101500+0800||ORU^R01|17|P|2.6||||||{charset}"
    return "".join(segment + end for segment in (msh, *segments)).encode(codec)


def _refusal(payload: bytes, charset: str | None = None) -> str:
    with pytest.raises(FrameError) as refused:
        Hl7Message(payload, charset)
    return refused.value.reason


def test_fields_repetitions_components_subcomponents() -> None:
    message = Hl7Message(_payload("PID|1||A^^^H&2.16&ISO^MR~B^^^I|", r"OBX|1|NM|8867-4^Heart \T\ pulse^LN||0|/min"))
    pid = message.first("PID")
    assert pid is not None
    assert (message.field("MSH", 1), message.field("MSH", 2), message.field("MSH", 10)) == ("|", r"^~\&", "17")
    assert (pid.field(3), pid.field(3, 1), pid.field(3, 5)) == ("A^^^H&2.16&ISO^MR~B^^^I", "A", "MR")
    assert (pid.field(3, 4, 2), pid.field(3, 4, 9), pid.field(3, 9)) == ("2.16", "", "")
    assert [pid.field(3, 1, repetition=r) for r in (1, 2, 3)] == ["A", "B", ""]
    assert pid.field(3, repetition=2) == "B^^^I"
    assert [pid.repetitions(n) for n in (1, 2, 3, 99)] == [1, 0, 2, 0]
    obx = message.segments[2]
    assert [obx.field(3, n) for n in (1, 2, 3, 4)] == ["8867-4", "Heart & pulse", "LN", ""]
    assert obx.fields[:4] == ["OBX", "1", "NM", r"8867-4^Heart \T\ pulse^LN"]


def test_zero_is_zero_and_null_is_neither_empty_nor_absent() -> None:
    message = Hl7Message(_payload("OBX|1|NM|X||0|||||F", 'OBX|2|NM|X|||""', 'OBX|3|NM|X||""'))
    zero, empty, null = message.segments[1:]
    assert (zero.field(5), empty.field(5), null.field(5)) == ("0", "", NULL)
    assert (empty.field(6), null.field(6)) == (NULL, "")
    assert (len(null.fields), null.field(14)) == (6, "")
    assert message.first("PV1") is None
    assert message.field("PV1", 3) == ""


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r\n"])
def test_segments_end_with_cr_lf_or_crlf(end: str) -> None:
    assert [s.name for s in Hl7Message(_payload("PID|1", "OBX|1", end=end)).segments] == ["MSH", "PID", "OBX"]
    message = Hl7Message(_payload("OBX|1|TX|N||two\nlines", "OBX|2", end=end))
    assert [s.field(5) for s in message.segments[1:]] == ["two\nlines", ""]
    assert Hl7Message(PDS + b"\rOBX|1\n").field("OBX", 1) == "1"


def test_custom_separators_and_the_fifth_of_2_7() -> None:
    message = Hl7Message(b"MSH$%*!/$MON$$$$$$ORU%R01$9$P$2.3\rOBX$1$ST$a%b/c$$x!F!y!S!!R!!E!z*2")
    assert (message.field("OBX", 3, 2, 2), message.field("OBX", 5, repetition=1)) == ("c", "x$y%*!z")
    seventh = Hl7Message(rb"MSH|^~\&#|MON||||||ORU^R01|9|P|2.7" b"\rOBX|1|ST|a||5\\P\\")
    assert (seventh.field("OBX", 5), seventh.field("MSH", 2)) == ("5#", r"^~\&#")
    assert Hl7Message(b"MSH|^|M||||||ORU|9|P|2.3\rOBX|1~2").field("OBX", 1, repetition=2) == "2"


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (r"\F\\S\\T\\R\\E\ ", "|^&~\\ "), (r"a\.br\b", "a\nb"), (r"\X4142\\X0D\c", "AB\rc"),
        (r"\XE5BCA0E4B889\ ", "张三 "), (r"\XFF\ ", r"\XFF\ "), (r"\X1\ ", r"\X1\ "),
        (r"\H\F\N\ ", r"\H\F\N\ "), (r"\Zx\F\y", r"\Zx\F\y"), (r"\.in+4\F\ ", r"\.in+4\F\ "),
        (r"C:\temp\F\x", r"C:\temp|x"), (r"5\ ", r"5\ "), (r"\P\ ", r"\P\ "), ("\\", "\\"),
    ],
)  # fmt: skip
def test_escapes_are_resolved_once_and_unknown_ones_kept(sent: str, meant: str) -> None:
    assert Hl7Message(_payload(f"NTE|1||{sent}", charset="UNICODE UTF-8")).field("NTE", 3) == meant


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not-hl7"), (b"hello", "not-hl7"), (b"{}", "not-hl7"), (b"MSH", "not-hl7"), (b"MSH\r", "not-hl7"),
        (b"MSHX^~\\&|", "not-hl7"), (b"MSH|^^^^|A|", "not-hl7"), (b"MSH|^~\\&#$|A", "not-hl7"),
        (b"PID|1||2", "no-msh"), (b"BHS|^~\\&|", "no-msh"), (PDS.replace(b"204", b""), "no-msh-10"),
        (PDS.replace(b"204", b"  "), "no-msh-10"), (b"MSH|^~\\&|A", "no-msh-10"), (PDS + b"\0", "nul"),
        (PDS.decode().encode("utf-16-le"), "nul"), (PDS + b"\x1b$B", "charset"),
        (PDS + b"\r" + PDS, "two-messages"), (PDS + b"\nPID|1\n" + PDS, "two-messages"),
        (_payload("PID|||" + "~" * 9_999), "too-many-repetitions"),
        (_payload(*["NTE"] * SEGMENTS_MAX), "too-many-segments"),
    ],
)  # fmt: skip
def test_what_is_broken_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    assert _refusal(payload) == reason


def test_two_messages_are_what_begins_with_msh_alone() -> None:
    assert len(Hl7Message(PDS + b"\rNTE|1||MSH|" + b"\rZMSH|").segments) == 3


def test_limits_are_a_field_s_and_a_message_s() -> None:
    full = "~" * (REPETITIONS_MAX - 1)
    message = Hl7Message(_payload(f"PID|||{full}|{full}", *["NTE"] * (SEGMENTS_MAX - 2)))
    assert (message.segments[1].repetitions(3), len(message.segments)) == (REPETITIONS_MAX, SEGMENTS_MAX)


def test_the_bare_shape_of_mindray() -> None:
    message = Hl7Message(PDS)
    assert (message.field("MSH", 7), message.field("MSH", 9, 2), message.field("MSH", 10)) == ("", "R01", "204")
    assert [s.name for s in Hl7Message(b"\n" + PDS + b"\rOBX||NM|101^HR|2101|60||||||F\r").segments] == ["MSH", "OBX"]


@given(st.binary() | st.binary().map(PDS.__add__), st.sampled_from([None, "GBK", "BIG-5", "8859/1", "ISO IR87"]))
def test_any_bytes_are_a_message_or_refused(payload: bytes, charset: str | None) -> None:
    try:
        message = Hl7Message(payload, charset)
    except FrameError:
        return
    for segment in message.segments:
        for n in range(len(segment.fields) + 2):
            assert isinstance(segment.field(n, 1, 1, 1), str)
            assert bool(segment.field(n)) == bool(segment.repetitions(n))
