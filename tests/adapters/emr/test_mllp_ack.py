"""Acknowledgements and what they mean.

A case is `acks/<what it tells>/` with `frame.hex` and `expected.json`: outcome, code, reason, and, where the
destination has a table of its own, `meanings`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.emr.answer import Answer, Outcome
from adapters.emr.mllp_ack import ANOTHER_MESSAGE, read_ack

CONTROL_ID = "ABCDEFGHIJKLMNOPQRST"
FOLDERS = sorted(path.parent for path in (Path(__file__).parent / "acks").glob("*/frame.hex"))
MSH = r"MSH|^~\&|EMR|H|VITALWIRE|ICU|20260921221322+0800||ACK^R01^ACK|77|P|2.5.1"


def read_case(folder: Path) -> tuple[Answer, dict[str, str]]:
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    named = expected.pop("meanings", None)
    meanings = {code: Outcome(outcome) for code, outcome in named.items()} if named else None
    return read_ack(bytes.fromhex((folder / "frame.hex").read_text("ascii")), CONTROL_ID, meanings), expected


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_case_means_what_it_says(folder: Path) -> None:
    answer, expected = read_case(folder)
    assert (answer.outcome, answer.code, answer.reason) == (expected["outcome"], expected["code"], expected["reason"])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_reason_repeats_what_a_receiver_says_of_a_patient(folder: Path) -> None:
    answer, _ = read_case(folder)
    assert not any(word in answer.reason + answer.code for word in ("4711", "张", "Zhang", "住院号", "wrong patient"))


@given(st.binary() | st.binary().map((MSH + "\rMSA|AA|").encode().__add__))
def test_any_bytes_have_a_meaning_and_only_the_message_itself_is_accepted(frame: bytes) -> None:
    answer = read_ack(frame, CONTROL_ID)
    if CONTROL_ID.encode() not in frame:
        assert answer.outcome is not Outcome.ACCEPTED


def test_the_order_of_what_is_checked_is_the_message_first() -> None:
    frame = f"{MSH}\rMSA|AE|ANOTHER\r".encode()
    assert read_ack(frame, CONTROL_ID, {"AE": Outcome.RETRY}).reason == ANOTHER_MESSAGE
