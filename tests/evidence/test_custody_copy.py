from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.custody_copy import (
    CopyList,
    listed,
    new_shares,
    open_copy,
    parse_share,
    read_copy,
    seal_copy,
    share_text,
)
from schemas.errors import LayoutError

FILES = {"chart.jsonl": b'{"value":97}\n' * 50, "sheet.pdf": b"%PDF-1.7"}


def a_list(files: dict[str, bytes] = FILES) -> CopyList:
    return CopyList(
        copy="0198c0de-0000-7000-8000-000000000001", part=1, encounter="HOSP:V1^^", patient="P1^^^HOSP", since_us=0,
        until_us=1, versions=50, files=listed(files), batches=["ab" * 32],
    )  # fmt: skip


def test_two_shares_open_it_and_its_list_needs_none() -> None:
    shares = new_shares()
    data = seal_copy(a_list(), FILES, shares)
    copy = read_copy(data)
    assert copy.list == a_list()
    assert b"97" not in data.partition(copy.head)[2]
    assert open_copy(copy, shares) == FILES
    for wrong in ((shares[0], shares[0]), (shares[0], new_shares()[1])):
        with pytest.raises(LayoutError, match="do not open it"):
            open_copy(copy, wrong)


@given(st.data())
def test_every_changed_byte_is_found(data: st.DataObject) -> None:
    shares = new_shares()
    sealed = bytearray(seal_copy(a_list(), FILES, shares))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(LayoutError):
        open_copy(read_copy(bytes(sealed)), shares)


def test_a_list_that_is_not_of_the_files_is_found() -> None:
    shares = new_shares()
    with pytest.raises(LayoutError, match="not those of its list"):
        open_copy(read_copy(seal_copy(a_list({"other": b""}), FILES, shares)), shares)


@given(st.binary(min_size=32, max_size=32), st.data())
def test_a_share_is_read_as_somebody_types_it_and_a_typing_error_is_seen(share: bytes, data: st.DataObject) -> None:
    text = share_text(share)
    assert {len(group) for group in text.split("-")} == {4}
    assert parse_share(text.lower().replace("-", " ")) == share
    place = data.draw(st.integers(0, len(text) - 1).filter(lambda i: text[i] != "-"))
    letter = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").filter(lambda c: c != text[place]))
    with pytest.raises(LayoutError, match="typing error"):
        parse_share(text[:place] + letter + text[place + 1 :])
