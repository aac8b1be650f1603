"""`vitalwire mapping parameters`, `coverage` and `set`, as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emr_store import parameters
from emr_store.parameters import note_unmapped
from schemas.report import Record, device_id
from tests.commands import as_json, vitalwire
from tests.making import PULSE, report
from tests.mapping import HR_CODE, unmapped, work
from tests.verifying import FIRST, SECOND, Ward

ROW = ("--code", "101", "--text", "HR", "--metric", "MDC_ECG_HEART_RATE", "--unit", "/min")


@pytest.fixture
def ward(database: str, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    monkeypatch.setattr(parameters, "_NEWEST_SETTLED_SQL", "SELECT coalesce(max(batch), -1) FROM batch")
    monkeypatch.setattr(parameters, "HEARD_WITHIN", parameters.HEARD_WITHIN * 10_000)
    made = Ward(database)
    made.emit(unmapped(), report(SECOND, records=[Record(PULSE, 0, mantissa=70)]))
    with made.open() as conn:
        note_unmapped(conn)
    return made


def test_every_parameter_is_listed_with_what_it_may_be_and_why(ward: Ward) -> None:
    found = as_json("mapping parameters")
    by_name = {(each["device"], each["name"]): each for each in found}
    first, second = str(device_id(FIRST)), str(device_id(SECOND))
    heart = by_name[first, "101^HR"]
    assert (heart["state"], heart["samples"], heart["value_count"]) == ("unmapped", [72.0], 1)
    assert heart["proposals"][0]["metric"] == "MDC_ECG_HEART_RATE"
    assert "no unit is stated" in " ".join(heart["proposals"][0]["reasons"])
    assert by_name[first, "t1^Temp"]["proposals"][0]["metric"] == "MDC_TEMP"
    assert by_name[first, "MDC_PULS_OXIM_SAT_O2"]["state"] == "mapped"
    assert by_name[second, "MDC_PULS_OXIM_PULS_RATE"]["state"] == "unit-in-doubt"
    text = vitalwire("mapping parameters", "--state", "unmapped")[1]
    assert "MDC_ECG_HEART_RATE (65%: 'HR' is what screens call it; no unit is stated" in text
    assert "MDC_PULS" not in text
    (only,) = json.loads(vitalwire("mapping parameters", "--device", first, "--state", "mapped", "--json")[1])
    assert only["name"] == "MDC_PULS_OXIM_SAT_O2"
    assert vitalwire("mapping parameters", "--state", "lost")[0] == 2


def test_coverage_is_a_row_a_device(ward: Ward) -> None:
    found = {each["device"]: each for each in as_json("mapping coverage")}
    of_first = found[str(device_id(FIRST))]
    assert (of_first["mapped"], of_first["unmapped"], of_first["unit_in_doubt"]) == (1, 2, 0)
    assert of_first["share"] == pytest.approx(1 / 3)
    code, text = vitalwire("mapping coverage")
    assert code == 0
    assert "1 of 4 parameters are mapped" in text


def test_a_row_is_set_for_what_comes_and_nothing_stored_changes(ward: Ward, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    code, text = vitalwire("mapping set", str(site), *ROW)
    assert code == 0, text
    assert f"{site}: added" in text
    site.chmod(0o640)
    site.write_text("# ours\n" + site.read_text())
    code, text = vitalwire("mapping set", str(site), *ROW[:-2], "--dry-run")
    assert "would be replaced" in text
    assert 'unit = "/min"' in site.read_text()
    assert vitalwire("mapping set", str(site), *ROW[:-2])[0] == 0
    assert site.read_text().startswith("# ours\n[[mapping]]\n")
    assert "unit" not in site.read_text()
    assert site.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [site]
    assert ward.rows("SELECT FROM mapping_work") == []


def test_rejudged_an_act_is_recorded_for_what_is_stored(ward: Ward, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    assert vitalwire("mapping set", str(site), *ROW, "--rejudge")[0] == 2  # no reason
    assert not site.exists()
    code, text = vitalwire("mapping set", str(site), *ROW, "--rejudge", "--dry-run")
    assert "would change: 1 stored values in 1 batches" in text
    assert not site.exists()
    code, text = vitalwire("mapping set", str(site), *ROW, "--rejudge", "--why", "new monitors")
    assert code == 0, text
    assert "1 stored values in 1 batches" in text
    assert site.exists()
    assert work(ward) == 1
    assert any(HR_CODE in codes for (codes,) in ward.rows("SELECT code FROM channel_set"))  # type: ignore[operator]
    (kept,) = as_json("mapping list")
    assert kept["why"] == "new monitors"
    again = vitalwire("mapping set", str(site), *ROW, "--rejudge", "--why", "again")[1]
    assert "nothing that is stored changes" in again


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--code", "1", "--metric", "MDC_TEMPP"), "did you mean 'MDC_TEMP'?"),
        (("--metric", "MDC_TEMP"), "give a code or a text"),
        (("--code", "1", "--metric", "MDC_TEMP", "--unit", "blips"), "no unit 'blips'"),
        (("--code", "1", "--sender", "icu", "--metric", "MDC_TEMP", "--rejudge", "--why", "x"), "--device ID says"),
    ],
)
def test_what_is_no_row_is_refused_in_words(tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    code, text = vitalwire("mapping set", str(tmp_path / "site.toml"), *words)
    assert code == 2
    assert expected in text
    assert not (tmp_path / "site.toml").exists()


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    assert "it is not UTF-8" in vitalwire("mapping set", str(tmp_path / "latin.toml"), *ROW)[1]
    assert "cannot be written" in vitalwire("mapping set", str(tmp_path / "no" / "site.toml"), *ROW)[1]


def test_as_json_names_its_fields(ward: Ward) -> None:
    text = vitalwire("mapping parameters", "--json")[1]
    assert {"device", "claim", "bed", "state", "samples", "first_seen", "last_seen"} <= set(json.loads(text)[0])
