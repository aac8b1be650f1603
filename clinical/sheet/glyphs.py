"""How long a text is, in the font that the paper is set in, without opening it: for what must fit into a cell."""

from __future__ import annotations

import re

from clinical.sheet.drawing import BLACK, Anchor, Point, Text

# Advance widths of U+0020..U+007E in Noto Sans SC Regular, thousandths of an em. A test holds them to the font.
ADVANCES = (
    224, 323, 474, 555, 555, 921, 680, 278, 338, 338, 467, 555, 278, 347, 278, 392,
    555, 555, 555, 555, 555, 555, 555, 555, 555, 555, 278, 278, 555, 555, 555, 474,
    946, 608, 657, 638, 688, 589, 552, 689, 728, 293, 535, 646, 543, 812, 723, 742,
    633, 742, 635, 596, 599, 721, 575, 878, 573, 531, 603, 338, 392, 338, 555, 559,
    606, 563, 618, 510, 620, 554, 325, 564, 607, 275, 275, 552, 284, 926, 610, 606,
    620, 620, 388, 468, 377, 607, 521, 802, 498, 521, 475, 338, 270, 338, 555,
)  # fmt: skip
# And of others that are no full em.
OTHERS = {"°": 370, "–": 536, "—": 894, "μ": 628, "µ": 628, "²": 411, "³": 411, "½": 903, "⸺": 1676, "⸻": 2459}
FULL, ELLIPSIS, CJK_FROM = 1000, "…", "\u2e80"
CAP_HEIGHT = 0.733  # of an em: digits and capitals
CENTRE = 0.37  # of an em above the baseline: the middle of digits and of Chinese characters
SIZE_MIN_MM = 1.5
# A word of letters and digits, or one character; with the punctuation that must not begin a line, and the spaces after.
TOKENS = re.compile(r"(?:[!-~μµ°℃]+|[^ ])[）；，。、：！？%]*[ 　]*| +")


def advance(character: str) -> int:
    """In thousandths of an em. What is in neither table counts as a full em, which hardly a character exceeds."""
    index = ord(character) - 32
    return ADVANCES[index] if 0 <= index < len(ADVANCES) else OTHERS.get(character, FULL)


def is_measured(text: str) -> bool:
    """Whether its length is exact, and not only an upper bound as of é."""
    return all(character.isascii() or character in OTHERS or character >= CJK_FROM for character in text)


def length_mm(text: str, size_mm: float) -> float:
    """Of a text whose em is `size_mm` high."""
    return sum(map(advance, text)) * size_mm / 1000


def fit(text: str, size_mm: float, limit_mm: float) -> tuple[str, float]:
    """The text and the size at which it takes at most `limit_mm`: smaller down to SIZE_MIN_MM, then cut with …."""
    needed = length_mm(text, size_mm)
    if needed <= limit_mm:
        return text, size_mm
    smaller = size_mm * limit_mm / needed
    if smaller >= SIZE_MIN_MM:
        return text, smaller
    while text and length_mm(text + ELLIPSIS, SIZE_MIN_MM) > limit_mm:
        text = text[:-1]
    return text + ELLIPSIS, SIZE_MIN_MM


def wrap(text: str, size_mm: float, limit_mm: float) -> list[str]:
    """Lines of at most `limit_mm`: broken at spaces and between Chinese characters; inside a word that is too long."""
    return [line for paragraph in text.split("\n") for line in _wrap_paragraph(paragraph, size_mm, limit_mm)]


def _wrap_paragraph(text: str, size_mm: float, limit_mm: float) -> list[str]:
    lines = [""]
    for token in TOKENS.findall(text):
        if length_mm((lines[-1] + token).rstrip(), size_mm) <= limit_mm:
            lines[-1] += token
            continue
        if lines[-1]:
            lines.append("")
        for character in token if length_mm(token.rstrip(), size_mm) > limit_mm else [token]:
            if lines[-1] and length_mm(lines[-1] + character, size_mm) > limit_mm:
                lines.append("")
            lines[-1] += character
    return [line.strip() for line in lines]


def written(
    text: str,
    at: Point,
    size_mm: float,
    role: str,
    *,
    limit_mm: float | None = None,
    anchor: Anchor = "middle",
    colour: str = BLACK,
    about: str = "",
    centred: bool = True,
) -> Text:
    """A text that fits into `limit_mm`; `centred`: `at` is the middle of its height, else its baseline."""
    if limit_mm is not None:
        text, size_mm = fit(text, size_mm, limit_mm)
    x, y = at
    baseline = y + CENTRE * size_mm if centred else y
    return Text(
        role=role, about=about, at=(x, baseline), text=text, size_mm=size_mm, length_mm=length_mm(text, size_mm),
        anchor=anchor, colour=colour,
    )  # fmt: skip
