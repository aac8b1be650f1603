"""The ADT group as text."""

import msgspec
import pytest

from schemas.adt import AdtGroup, Identifier, SentBed, Visit, decode_group, encode_group


def test_group_comes_back_from_its_text() -> None:
    visit = Visit("I", SentBed("ICU", "", "V2"), number=Identifier("7", "HIS", "VN"), admitted_at_us=1)
    group = AdtGroup(
        "A01", "MSG1", b"\x01" * 32, 0, 1, sent_at_us=5, patients=(Identifier("9", "HIS", "MR"),), visit=visit
    )
    assert decode_group(encode_group(group)) == group


def test_what_was_not_sent_takes_no_capacity() -> None:
    assert (
        encode_group(AdtGroup("A01", "", b"", 0, 1)) == '{"event":"A01","control":"","digest":"","group":0,"groups":1}'
    )


@pytest.mark.parametrize(
    "text", ['{"event":"A01"}', '{"event":"A01","control":"","digest":"","group":0,"groups":1,"bed":1}']
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_group(text)
