"""What people did is a sentence in both languages, without ids and names of fields."""

from __future__ import annotations

import re
from typing import Any

import pytest

from clinical.act_words import KINDS, act_words

BY = "os:root@ward-pc"
SINCE = "2026-11-29T12:03:00+00:00"
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("device.assign", {"device": "4f2e", "bed": "ICU-1", "since": SINCE, "name": "监护仪1", "edge": "4545"},
     "device 监护仪1 put at bed ICU-1 by root (ward-pc)", "root（ward-pc）将设备监护仪1放置于床位 ICU-1"),
    ("device.move", {"device": "4f2e", "bed": "ICU-2", "since": SINCE, "from": "ICU-1"},
     "device N10 moved from bed ICU-1 to bed ICU-2 by root (ward-pc)",
     "root（ward-pc）将设备N10从床位 ICU-1 移至床位 ICU-2"),
    ("device.release", {"device": "4f2e", "since": SINCE, "from": "ICU-1"},
     "device N10 taken from bed ICU-1 by root (ward-pc)", "root（ward-pc）将设备N10从床位 ICU-1 移走"),
    ("device.associate", {"device": "4f2e", "encounter": "visit:V1^HOSP", "since": SINCE, "until": SINCE},
     "values of device N10 said to be of visit V1 until 2026-11-29 12:03+00:00, by root (ward-pc)",
     "root（ward-pc）确认设备N10的数据属于就诊 V1，至 2026-11-29 12:03+00:00"),
    ("device.associate", {"device": "4f2e", "encounter": None, "since": SINCE},
     "values of device N10 said to be nobody's, by root (ward-pc)", "root（ward-pc）确认设备N10的数据不属于任何患者"),
    ("worklist.resolve", {"question": "no_bed", "subject": "visit:V1^HOSP", "since": SINCE, "facts": ["00"]},
     "dealt with (“The patient is in no bed by ADT”) by root (ward-pc)",
     "root（ward-pc）处理了“ADT消息未给出床位”"),
    ("worklist.resolve", {"question": "bed_and_monitor_disagree", "adt_is_right": True},
     "“ADT is right until the monitor’s number changes”, by root (ward-pc)",
     "root（ward-pc）确认以ADT为准，直到监护仪上的号码改变"),
    ("patient.temporary", {"number": "T3f2a91c0", "bed": "ICU-1", "since": SINCE},
     "temporary patient T3f2a91c0 put into bed ICU-1 by root (ward-pc)",
     "root（ward-pc）将临时患者 T3f2a91c0 安置于床位 ICU-1"),
    ("patient.link", {"number": "T3f2a91c0", "patient": "0001^HOSP^MR", "encounter": None},
     "temporary patient T3f2a91c0 said to be 0001 (HOSP) by root (ward-pc)",
     "root（ward-pc）确认临时患者 T3f2a91c0 为 0001 (HOSP)"),
    ("patient.census", {"sha256": "00", "source": "his", "rows": 12, "loaded": 12, "differences": 0},
     "census of 12 patients read by root (ward-pc)", "root（ward-pc）读入在院名单（12 名患者）"),
    ("patient.unlink", {"retired": "0001^HOSP^MR", "survivor": "0002^HOSP^MR", "facts": 1},
     "0001 (HOSP) said not to be 0002 (HOSP) by root (ward-pc)",
     "root（ward-pc）确认 0001 (HOSP) 不是 0002 (HOSP)"),
    ("patient.undo", {"act": "1234567890", "undone": "patient.census", "facts": 12},
     "act 12345678 taken back by root (ward-pc)", "root（ward-pc）撤销操作 12345678"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "details", "en", "zh"), CASES)
def test_an_act_is_a_sentence_in_both_languages(kind: str, details: dict[str, Any], en: str, zh: str) -> None:
    found = act_words(kind, BY, "", details, device="N10")
    assert (found.en, found.zh) == (en, zh)


def test_who_was_signed_in_is_told_by_number() -> None:
    found = act_words("device.release", "staff:1234", "", {"from": "ICU-1"})
    assert found.en == "the device taken from bed ICU-1 by staff no. 1234"
    assert found.zh == "工号 1234 将设备从床位 ICU-1 移走"


def test_every_kind_that_has_words_is_tried() -> None:
    assert {kind for kind, *_ in CASES} == KINDS


def test_the_reason_and_the_page_are_told() -> None:
    found = act_words("device.release", "page:root@ward-pc", "being cleaned", {"from": "ICU-1"})
    assert found.en == "the device taken from bed ICU-1 by root (ward-pc), on the page, because: being cleaned"
    assert found.zh == "root（ward-pc，页面）将设备从床位 ICU-1 移走，原因：being cleaned"


def test_an_act_without_words_is_named() -> None:
    assert act_words("hold.add", BY, "", {}).en == "act hold.add by root (ward-pc)"


def test_chinese_sentences_have_no_english_words() -> None:
    for kind, details, _, zh in CASES:
        left = re.sub(r"ADT|ICU-\d|root|ward-pc|N10|V1|HOSP|T3f2a91c0|监护仪1", "", zh)
        assert not re.search("[A-Za-z]", left), (kind, details)
