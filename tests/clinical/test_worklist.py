"""Each kind of item has words for people, in both languages."""

from __future__ import annotations

import pytest

from clinical.worklist import WORDS, Item, ItemKind, words


def item(kind: ItemKind = ItemKind.NO_BED, until_us: int | None = None) -> Item:
    return Item(kind=kind, subject="visit:1", since_us=0, announce_at_us=60, until_us=until_us, detail="A02")


@pytest.mark.parametrize("kind", ItemKind)
def test_each_kind_has_words(kind: ItemKind) -> None:
    english, chinese = words(item(kind), "en"), words(item(kind), "zh")
    assert english.isascii()
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    assert ("A02" in english) == ("{detail}" in WORDS[kind].en) == ("{detail}" in WORDS[kind].zh)


@pytest.mark.parametrize(
    ("until_us", "now_us", "announced"), [(None, 59, False), (None, 60, True), (60, 99, False), (61, 99, True)]
)
def test_what_mends_itself_in_time_is_not_announced(until_us: int | None, now_us: int, announced: bool) -> None:
    assert item(until_us=until_us).announced(now_us) is announced
