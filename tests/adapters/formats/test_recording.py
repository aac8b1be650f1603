"""The text format of recordings: what is written is read; what a person edited is read, or refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.recording import HEADER, LINE_BYTES_MAX, Direction, Entry, read, text_of
from schemas.errors import ConfigError

bytes_entries = st.builds(
    Entry,
    at_us=st.integers(0, 10**13),
    connection=st.integers(0, 2**31),
    direction=st.sampled_from([Direction.IN, Direction.OUT]),
    data=st.binary(min_size=1, max_size=300),
)
notes = st.builds(
    Entry,
    at_us=st.integers(0, 10**13),
    connection=st.integers(0, 2**31),
    direction=st.just(Direction.NOTE),
    note=st.text(),
)


@given(st.lists(bytes_entries | notes, max_size=20))
def test_what_is_written_is_read(entries: list[Entry]) -> None:
    entries = sorted(entries, key=lambda entry: entry.at_us)
    found = read(text_of(entries))
    assert [(e.at_us, e.connection, e.direction, e.data) for e in found] == [
        (e.at_us, e.connection, e.direction, e.data) for e in entries
    ]
    for was, now in zip(entries, found, strict=True):
        if was.note.isascii() and was.note.isprintable() and "#" not in was.note:
            assert now.note == was.note.strip()


def test_a_long_piece_is_several_lines_of_one_moment() -> None:
    data = bytes(range(256)) * 40
    found = read(text_of([Entry(5, 1, Direction.IN, data)]))
    assert {e.at_us for e in found} == {5}
    assert len(found) == 3
    assert all(len(line) < 4 * LINE_BYTES_MAX for line in text_of(found).splitlines())
    assert b"".join(e.data for e in found) == data


def test_people_can_read_it_and_write_it() -> None:
    text = text_of(
        [Entry(103_210, 2, Direction.IN, b"\x0bMSH|^~\\&#\x1c\r"), Entry(9_500_000, 2, Direction.NOTE, note="closed")]
    )
    assert text.splitlines() == [
        HEADER,
        "0.103210 2 < 0b4d53487c5e7e5c26231c0d  # .MSH|^~\\&#..",
        "9.500000 2 * closed",
    ]
    by_hand = f"\ufeff{HEADER}\r\n\r\n# a device that polls\r\n0 1 * opened\r\n0.5  1 >  05\r\n1 1 < 06 0A  # ACK\r\n"
    assert read(by_hand) == [
        Entry(0, 1, Direction.NOTE, note="opened"),
        Entry(500_000, 1, Direction.OUT, b"\x05"),
        Entry(1_000_000, 1, Direction.IN, b"\x06\x0a"),
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "line 1: a recording begins with"),
        ("0 1 < 00", "line 1: a recording begins with"),
        (f"{HEADER}\n0 1 < 0", "line 2: the bytes are no hex"),
        (f"{HEADER}\n0 1 < 0g", "line 2: the bytes are no hex"),
        (f"{HEADER}\n0 1 = 00", "line 2: write seconds, connection"),
        (f"{HEADER}\n-1 1 < 00", "line 2: write seconds, connection"),
        (f"{HEADER}\n1 1 < 00\n\n0.9 1 < 00", "line 4: earlier than the line before it"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(lines: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(lines, "case.rec")
    assert str(raised.value).startswith(f"case.rec: {words}")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for each in (text, f"{HEADER}\n{text}"):
        try:
            read(each)
        except ConfigError:
            continue
