"""A value keeps its channel whatever comes and goes beside it, or is called ambiguous: never another in silence."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.report import ChannelWords, Kind, Mark
from tests.hl7 import MSH, OBR, PV1, frame, measured, obx, records, reports, source, words_of

TEMP, ART = "150344^MDC_TEMP^MDC", "150033^MDC_PRESS_BLD_ART_SYS^MDC"
MDS = "69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC"


def node(names: str, sub_id: str) -> str:
    return f"OBX|1||{names}|{sub_id}|||||||X"


# --- what tells channels apart ---


def test_labels_nodes_and_body_sites_tell_values_apart() -> None:
    data = measured(
        node(MDS, "1.0.0.0"), node("1^ART^L", "1.13.0.0"), node("2^CVP^L", "1.14.0.0"),
        obx("120", ART, "mmHg", sub_id="1.13.1.1"), obx("10", ART, "mmHg", sub_id="1.14.1.1"),
        obx("36.9", "150344^T1^MDC", "Cel"), obx("35.1", "150344^T2^MDC", "Cel"),
        obx("36.8", TEMP, "Cel", site="RA^Right arm"), obx("36.7", TEMP, "Cel", site="LA^Left arm"),
    )  # fmt: skip
    of = source()
    found = reports(data, of, None)
    metrics = [r for report in found if report.kind is Kind.METRIC for r in report.records]
    assert len({r.channel for r in metrics}) == 6
    assert not any(r.marks for r in metrics)
    assert [words_of(r.channel, found) for r in metrics] == [
        ChannelWords(path=("69965", "1^ART")), ChannelWords(path=("69965", "2^CVP")), ChannelWords(label="T1"),
        ChannelWords(label="T2"), ChannelWords(body_site="RA^Right arm"), ChannelWords(body_site="LA^Left arm"),
    ]  # fmt: skip
    assert all(words is not None and words.number == r.channel for words, r in
               zip([words_of(r.channel, found) for r in metrics], metrics, strict=True))  # fmt: skip


def test_a_standard_name_is_no_word_of_the_senders() -> None:
    assert [r.channel for r in records(measured(obx("36.9", TEMP, "Cel"), obx("97")))] == [0, 0]


def test_systolic_and_diastolic_of_one_site_are_one_channel() -> None:
    data = measured(
        node("1^ART^L", "1.13.0.0"), obx("120", ART, "mmHg", sub_id="1.13.1.1"),
        obx("80", "150034^MDC_PRESS_BLD_ART_DIA^MDC", "mmHg", sub_id="1.13.1.2"),
    )  # fmt: skip
    of = source()
    found = reports(data, of, None)
    one, two = (r for report in found if report.kind is Kind.METRIC for r in report.records)
    assert one.channel == two.channel != 0
    described = [(r.code, r.channel) for report in found if report.kind is Kind.DESCRIPTION for r in report.records]
    assert described == [(one.code, one.channel), (two.code, two.channel)]


# --- twins ---


def test_twins_are_kept_apart_and_ambiguous_ever_after() -> None:
    of = source()
    one, two = obx("36.9", TEMP, "Cel", sub_id="1.1.1.1"), obx("35.1", TEMP, "Cel", sub_id="1.1.1.2")
    (alone,) = records(measured(one), of)
    assert alone.marks == Mark(0)
    first, second = records(measured(one, two), of)
    assert len({alone.channel, first.channel, second.channel}) == 3
    assert first.marks == second.marks == Mark.AMBIGUOUS
    assert [(r.channel, r.marks) for r in records(measured(two), of)] == [(second.channel, Mark.AMBIGUOUS)]
    (elsewhere,) = records(frame("PV1||I|ICU^^08", OBR, one), of)
    assert elsewhere.marks == Mark(0)


@pytest.mark.parametrize(("sub_ids"), [("", ""), ("7", "7")])
def test_twins_without_words_are_separated_by_place(sub_ids: tuple[str, str]) -> None:
    found = records(measured(*(obx("36.9", TEMP, "Cel", sub_id=sub_id) for sub_id in sub_ids)))
    assert len({r.channel for r in found}) == 2
    assert {r.marks for r in found} == {Mark.AMBIGUOUS}


def test_twins_under_two_obr_of_one_moment_are_twins() -> None:
    data = frame(PV1, OBR, obx("36.9", TEMP, "Cel"), OBR, obx("35.1", TEMP, "Cel"))
    assert [r.marks for r in records(data)] == [Mark.AMBIGUOUS, Mark.AMBIGUOUS]


def test_values_of_two_moments_are_no_twins() -> None:
    early, late = (obx("120", ART, "mmHg", time=f"202609211413{s}+0000") for s in ("05", "10"))
    assert [r.marks for r in records(measured(early, late))] == [Mark(0), Mark(0)]


def test_stable_ordinals_are_words() -> None:
    data = measured(obx("36.9", TEMP, "Cel", sub_id="1.26.1.1"), obx("35.1", TEMP, "Cel", sub_id="1.26.1.2"))
    found = records(data, source(dialect="ge-b40"))
    assert len({r.channel for r in found}) == 2
    assert {r.marks for r in found} == {Mark(0)}


# --- nodes that come and go, and numbers that meet ---


def test_a_node_that_is_missing_makes_its_values_ambiguous() -> None:
    of = source()
    nodes = [node(MDS, "1.0.0.0"), node("1^ART^L", "1.13.0.0")]
    value = obx("120", ART, "mmHg", sub_id="1.13.1.1")
    (full,) = records(measured(*nodes, value), of)
    for missing in (nodes[:1], nodes[1:], []):
        (record,) = records(measured(*missing, value), of)
        assert (record.channel != full.channel, record.marks) == (True, Mark.AMBIGUOUS)
    assert [(r.channel, r.marks) for r in records(measured(*nodes, value), of)] == [(full.channel, Mark(0))]


def test_a_value_whose_node_is_missing_is_not_the_one_that_never_had_it() -> None:
    of = source()
    mds, art = node(MDS, "1.0.0.0"), node("1^ART^L", "1.13.0.0")
    bare, under_art = obx("10", ART, "mmHg", sub_id="1.1.1.1"), obx("120", ART, "mmHg", sub_id="1.13.1.1")
    assert [r.marks for r in records(measured(mds, bare), of)] == [Mark(0)]
    assert [r.marks for r in records(measured(mds, art, bare, under_art), of)] == [Mark.AMBIGUOUS] * 2
    for nodes in ((mds,), (art,), (mds, art), ()):
        assert [r.marks for r in records(measured(*nodes, under_art), of)] == [Mark.AMBIGUOUS]


def test_two_nodes_in_one_place_make_their_values_ambiguous() -> None:
    data = measured(
        node("1^ART^L", "1.13.0.0"), node("2^CVP^L", "1.13.0.0"), obx("120", ART, "mmHg", sub_id="1.13.1.1")
    )
    assert [r.marks for r in records(data)] == [Mark.AMBIGUOUS]


def colliding_labels() -> tuple[str, str]:
    """Two labels whose words have one number: some 80,000 are enough for 32 bits."""
    seen: dict[int, str] = {}
    for n in count():
        label = f"n{n}^x"
        number = ChannelWords(label=label).number
        if number in seen:
            return seen[number], label
        seen[number] = label
    raise AssertionError


def test_two_word_lists_with_one_number_are_ambiguous() -> None:
    one, two = colliding_labels()
    of = source()
    (first,) = records(measured(obx("1", f"{one}^L", "")), of)
    assert first.marks == Mark(0)
    (second,) = records(measured(obx("2", f"{two}^L", "")), of)
    assert (second.channel, second.marks) == (first.channel, Mark.AMBIGUOUS)
    assert [r.marks for r in records(measured(obx("1", f"{one}^L", "")), of)] == [Mark.AMBIGUOUS]
    assert [r.marks for r in records(measured(*(obx("1", f"{x}^L", "") for x in (one, two))))] == [Mark.AMBIGUOUS] * 2


# --- descriptions ---


def test_a_channel_is_described_once_and_again_where_it_was_not_kept() -> None:
    of = source()
    one, two = measured(obx("1", "a^A^L", "")), measured(obx("1", "a^A^L", ""), obx("2", "b^B^L", ""))

    def described(data: bytes) -> list[str]:
        return [str(r.text) for r in records(data, of, Kind.DESCRIPTION)]

    assert described(one) == ['{"label":"a^A"}']
    of.retract(of.take_emitted())
    assert described(one) == ['{"label":"a^A"}']
    of.take_emitted()
    assert described(one) == []
    assert described(two) == ['{"label":"b^B"}']
    of.retract(of.take_emitted())
    assert described(one) == []
    assert described(two) == ['{"label":"b^B"}']


def test_a_sender_with_a_connection_a_message_is_described_once() -> None:
    of = source()
    data = measured(obx("1", "a^A^L", ""))
    assert len(records(data, of, Kind.DESCRIPTION)) == 1
    of.take_emitted()
    for _ in range(3):
        next_connection = source()
        next_connection.lasting = of.lasting
        assert records(data, next_connection, Kind.DESCRIPTION) == []


# --- the property ---


@dataclass(frozen=True)
class Value:
    """A value by its own words; `id` is what the test knows it by, and is sent as the value."""

    id: int
    names: str
    site: str
    place: tuple[int, int, int, int]


NODE_NAMES = (MDS, "1^ART^L", "69854^MDC_DEV_METER_PRESS_BLD_VMD^MDC")


@st.composite
def monitors(draw: st.DrawFn) -> tuple[dict[tuple[int, ...], str], list[Value]]:
    """The nodes of a monitor by path, and its values."""
    places = draw(st.lists(st.tuples(*[st.integers(1, 2)] * 3), min_size=1, max_size=4, unique=True))
    nodes: dict[tuple[int, ...], str] = {}
    for place in places:
        for depth in (1, 2, 3):
            if draw(st.booleans()):
                nodes.setdefault(place[:depth], draw(st.sampled_from([*NODE_NAMES, f"n{place}^x^L"])))
    values = [
        Value(
            10 + n,
            draw(st.sampled_from([TEMP, ART, "150344^T1^MDC", "150344^T2^MDC", "7^x^L"])),
            draw(st.sampled_from(["", "RA^Right arm"])),
            (*draw(st.sampled_from(places)), n),
        )
        for n in range(draw(st.integers(1, 6)))
    ]
    return nodes, values


def lines_of(nodes: dict[tuple[int, ...], str], values: list[Value], renumber: dict[int, int]) -> Iterator[str]:
    """One OBX for each, with their ordinals renumbered alike."""
    for path, names in nodes.items():
        ordinals = [renumber.get(n, n) for n in path]
        yield node(names, ".".join(map(str, [*ordinals, *[0] * (4 - len(path))])))
    for value in values:
        sub_id = ".".join(str(renumber.get(n, n)) for n in value.place)
        yield obx(str(value.id), value.names, "", sub_id=sub_id, site=value.site)


@settings(max_examples=150, deadline=None)
@given(monitors(), st.data())
def test_a_value_keeps_its_channel_or_is_called_ambiguous(
    monitor: tuple[dict[tuple[int, ...], str], list[Value]], data: st.DataObject
) -> None:
    nodes, values = monitor
    of, known = source(), dict[int, int]()
    owners: dict[object, int] = {}  # of each channel, the value that was first there
    for step in range(data.draw(st.integers(1, 4))):
        sent = dict(nodes)
        for path in data.draw(st.lists(st.sampled_from(list(nodes) or [(9,)]), max_size=2)) if step else ():
            sent.pop(path, None)
        shown = data.draw(st.lists(st.sampled_from(values), unique=True)) if step else values
        extra = [
            replace(v, id=1000 * step + n, place=(*v.place[:3], 90 + n))
            for n, v in enumerate(data.draw(st.lists(st.sampled_from(values), max_size=2)) if step else ())
        ]
        order = data.draw(st.permutations([1, 2, 3, 4, 5, 6, 7]))
        renumber = dict(zip([1, 2, 3, 4, 5, 6, 7], order, strict=True)) if step else {}
        lines = list(lines_of(sent, [*shown, *extra], renumber))
        random.Random(data.draw(st.integers(0, 99))).shuffle(lines)
        if not shown and not extra:
            continue
        for report in reports(frame(PV1, OBR, *lines, msh=MSH), of):
            for record in report.records:
                if record.marks & Mark.AMBIGUOUS:
                    continue
                assert known.setdefault(record.mantissa, record.channel) == record.channel
                if record.mantissa < 1000:
                    owner = owners.setdefault((record.code, record.as_sent, record.channel), record.mantissa)
                    assert owner == record.mantissa
    # Two values with one channel, code and words are never both unmarked.
    for report in reports(frame(PV1, OBR, *lines_of(nodes, values, {}), msh=MSH), of):
        plain = [(r.code, r.as_sent, r.channel) for r in report.records if not r.marks & Mark.AMBIGUOUS]
        assert len(set(plain)) == len(plain)
        assert len({(r.code, r.as_sent, r.channel) for r in report.records}) == len(report.records)
