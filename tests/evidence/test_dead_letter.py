from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import statement
from evidence.dead_letter import DEAD_LETTER_MAGIC, TEXT_BYTES_MAX, DeadLetter, is_dead_letter, read_dead_letter
from evidence.receipt import ReceiptOutcome
from schemas.errors import LayoutError
from tests.making import Key

KEY, OTHER = Key(), Key()
LETTER = DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, b"the message")
MESSAGE = LETTER.encode(KEY.key_id, KEY.sign)
HEAD_BYTES = len(MESSAGE) - len(LETTER.message)
_ascii = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=TEXT_BYTES_MAX)
_letters = st.builds(
    DeadLetter,
    reason=_ascii,
    topic=_ascii,
    outcome=st.sampled_from([None, ReceiptOutcome.QUARANTINED, ReceiptOutcome.REFUSED]),
    message=st.binary(max_size=200),
)


def signed(body: bytes, content: bytes = b"") -> bytes:
    """A dead letter of any body, signed."""
    return statement.encode(DEAD_LETTER_MAGIC, KEY.key_id, body, KEY.sign) + content


@given(_letters)
def test_round_trip(letter: DeadLetter) -> None:
    message = letter.encode(KEY.key_id, KEY.sign)
    assert is_dead_letter(message)
    assert read_dead_letter(message, KEY.public_der) == letter


def test_longer_texts_are_cut_and_other_letters_are_replaced() -> None:
    letter = DeadLetter("é" + "x" * 100, "t" * 100, None, b"")
    read = read_dead_letter(letter.encode(KEY.key_id, KEY.sign), KEY.public_der)
    assert (read.reason, read.topic) == ("?" + "x" * 63, "t" * 64)


def test_every_one_byte_change_is_refused_of_the_message_in_it_too() -> None:
    for at in range(len(MESSAGE)):
        with pytest.raises(LayoutError):
            read_dead_letter(MESSAGE[:at] + bytes([MESSAGE[at] ^ 1]) + MESSAGE[at + 1 :], KEY.public_der)


def test_another_key_a_cut_and_anything_behind_are_refused() -> None:
    with pytest.raises(LayoutError, match="signature"):
        read_dead_letter(MESSAGE, OTHER.public_der)
    for message in [MESSAGE[:end] for end in range(len(MESSAGE))] + [MESSAGE + b"\x00"]:
        with pytest.raises(LayoutError):
            read_dead_letter(message, KEY.public_der)


def test_the_message_of_another_letter_is_refused() -> None:
    other = DeadLetter("root", "live.raw", ReceiptOutcome.QUARANTINED, b"another one")
    with pytest.raises(LayoutError, match="body-hash"):
        read_dead_letter(MESSAGE[:HEAD_BYTES] + other.message, KEY.public_der)


@pytest.mark.parametrize("outcome", [1, 4, 255])
def test_an_outcome_that_is_none_of_a_dead_letter_is_refused(outcome: int) -> None:
    body = statement.decode(MESSAGE[:HEAD_BYTES], DEAD_LETTER_MAGIC).body
    assert read_dead_letter(signed(body, LETTER.message), KEY.public_der) == LETTER
    with pytest.raises(LayoutError):
        read_dead_letter(signed(bytes([outcome]) + body[1:], LETTER.message), KEY.public_der)


def test_zeros_that_are_none_are_refused() -> None:
    body = statement.decode(MESSAGE[:HEAD_BYTES], DEAD_LETTER_MAGIC).body
    for at in range(1, 8):
        with pytest.raises(LayoutError):
            read_dead_letter(signed(body[:at] + b"\x01" + body[at + 1 :], LETTER.message), KEY.public_der)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_and_any_signed_body_is_a_dead_letter_or_refused(data: bytes) -> None:
    for message in (data, DEAD_LETTER_MAGIC + data):
        with pytest.raises(LayoutError):
            read_dead_letter(message, KEY.public_der)
    for body in (data, data[:136] + sha256(b"").digest()):
        try:
            letter = read_dead_letter(signed(body), KEY.public_der)
        except LayoutError:
            continue
        assert letter.message == b""
