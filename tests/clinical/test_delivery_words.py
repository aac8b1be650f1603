"""Reasons of deliveries, in both languages: those that the code makes have Chinese, and keep their codes and places."""

from __future__ import annotations

import re

import pytest

from adapters.emr import mllp_ack
from clinical.delivery_words import reason_words
from emr_store import deliver
from stream_processors import deliver_fhir, deliver_writing

KEPT = re.compile(r"HTTP|HL7|MSA|AE|AR|PID|OBX|FHIR|OperationOutcome|Bundle|Observation|transaction-response|value")
MADE = (
    deliver.BEHIND, deliver_writing.SAID, deliver_writing.ERASED, deliver_writing.NOBODY, deliver_writing.NEVER_SENT,
    deliver_fhir.FOUND, mllp_ack.ANOTHER_MESSAGE, mllp_ack.ERROR_INSIDE, *mllp_ack._CONDITIONS.values(),
    "skipped by an act", "it cannot be written", "it cannot be read", "it refuses connections",
    "no answer within 10 s, while it answered others",
    "the receiver could not now: HTTP 503 (attempt 10)", "the receiver refuses it: HTTP 422",
    "HTTP 200, but entry 2 (Observation): status 409", "HTTP 200, but entry 0 (Observation): an error inside",
    "HTTP 200 that answers 1 entries of 3", "HTTP 200 without a Bundle of type transaction-response",
    "answered with a frame without end", "AE: required field missing (101) at PID-3; an error at OBX[2]-5",
    *deliver_fhir._UNUSABLE.values(),
)  # fmt: skip


@pytest.mark.parametrize("reason", MADE)
def test_what_the_code_says_has_chinese_words_alone_beside_codes(reason: str) -> None:
    words = reason_words(reason)
    assert words.en == reason
    assert re.findall("[A-Za-z]{2,}", KEPT.sub("", words.zh)) == []
    assert re.search("[\u4e00-\u9fff]", words.zh)


def test_numbers_and_places_stay() -> None:
    assert reason_words("AE: required field missing (101) at PID-3").zh == "AE：缺少必填字段 (101) 位于 PID-3"
    assert reason_words("the receiver could not now: HTTP 503 (attempt 10)").zh == (
        "对方暂时无法处理：HTTP 503（第 10 次尝试）"
    )
    assert reason_words("").zh == ""


def test_what_is_not_known_stays_as_it_is() -> None:
    assert reason_words("Network is unreachable").zh == "Network is unreachable"
