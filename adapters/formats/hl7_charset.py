r"""Charsets of HL7 v2 messages (table 0211): which codec reads the bytes, and what becomes of those that it cannot.

A charset is never guessed, as little as a time zone.

- ASCII, the ISO 8859 sets, Windows-1252 and UTF-8 leave the separators alone: bytes that do not decode spoil their own
  text, and numbers, codes and times are read. In the text such a byte is a lone surrogate (PEP 383), for which see
  `adapters/formats/values.py`. The control bytes 80 to 9F are letters in no ISO 8859 set.
- In GB 18030, Big5, KS X 1001 and ISO 2022 the second byte of a character may be `|`, `^`, `\` or `~`: the message is
  decoded before it is split, and refused where it cannot be.
- MSH-18 empty or ASCII: bytes that are valid UTF-8 are UTF-8. Others stay bytes, text by text.
- The bytes of GB 18030 under another name or under none are the danger: a separator may be half a character. Where that
  is possible the message is refused. Is possible: a run of an odd number of high bytes stands right before a separator
  and forms a GBK character with it, in a message that states no charset, or most of whose characters beyond ASCII read
  as everyday Chinese. Where most do and no separator is in doubt, its texts stay bytes.
- Pure ASCII without ISO 2022 shifts reads the same in every set of the table, whatever MSH-18 says.
- UTF-16 is refused for its NUL bytes; a UTF-8 byte order mark is skipped.

Refused is FrameError("charset"): the bytes are kept, and `charset` in the source's settings mends it. A configured
charset is believed.
"""

from __future__ import annotations

import re
from functools import lru_cache

from schemas.errors import FrameError

_SHIFTED = "iso2022_jp_ext"
# Table 0211 and what senders write instead, DICOM's names included, to Python's codecs; in names only upper case,
# letters and digits count.
_DICOM = {"100": 1, "101": 2, "109": 3, "110": 4, "144": 5, "127": 6, "126": 7, "138": 8, "148": 9}
CHARSETS = (
    dict.fromkeys(("ASCII", "USASCII", "ISOIR6"), "ascii")
    | dict.fromkeys(("UNICODEUTF8", "UNICODE", "UTF8", "ISOIR192"), "utf-8")
    | dict.fromkeys(("GB180302000", "GB18030", "GBK", "GB2312", "CP936"), "gb18030")
    | dict.fromkeys(("ISOIR14", "ISOIR87", "ISOIR159", "JISX0202"), _SHIFTED)
    | {"BIG5": "cp950", "KSX1001": "euc_kr", "CP1252": "cp1252", "WINDOWS1252": "cp1252"}
    | {f"{iso}8859{part}": f"iso8859_{part}" for iso in ("", "ISO") for part in (*range(1, 11), 13, 14, 15)}
    | {f"ISOIR{number}": f"iso8859_{part}" for number, part in _DICOM.items()}
)
_TWO_BYTES = {"gb18030", "cp950", "euc_kr"}
_LATIN = {"cp1252", *(f"iso8859_{part}" for part in (1, 2, 3, 4, 9, 10, 13, 14, 15))}
_MOSTLY = 0.5  # of the characters beyond ASCII, that read as everyday Chinese
_NOT_IN_NAMES = re.compile(r"[^A-Z0-9]")
_C1_AS_BYTES = {c: 0xDC00 + c for c in range(0x80, 0xA0)}
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")


@lru_cache(64)
def codec_of(names: str, repetition: str = "~") -> str:
    """Python's codec for a charset's name in table 0211, or for MSH-18 with all its repetitions."""
    codecs = set()
    for name in filter(None, map(str.strip, names.split(repetition))):
        codec = CHARSETS.get(_NOT_IN_NAMES.sub("", name.upper()))
        if codec is None:
            raise FrameError("charset", f"{name[:40]!r} is not known")
        codecs.add(codec)
    codecs.discard("ascii")
    if len(codecs) > 1:
        raise FrameError("charset", "more than one; name the one that is used in the source's settings")
    return codecs.pop() if codecs else "ascii"


def decode(payload: bytes, names: str, separators: str, configured: bool) -> tuple[str, str]:
    """A message's text and the codec that gave it; `separators` are MSH-1 and MSH-2, the repetition's the third.

    `names` is MSH-18, or the source's charset where `configured`. Raises FrameError("charset").
    """
    shifts = b"\x1b" in payload
    if payload.isascii() and not shifts:
        return payload.decode("ascii"), _known_codec(names, separators[2])
    codec = codec_of(names, separators[2])
    if shifts and codec != _SHIFTED:
        raise FrameError("charset", "ISO 2022 shifts that MSH-18 does not name")
    if codec == _SHIFTED or codec in _TWO_BYTES:
        return _decode_whole(payload, codec, configured), codec
    return _decode_bytewise(payload, codec, separators, configured), codec


def _known_codec(names: str, repetition: str) -> str:
    try:
        return codec_of(names, repetition)
    except FrameError:
        return "ascii"


def _decode_whole(payload: bytes, codec: str, configured: bool) -> str:
    try:
        text = payload.decode(codec)
    except UnicodeDecodeError:
        raise FrameError("charset", f"the bytes are not {codec}; name the source's charset in its settings") from None
    if not configured and codec != "gb18030" and _everyday_chinese_share(payload) == 1:
        raise FrameError("charset", f"it may not be {codec}; name the source's charset in its settings")
    return text


def _decode_bytewise(payload: bytes, codec: str, separators: str, configured: bool) -> str:
    if codec in ("ascii", "utf-8"):
        try:
            return payload.decode("utf-8")
        except UnicodeDecodeError:
            pass
    may_be_chinese = codec in _LATIN or codec in ("ascii", "utf-8")
    if not configured and may_be_chinese:
        mostly = _everyday_chinese_share(payload) >= _MOSTLY
        if (mostly or codec == "ascii") and _separator_may_be_second_byte(payload, separators):
            raise FrameError("charset", "it may be GB 18030; name the source's charset in its settings")
        if mostly:
            return payload.decode("ascii", "surrogateescape")
    text = payload.decode(codec, "surrogateescape")
    return text.translate(_C1_AS_BYTES) if codec.startswith("iso8859") else text


def _everyday_chinese_share(payload: bytes) -> float:
    """Of the characters beyond ASCII, read as GB 18030, those in GB 2312; 0 if they cannot be read so."""
    try:
        beyond = [c for c in payload.decode("gb18030") if c > "\x7f"]
    except UnicodeDecodeError:
        return 0.0
    return sum(1 for c in beyond if c.encode("gb2312", "ignore")) / max(1, len(beyond))


def _separator_may_be_second_byte(payload: bytes, separators: str) -> bool:
    """Whether a separator may be the second half of a GBK character; the first one of a run of high bytes leads."""
    ends = separators.encode("ascii", "ignore")
    for run in _HIGH_RUN.finditer(payload):
        after = payload[run.end() : run.end() + 1]
        if (run.end() - run.start()) % 2 and after and after in ends:
            try:
                (payload[run.end() - 1 : run.end()] + after).decode("gbk")
            except UnicodeDecodeError:
                continue
            return True
    return False
