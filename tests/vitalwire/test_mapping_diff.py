"""`vitalwire mapping diff`: value by value, before a change is released."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.formats.recording import Direction, Entry, Heading, text_of
from adapters.sessions.mllp import wrap
from vitalwire.__main__ import app

BEGUN_US = 1_790_000_000_000_000
ORU = (
    "MSH|^~\\&|MON|ICU|||20260921141319+0000||ORU^R01^ORU_R01|{n}|P|2.6\rPV1||I|ICU^^07\r"
    "OBR|1||||||20260921141319+0000\rOBX|1|NM|101^HR^99X||{value}|bpm|||||F\r"
    "OBX|2|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC||97|262688^MDC_DIM_PERCENT^MDC|||||F\r"
)
MAPPING = '[[mapping]]\ncode = "101"\nmetric = "MDC_ECG_HEART_RATE"\n'


def diff(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["mapping", "diff", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    entries = [Entry(0, 1, Direction.NOTE, note="opened 10.0.0.7")]
    entries += [Entry(n, 1, Direction.IN, wrap(ORU.format(n=n, value=70 + n).encode())) for n in range(3)]
    path = tmp_path / "icu.rec"
    path.write_text(text_of(entries, Heading("tcp", "hl7_oru", BEGUN_US)))
    return path


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "new.toml"
    path.write_text(MAPPING)
    return path


def test_a_mapping_that_is_to_be_changes_the_values_it_is_about_and_no_other(recording: Path, mapping: Path) -> None:
    code, text = diff("--against", recording, "--mapping", mapping, "--json")
    changes = json.loads(text)
    assert code == 4
    values = [c for c in changes if c["sent"].startswith("101")]
    assert len(values) == 3
    assert "unmapped" in values[0]["before"]
    assert values[0]["after"].startswith("MDC_ECG_HEART_RATE 70 ")
    assert values[0]["after"].endswith("accepted")
    assert not [c for c in changes if "150456" in c["sent"]]
    code, text = diff("--against", recording, "--mapping", mapping)
    assert "3 changes in 3 frames" in text


def test_between_two_mappings_only_what_differs_is_said(recording: Path, mapping: Path, tmp_path: Path) -> None:
    other = tmp_path / "old.toml"
    other.write_text("# the same\n" + MAPPING)
    code, text = diff("--against", recording, "--mapping", mapping, "--old-mapping", other)
    assert code == 0
    assert "0 changes in 3 frames" in text


def test_a_driver_of_another_version_is_held_against_what_this_one_said(recording: Path, tmp_path: Path) -> None:
    saved = tmp_path / "then.json"
    assert diff("--against", recording, "--save", saved)[0] == 0
    assert diff("--against", recording, "--before", saved)[0] == 0
    then = json.loads(saved.read_text())
    then[1]["reports"][-1]["records"][-1]["value"] = 12
    del then[2]
    saved.write_text(json.dumps(then))
    code, text = diff("--against", recording, "--before", saved, "--json")
    assert code == 4
    found = json.loads(text)
    assert [c["frame"] for c in found if c["frame"] == 2] == [2]
    assert {"frame": 3, "device": "", "sent": "the frame", "before": None, "after": "read"} in found
    saved.write_text("[]x")
    with pytest.raises(Exception, match="is not what --save wrote"):
        diff("--against", recording, "--before", saved)


def test_a_frame_that_is_read_now_and_was_not_is_said(recording: Path, tmp_path: Path) -> None:
    settings = 'charset = "GB18030"'
    frame = ORU.format(n=1, value=70).replace("ICU^^07", "ICU^^王亅").encode("gb18030")
    recording.write_text(text_of([Entry(0, 1, Direction.IN, wrap(frame))], Heading("tcp", "hl7_oru", BEGUN_US)))
    code, text = diff("--against", recording, "--settings", settings, "--json")
    assert code == 4
    assert json.loads(text)[0] == {
        "frame": 1, "device": "", "sent": "the frame", "before": "rejected: charset", "after": "read"
    }  # fmt: skip
