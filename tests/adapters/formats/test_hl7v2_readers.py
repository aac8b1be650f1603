"""Differential test: our reader against two that nobody here wrote. Their quirks are named where they are met."""

from collections.abc import Sequence
from pathlib import Path

import hl7
import pytest
from hl7apy.parser import parse_message
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats.hl7v2 import Hl7Message, unescape

SIMHOSPITAL = Path(__file__).parents[4] / "shared/data/simhospital/messages.hl7"

_text = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="|^~\\&"), max_size=6)
_leaf = _text | st.sampled_from(["", '""', "0", "张三", r"a\F\b", r"\S\\T\ ".strip(), r"\E\R\R\."])


def _joined(item: st.SearchStrategy[str], mark: str, most: int) -> st.SearchStrategy[str]:
    return st.lists(item, min_size=1, max_size=most).map(mark.join)


_field = _joined(_joined(_joined(_leaf, "&", 2), "^", 4), "~", 2)
_segment = st.builds("{}|{}".format, st.sampled_from(["PID", "PV1", "OBR", "ZVW"]), _joined(_field, "|", 6))
_messages = st.builds(
    lambda segments, version, charset: "\r".join(
        [
            rf"MSH|^~\&|MON^1.2^ISO|ICU|VW|H|20260501||ORU^R01^ORU_R01|17|P|{version}||||||{charset}|end",
            *segments,
            "NTE|9",
        ]
    ),
    st.lists(_segment, max_size=3),
    st.sampled_from(["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6"]),
    st.just("UNICODE UTF-8"),
)


def agrees_with_python_hl7(text: str, ours: Hl7Message) -> None:
    """Every segment, field and leaf, escapes resolved."""
    theirs = hl7.parse(text)
    assert [str(segment[0]) for segment in theirs] == [segment.name for segment in ours.segments]
    for their, our in zip(theirs, ours.segments, strict=True):
        assert len(their) == len(our.fields)
        for n in range(3 if our.name == "MSH" else 1, len(their)):
            assert our.repetitions(n) == (len(their[n]) if str(their[n]) else 0)
            for r, repetition in enumerate(their[n], 1):
                for c, component in enumerate(_parts(repetition), 1):
                    for s, leaf in enumerate(_parts(component), 1):
                        assert our.field(n, c, s, r) == theirs.unescape(str(leaf))


def _parts(container: object) -> Sequence[object]:
    return container if isinstance(container, hl7.Container) else [container]


def agrees_with_hl7apy(text: str, ours: Hl7Message) -> None:
    """Every segment, field, repetition and component that says something, in order; by its number where it tells it."""
    theirs = parse_message(text, find_groups=False)
    assert [segment.name for segment in theirs.children] == [segment.name for segment in ours.segments]
    for their, our in zip(theirs.children, ours.segments, strict=True):
        seen: dict[int, list[list[str]]] = {}
        for field in their.children[2 if our.name == "MSH" else 0 :]:
            n = int(field.name.rpartition("_")[2])
            components = [c for c in field.children if c.to_er7().strip("&")]
            seen.setdefault(n, []).append([_stated(c.to_er7(), ours) for c in components])
            for c in components:
                number = (c.name or "").rpartition("_")[2]
                if number.isdigit():
                    assert _stated(c.to_er7(), ours) == _stated(our.field(n, int(number), 0, len(seen[n])), ours)
        for n in range(3 if our.name == "MSH" else 1, len(our.fields)):
            sent = [[_stated(c, ours) for c in r.split("^") if c.strip("&")] for r in our.fields[n].split("~")]
            assert [one for one in seen.get(n, []) if one] == [one for one in sent if one]


def _stated(component: str, ours: Hl7Message) -> str:
    return unescape(component, ours.syntax).rstrip("&")


@settings(max_examples=60, deadline=None)
@given(_messages)
def test_agrees_with_python_hl7_on_any_message(text: str) -> None:
    agrees_with_python_hl7(text, Hl7Message(text.encode()))


@settings(max_examples=30, deadline=None)
@given(_messages)
def test_agrees_with_hl7apy_on_any_message(text: str) -> None:
    agrees_with_hl7apy(text, Hl7Message(text.encode()))


@pytest.mark.skipif(not SIMHOSPITAL.exists(), reason="the messages of simhospital are not beside the repository")
def test_agrees_with_both_on_the_506_of_simhospital() -> None:
    texts = SIMHOSPITAL.read_bytes().decode().split("\n\n")
    assert len(texts) == 506
    for number, text in enumerate(texts):
        ours = Hl7Message(text.encode())
        agrees_with_python_hl7(text, ours)
        if number % 10 == 0:  # 30 ms each
            agrees_with_hl7apy(text, ours)
