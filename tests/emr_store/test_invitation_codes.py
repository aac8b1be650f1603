"""Codes as they are printed and as people type them."""

from __future__ import annotations

import re

import pytest

from emr_store.invitation_codes import code_hash, new_code


def test_a_code_is_short_and_none_is_like_another() -> None:
    codes = {new_code() for _ in range(200)}
    assert len(codes) == 200
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}", code) for code in codes)
    assert len({code_hash(code) for code in codes} - {None}) == 200


@pytest.mark.parametrize("typed", ["10ab-cd23-ef45", "IOABCD23EF45", " loab cd23 ef45 ", "1-0-A-B-C-D-2-3-E-F-4-5"])
def test_what_is_typed_is_read_as_it_was_meant(typed: str) -> None:
    assert code_hash(typed) == code_hash("10AB-CD23-EF45") is not None


@pytest.mark.parametrize("typed", ["", "10AB-CD23", "10AB-CD23-EF45-6", "10AB-CD23-EF4U", "1" * 10_000, "٣" * 12])
def test_what_is_no_code_is_none(typed: str) -> None:
    assert code_hash(typed) is None
