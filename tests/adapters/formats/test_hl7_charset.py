"""What a message's bytes are read as; what cannot be read spoils its own text, or the message is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats.hl7_charset import codec_of
from adapters.formats.hl7v2 import Hl7Message
from adapters.formats.values import printable, text_bytes, undecoded
from schemas.errors import FrameError

BYTEWISE = ["", "ASCII", "UNICODE UTF-8", "8859/1", "8859/15", "WINDOWS-1252"]


def payload(*segments: str, charset: str = "", codec: str = "utf-8", end: str = "\r") -> bytes:
    msh = rf"MSH|^~\&|MON|ICU|VW|H|20260501101500+0800||ORU^R01|17|P|2.6||||||{charset}"
    return "".join(segment + end for segment in (msh, *segments)).encode(codec)


def refusal(data: bytes, charset: str | None = None) -> str:
    with pytest.raises(FrameError) as refused:
        Hl7Message(data, charset)
    return refused.value.reason


@pytest.mark.parametrize(
    ("name", "codec"),
    [("UNICODE UTF-8", "utf-8"), ("unicode utf-8", "utf-8"), ("UTF-8", "utf-8"), ("UNICODE", "utf-8"), ("", "utf-8"),
     ("ASCII", "utf-8"), ("ISO_IR 192", "utf-8"), ("GB 18030-2000", "gb18030"), ("GBK", "gb18030")],
)  # fmt: skip
def test_zhang_san_arrives_as_he_was_sent(name: str, codec: str) -> None:
    message = Hl7Message(payload("PID|||1||张^三", charset=name, codec=codec))
    assert [message.field("PID", 5, n) for n in (1, 2, 3)] == ["张", "三", ""]


@pytest.mark.parametrize("text", ["°C", "Müller", "联通", "掳", "é"])
def test_valid_utf_8_is_utf_8_where_nothing_is_declared(text: str) -> None:
    assert Hl7Message(payload(f"OBX|1|NM|x||36.9|{text}|")).field("OBX", 6) == text


def test_a_byte_order_mark_is_skipped() -> None:
    assert Hl7Message(b"\r\n\xef\xbb\xbf" + payload("PID|||1")).field("PID", 3) == "1"


def test_second_bytes_that_look_like_separators() -> None:
    text = "".join(c for c in map(chr, range(0x4E00, 0x9FA5)) if c.encode("gbk")[1] in b"|^~\\&#")
    assert len(text) > 400
    message = Hl7Message(payload(f"PID|||1||{text}^三", charset="GB 18030-2000", codec="gb18030"))
    assert [message.field("PID", 5, n) for n in (1, 2, 3)] == [text, "三", ""]
    big5 = "功許蓋"  # each ends with 0x5C in BIG-5
    message = Hl7Message(payload(f"PID|||1||{big5}^三", charset="BIG-5", codec="cp950"))
    assert [message.field("PID", 5, n) for n in (1, 2, 3)] == [big5, "三", ""]
    head = "MSH|^~\\&|燶|燶|||||ORU^R01|17|P|2.6||||||GBK\r".encode("gbk")  # 燶 ends with 0x7C
    assert Hl7Message(head).field("MSH", 10) == "17"


@pytest.mark.parametrize("name", BYTEWISE)
@pytest.mark.parametrize("text", ["燶", "张燶", "欧阳燶|x", "燶^三"])
def test_gbk_whose_second_byte_may_be_a_separator_is_refused(name: str, text: str) -> None:
    data = payload(f"PID|||1||张三丰^{text}|x", charset=name, codec="gbk")
    assert refusal(data) == "charset"
    assert Hl7Message(data, "GBK").field("PID", 3) == "1"


@pytest.mark.parametrize("name", BYTEWISE)
@pytest.mark.parametrize("text", ["张三", "欧阳娜娜", "王"])
def test_gbk_that_leaves_the_separators_alone_spoils_its_own_text(name: str, text: str) -> None:
    message = Hl7Message(payload(f"PID|||1||{text}|", "OBX|1|NM|x||97|%", charset=name, codec="gbk"))
    spoilt = message.field("PID", 5)
    assert undecoded(spoilt)
    assert text_bytes(spoilt, message.syntax.codec) == text.encode("gbk")
    assert (message.field("PID", 3), message.field("OBX", 5), message.field("OBX", 6)) == ("1", "97", "%")


@pytest.mark.parametrize("name", ["BIG-5", "~ISO IR87", "KS X 1001"])
def test_gbk_under_another_two_byte_set_is_refused(name: str) -> None:
    assert refusal(payload("PID|||1||张三", charset=name, codec="gbk")) == "charset"


@settings(max_examples=300)
@given(st.text(st.characters(codec="gb2312", min_codepoint=0x4E00), min_size=1, max_size=4), st.sampled_from(BYTEWISE))
def test_everyday_chinese_in_gbk_is_never_garbled(text: str, name: str) -> None:
    sent = text.encode("gbk")
    try:
        message = Hl7Message(payload(f"PID|||1||{text}|2|3", charset=name, codec="gbk"))
    except FrameError:
        return
    found = message.field("PID", 5)
    assert undecoded(found) or found == sent.decode("utf-8")
    assert [message.field("PID", n) for n in (3, 6, 7)] == ["1", "2", "3"]


@settings(max_examples=200)
@given(st.text(st.characters(codec="gbk", min_codepoint=0x80), min_size=1, max_size=6), st.sampled_from(["", "ASCII"]))
def test_undeclared_gbk_never_moves_a_field(text: str, name: str) -> None:
    data = payload(f"OBX|1|NM|{text}^{text}|{text}|36.5|{text}|x", charset=name, codec="gbk")
    try:
        message = Hl7Message(data)
    except FrameError:
        return
    assert [message.field("OBX", n) for n in (5, 7)] == ["36.5", "x"]


@pytest.mark.parametrize(
    ("sent", "name"),
    [(b"M\xfcller", ""), (b"M\xfcller", "ASCII"), (b"M\xfcller", "UNICODE UTF-8"), (b"\xff\xfe", "8859/7"),
     (b"a\x80b", "8859/1"), (b"a\x81b", "WINDOWS-1252"), (b"\xe5\xbc", "UTF-8"), (b"\xa5", "8859/3")],
)  # fmt: skip
def test_bytes_that_do_not_decode_are_kept_as_they_came(sent: bytes, name: str) -> None:
    data = payload("PID|||1||?|2", "OBX|1|NM|x||97", charset=name).replace(b"?", sent)
    message = Hl7Message(data)
    text = message.field("PID", 5)
    assert undecoded(text)
    assert text_bytes(text, message.syntax.codec) == sent
    assert (message.field("PID", 6), message.field("OBX", 5)) == ("2", "97")
    assert printable(text).encode("utf-8")


def test_undeclared_latin_1_before_a_separator_may_be_half_a_character() -> None:
    assert refusal(payload("PID|||1||René|2", codec="latin-1")) == "charset"
    assert Hl7Message(payload("PID|||1||René|2", charset="8859/1", codec="latin-1")).field("PID", 5) == "René"


@pytest.mark.parametrize(
    ("text", "name", "codec"),
    [("Müller^Jürgen", "8859/1", "latin-1"), ("37 °C", "8859/1", "latin-1"), ("37 °C", "ISO_IR 100", "latin-1"),
     ("Größe 37,5 °C 5 µg", "8859/15", "iso8859_15"),
     ("Źdźbło", "8859/2", "iso8859_2"), ("€ 5", "WINDOWS-1252", "cp1252"), ("Мария Иванова", "8859/5", "iso8859_5"),
     ("Анна", "ISO_IR 144", "iso8859_5"), ("王小明", "BIG-5", "big5"), ("山田太郎", "~ISO IR87", "iso2022_jp"),
     ("ヤマダ", "ISO IR14~ISO IR87", "iso2022_jp"),
     ("Müller µg °C", "UNICODE UTF-8", "utf-8"), ("Иванов", "UTF-8", "utf-8")],
)  # fmt: skip
def test_other_charsets_are_read_by_their_name(text: str, name: str, codec: str) -> None:
    assert Hl7Message(payload(f"NTE|1||{text}|", charset=name, codec=codec)).field("NTE", 3) == text


@pytest.mark.parametrize("name", ["CNS 11643-1992", "UNICODE UTF-16", "8859/1~8859/2", "EBCDIC"])
def test_ascii_reads_the_same_under_every_name(name: str) -> None:
    assert Hl7Message(payload("PID|||1||Doe", charset=name)).field("PID", 5) == "Doe"
    assert refusal(payload("PID|||1||Zoë", charset=name)) == "charset"


def test_a_configured_charset_is_believed_and_beats_msh_18() -> None:
    data = payload("PID|||1||Größe^|", charset="UNICODE UTF-8", codec="latin-1")
    assert undecoded(Hl7Message(data).field("PID", 5, 1))
    assert Hl7Message(data, "8859/1").field("PID", 5, 1) == "Größe"
    assert refusal(data + b"\xff", "GBK") == refusal(payload("é"), "EBCDIC") == "charset"


def test_every_name_has_a_codec() -> None:
    assert {codec_of(f"8859/{part}") for part in range(1, 10)} == {f"iso8859_{part}" for part in range(1, 10)}
    assert codec_of("~") == codec_of("ASCII") == "ascii"
