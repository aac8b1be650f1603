"""`vitalwire custody`, as people type it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clinical.chart_policy import read_policies
from emr_store import chart_policies, holds
from tests.adt import group
from tests.charting import POLICIES, Ward, spo2
from tests.commands import as_json, vitalwire
from vitalwire.__main__ import app

SHARE = re.compile(r"share of the (hospital|patient): ([A-Z2-7-]+)")


@pytest.fixture
def ward(database: str, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """One entry, of 97 %."""
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    made = Ward(database, read_policies(POLICIES))
    made.place()
    made.hospital.emit_records([group("A01", 0)])
    with made.store.open() as conn:
        chart_policies.note_policies(conn, POLICIES)
    made.emit(spo2(50, 97))
    made.chart()
    return made


def shows(command: str, *more: str) -> str:
    code, text = vitalwire(command, *more)
    assert code == 0, text
    return text


def opened(file: Path, folder: Path, shares: dict[str, str], people: tuple[str, ...] = ("王", "李")) -> tuple[int, str]:
    named = [word for person in people for word in ("--person", person)]
    result = CliRunner().invoke(
        app, ["custody", "open", str(file), str(folder), *named, "--why", "court order 8"],
        input=f"{shares['hospital']}\n{shares['patient']}\n",
    )  # fmt: skip
    return getattr(result.exception, "exit_code", result.exit_code), f"{result.output}{result.exception}"


def test_a_stay_is_copied_confirmed_by_both_sides_and_opened_by_two(ward: Ward, tmp_path: Path) -> None:
    file = tmp_path / "V1.vwcopy"
    text = shows(f"custody copy V1 {file} --why", "dispute 31")
    shares = dict(SHARE.findall(text))
    assert set(shares) == {"hospital", "patient"}
    (made,) = as_json("custody list")
    assert (made["part"], made["versions"], made["confirmed_by"]) == (1, 1, [])
    shows(f"custody confirm {made['copy']} --side hospital --name 王")
    shows(f"custody confirm {made['copy']} --side patient --name 张三")
    assert as_json("custody list")[0]["confirmed_by"] == ["hospital", "patient"]
    assert "confirmed this part already" in vitalwire(f"custody confirm {made['copy']} --side patient --name 张三")[1]
    assert "it is the file that was sealed" in shows(f"custody check {file}")
    with ward.store.open() as conn:
        assert {"report", "batch"} <= {hold.partition.split("_")[0] for hold in holds.holds(conn)}
    folder = tmp_path / "opened"
    assert "two people" in opened(file, folder, shares, ("王", "王"))[1]
    code, text = opened(file, folder, shares)
    assert code == 0, text
    (line,) = (folder / "chart.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["value"] == 97
    assert (folder / "sheet.pdf").read_bytes().startswith(b"%PDF")
    kinds = [act["kind"] for act in as_json("acts list")]
    assert [kind for kind in kinds if kind.startswith("custody")] == [
        "custody.copy", "custody.confirm", "custody.confirm", "custody.open",
    ]  # fmt: skip


def test_what_was_charted_since_is_a_later_part(ward: Ward, tmp_path: Path) -> None:
    shows(f"custody copy V1 {tmp_path / '1'} --why", "dispute 31")
    (made,) = as_json("custody list")
    again = f"custody copy V1 {tmp_path / '2'} --copy {made['copy']} --why"
    assert "nothing was charted" in vitalwire(again, "dispute 31")[1]
    assert not (tmp_path / "2").exists()
    ward.emit(spo2(50 + 900, 91))
    ward.chart()
    shows(again, "dispute 31")
    assert [(part["part"], part["versions"]) for part in as_json("custody list")] == [(1, 1), (2, 1)]


def test_a_changed_file_and_a_wrong_share_open_nothing(ward: Ward, tmp_path: Path) -> None:
    file = tmp_path / "V1.vwcopy"
    shares = dict(SHARE.findall(shows(f"custody copy V1 {file} --why", "dispute 31")))
    assert opened(file, tmp_path / "a", shares | {"patient": shares["hospital"]})[0] == 4
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert vitalwire(f"custody check {file}")[0] == 4
    assert opened(file, tmp_path / "a", shares)[0] == 4
    assert not (tmp_path / "a").exists()
    assert all(act["kind"] != "custody.open" for act in as_json("acts list"))
