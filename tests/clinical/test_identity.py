"""Which numbers are one, and which are not."""

from __future__ import annotations

import msgspec
import pytest

from clinical.identity import AdtSource, Link, LinkKind, Links, encounter_key, patient_keys
from schemas.adt import DELETED, Identifier
from tests.adt import SOURCE, group, number, us


def link(retired: str, survivor: str, kind: LinkKind = LinkKind.MERGE) -> Link:
    return Link(retired=retired, survivor=survivor, kind=kind, fact=f"{retired}>{survivor}".encode(), at_us=0)


def test_numbers_are_text_and_count_with_authority_and_type() -> None:
    numbers = [
        Identifier(value="007", type="MR"),
        Identifier(value="7", type="MR"),
        Identifier(value="007", authority="OTHER", type="MR"),
        Identifier(value="007", type="NI"),
        Identifier(value="007", authority="HOSP", type="MR"),  # the source's own authority, said
        Identifier(value=DELETED, type="MR"),
    ]
    assert patient_keys(numbers, SOURCE) == ("007^HOSP^MR", "7^HOSP^MR", "007^OTHER^MR", "007^HOSP^NI")


def test_the_patients_own_number_comes_first() -> None:
    source = AdtSource(name="adt", patient_type="MR")
    assert patient_keys([Identifier(value="N", type="NI"), number("P")], source) == ("P^^MR", "N^^NI")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "visit:V1^HOSP"),
        ({"visit": "", "account": Identifier(value="K1", authority="BANK")}, "account:K1^BANK"),
        ({"visit": "", "admitted": 59}, f"admitted:P1^HOSP^MR@{us(0) // 60_000_000 + 1}"),
        ({"visit": "", "admitted": 60}, f"admitted:P1^HOSP^MR@{us(0) // 60_000_000 + 1}"),
        ({"visit": ""}, None),
        ({"visit": "", "admitted": 0, "patient": ""}, None),
        ({"patient_class": "N"}, None),
        ({"patient_class": "O", "bed": ""}, None),
        ({"patient_class": "O", "bed": "1"}, "visit:V1^HOSP"),
    ],
)
def test_the_encounter_is_the_visit_else_the_account_else_the_admission(
    fields: dict[str, object], expected: str | None
) -> None:
    assert encounter_key(group("A01", 0, **fields), SOURCE) == expected


def test_no_pv1_names_no_encounter() -> None:
    assert encounter_key(msgspec.structs.replace(group("A01", 0), visit=None), SOURCE) is None


def test_a_site_composes_the_visit_of_two_numbers() -> None:
    source = AdtSource(name="adt", visit_prefix_type="MR")
    assert encounter_key(group("A01", 0, visit="2"), source) == "visit:P1-2^"
    assert encounter_key(group("A01", 0, visit="2", patient=""), source) is None


def test_a_merge_chain_leads_to_the_last_survivor() -> None:
    links = Links([link("a", "b"), link("b", "c"), link("a", "b")])
    assert [links.find(key) for key in "abcd"] == ["c", "c", "c", "d"]
    assert links.problems == []


def test_a_merge_that_follows_from_two_others_is_no_problem() -> None:
    assert Links([link("a", "b"), link("b", "c"), link("a", "c")]).problems == []


def test_a_merge_into_itself_is_told() -> None:
    (problem,) = Links([link("a", "a")]).problems
    assert not problem.reversed


def test_a_reversed_merge_is_told_and_the_first_stands() -> None:
    links = Links([link("a", "b"), link("b", "a")])
    assert links.find("a") == links.find("b") == "b"
    (problem,) = links.problems
    assert problem.reversed


def test_a_circle_of_three_is_told() -> None:
    links = Links([link("a", "b"), link("b", "c"), link("c", "a")])
    assert [problem.reversed for problem in links.problems] == [True]
    assert links.same("a", "c")


def test_an_unlink_undoes_the_link_before_it_alone() -> None:
    unlink = link("b", "a", LinkKind.UNLINK)
    assert not Links([link("a", "b", LinkKind.LINK), unlink]).same("a", "b")
    assert Links([unlink, link("a", "b", LinkKind.LINK)]).same("a", "b")
    assert Links([link("a", "b", LinkKind.MERGE), unlink]).same("a", "b")
