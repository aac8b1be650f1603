"""`vitalwire mapping`: what it would change, what it records, and what it refuses, as people type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import as_json, vitalwire
from tests.making import T0_US, report
from tests.mapping import HR_CODE, minute_of, unmapped, work
from tests.verifying import FIRST, SECOND, Ward, verify

ROWS = """
[[mapping]]
code = "101"
metric = "MDC_ECG_HEART_RATE"
unit = "MDC_DIM_BEAT_PER_MIN"
[[mapping]]
code = "t1"
text = "Temp"
metric = "MDC_TEMP"
decimal_comma = true
"""
WHY = ("--why", "new monitors")


@pytest.fixture
def ward(database: str, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    return Ward(database)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(ROWS, "utf-8")
    return path


def refusal(*arguments: str) -> str:
    code, text = vitalwire("mapping apply", *arguments)
    assert code == 2
    return text


def test_what_it_would_change_is_said_by_row_and_nothing_is_done(ward: Ward, site: Path) -> None:
    minute_of(ward, 0, FIRST, SECOND)
    ward.emit(unmapped(at_us=T0_US, hr=7200))
    code, text = vitalwire("mapping apply", str(site), "--dry-run")
    assert code == 0
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["mapping", "1", "(code", "'101')", "accepted", "12"],
        ["mapping", "1", "(code", "'101')", "doubtful-range", "1"],
        ["mapping", "2", "(code", "'t1',", "text", "'Temp')", "accepted", "13"],
        ["would", "change:", "26", "values", "in", "2", "batches"],
    ]  # fmt: skip
    assert ward.rows("SELECT FROM mapping_work") == []
    assert ward.rows("SELECT FROM act WHERE kind = 'mapping.change'") == []


def test_an_act_is_recorded_that_the_processors_work_off(ward: Ward, site: Path) -> None:
    ward.emit(unmapped())
    code, text = vitalwire("mapping apply", str(site), *WHY, "--json")
    assert code == 0
    shown = json.loads(text)
    assert (shown["batches"], shown["records"]) == (1, 2)
    assert shown["rows"] == {
        "mapping 1 (code '101')": {"accepted": 1},
        "mapping 2 (code 't1', text 'Temp')": {"accepted": 1},
    }
    (kept,) = as_json("mapping list")
    assert (kept["act_id"], kept["why"], kept["done_at"]) == (shown["act_id"], "new monitors", None)
    assert "at batch 0 of 1" in vitalwire("mapping list")[1]
    assert work(ward) == 1
    assert ward.rows("SELECT code FROM channel_set ORDER BY channel_set DESC LIMIT 1")[0][0][1] == HR_CODE  # type: ignore[index]
    assert verify(ward.address).findings == []
    assert "mapping.change" in vitalwire("acts list")[1]
    assert "nothing that is stored changes" in refusal(str(site), *WHY)
    code, text = vitalwire("verify")
    assert code == 0
    assert "1 batches were validated anew, by acts in the log" in text


def test_an_act_needs_its_reason(ward: Ward, site: Path) -> None:
    assert "--why 'the new monitors" in refusal(str(site))


def test_a_file_that_is_none_is_refused_in_words(ward: Ward, tmp_path: Path) -> None:
    assert "nothing.toml cannot be read: No such file" in refusal(str(tmp_path / "nothing.toml"), *WHY)
    (tmp_path / "latin.toml").write_bytes(b"text = '\xe9'")
    assert "it is not UTF-8" in refusal(str(tmp_path / "latin.toml"), *WHY)
    for text, expected in (
        ("", "has no rows"),
        ("[[mapping]]\ncode = '1'\nmetric = 'MDC_TEMPP'", "did you mean 'MDC_TEMP'?"),
        (ROWS + "[[mapping]]\ncode = '101'\nmetric = 'MDC_TEMP'", "could both match one value"),
        ("[[mapping", "site.toml"),
    ):
        path = tmp_path / "site.toml"
        path.write_text(text, "utf-8")
        assert expected in refusal(str(path), *WHY)


def test_rows_for_a_source_need_its_name(ward: Ward, tmp_path: Path) -> None:
    ward.emit(unmapped())
    path = tmp_path / "site.toml"
    path.write_text(ROWS + "[[mapping]]\nsender = 'icu'\ncode = '7'\nmetric = 'MDC_TEMP'", "utf-8")
    assert "rows for the source icu" in refusal(str(path), *WHY)
    assert "no rows for the source 'or'" in refusal(str(path), "--sender", "or", *WHY)
    assert vitalwire("mapping apply", str(path), "--sender", "icu", "--dry-run")[0] == 0


def test_a_row_that_is_about_several_things_is_refused(ward: Ward, site: Path) -> None:
    other = unmapped().records[1]
    named = type(other.as_sent)("99X", "101^Pulse")  # type: ignore[misc]
    ward.emit(unmapped(), report(SECOND, records=[type(other)(mantissa=70, as_sent=named)]))
    text = refusal(str(site), *WHY)
    assert "mapping 1 (code '101') is about things that are called 'hr', 'pulse'" in text
    assert ward.rows("SELECT FROM mapping_work") == []
    code, text = vitalwire("mapping apply", str(site), "--device", SECOND, *WHY)
    assert code == 2  # nobody has told the device's claim: it goes by its id
    (device,) = ward.rows("SELECT uuid::text FROM device ORDER BY first_seen_at, device LIMIT 1")[0]
    assert vitalwire("mapping apply", str(site), "--device", str(device), *WHY)[0] == 0


@pytest.mark.parametrize(
    ("scope", "expected"),
    [(("--since", "soon"), "--since 'soon' is neither"), (("--until", "soon"), "--until 'soon' is neither"),
     (("--since", "1h", "--until", "2h"), "there is no time"), (("--device", "none"), "no device named 'none'")],
)  # fmt: skip
def test_a_scope_that_is_none_is_refused(ward: Ward, site: Path, scope: tuple[str, ...], expected: str) -> None:
    assert expected in refusal(str(site), *scope, *WHY)


def test_a_time_is_that_of_the_receipt(ward: Ward, site: Path) -> None:
    ward.emit(unmapped())
    for scope in (("--since", "2026-12-24T10:00Z"), ("--until", "2026-01-01T00:00Z")):
        assert "would change: 0 values" in vitalwire("mapping apply", str(site), "--dry-run", *scope)[1]
    assert "would change: 2 values" in vitalwire("mapping apply", str(site), "--dry-run", "--since", "2026-01-01")[1]
