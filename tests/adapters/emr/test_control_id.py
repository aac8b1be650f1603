"""MSH-10: the same for the same content, another for any other."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from adapters.emr.control_id import control_id

VERSIONS = st.lists(st.tuples(st.uuids().map(str), st.integers(1, 99)), min_size=1, max_size=8, unique=True)


@given(st.text(string.ascii_lowercase), VERSIONS)
def test_it_fits_msh_10_and_asks_for_no_order(destination: str, versions: list[tuple[str, int]]) -> None:
    found = control_id(destination, versions)
    assert len(found) == 20
    assert set(found) <= set(string.ascii_uppercase + "234567")
    assert control_id(destination, reversed(versions)) == found


def test_another_destination_entry_or_version_has_another() -> None:
    ids = [
        control_id("his", [("a", 1)]), control_id("emr", [("a", 1)]), control_id("his", [("b", 1)]),
        control_id("his", [("a", 2)]), control_id("his", [("a", 1), ("a", 2)]), control_id("his", [("a", 12)]),
        control_id("his a 1", []),
    ]  # fmt: skip
    assert len(set(ids)) == len(ids)


def test_it_never_changes_between_releases() -> None:
    assert control_id("his", [("0190aaaa-0000-7000-8000-000000000001", 2)]) == "LPQ727YVJKTUCPKGA7JU"
