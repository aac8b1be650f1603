"""`vitalwire sheet`, as people type it."""

from __future__ import annotations

from pathlib import Path

import pytest

from emr_store.connect import open_store
from gateway.access.words import Role
from tests.commands import vitalwire
from tests.gateway.chart_ward import ChartWard
from tests.gateway.signing_in import hire
from tests.gateway.test_app import connect
from tests.gateway.ward import Page
from tests.vitalwire.logging_in import log_in_as
from vitalwire.gateway_client import NO_ACCESS


@pytest.fixture
def stay(database: str, monkeypatch: pytest.MonkeyPatch) -> ChartWard:
    monkeypatch.setenv("VITALWIRE_DATABASE", database)
    made = ChartWard(database, hours=4)
    made.enter("MDC_TEMP", 37.2, "", 1)
    made.enter("temperature-route", None, "axillary", 1)
    return made


def test_a_sheet_is_printed_as_pdf_and_svg(stay: ChartWard, tmp_path: Path) -> None:
    file = tmp_path / "sheet.pdf"
    assert vitalwire("sheet", "V1", "--pdf", str(file))[0] == 0
    assert file.read_bytes().startswith(b"%PDF-")
    code, drawn = vitalwire("sheet V1 --svg --language en --style guizhou")
    assert (code, "Temperature chart" in drawn, "37.2" in drawn or "data-about" in drawn) == (0, True, True)
    assert "重症护理记录单" in vitalwire("sheet V1 --svg --hourly")[1]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sheet V1", "say what to write"),
        ("sheet V9 --svg", "no encounter has the number 'V9'"),
        ("sheet V1 --svg --page 7", "there is no page 7: 1 to 1"),
        ("sheet V1 --svg --style baroque", "baroque cannot be read"),
        ("sheet V1 --svg --language fr", "zh or en"),
        ("sheet V1 --pdf /nowhere/sheet.pdf", "/nowhere/sheet.pdf cannot be written"),
    ],
)
def test_what_cannot_be_printed_is_refused_in_words(stay: ChartWard, command: str, said: str) -> None:
    code, text = vitalwire(command)
    assert code != 0
    assert said in text


def test_a_style_that_contradicts_itself_is_refused_with_its_line(stay: ChartWard, tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text('title = "体温单"\n[grid]\npulse_low = 40\n', "utf-8")
    code, text = vitalwire("sheet", "V1", "--svg", "--style", str(file))
    assert code != 0
    assert "ours.toml:3: grid.pulse_low" in text


def test_a_nurse_prints_through_the_gateway_and_another_ward_does_not(
    stay: ChartWard, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    served = Page(database)
    served.start()
    assert connect(served, "/sign-in").status == 200  # it is there
    try:
        hire(database, "N1", Role.NURSE)
        hire(database, "N2", Role.NURSE, wards=("h^surgery",))
        log_in_as(served, "N1")
        file = tmp_path / "sheet.pdf"
        code, text = vitalwire("sheet", "V1", "--pdf", str(file))
        assert (code, text.startswith(f"{file}: 1 pages")) == (0, True), text
        assert file.read_bytes().startswith(b"%PDF-")
        assert "Temperature chart" in vitalwire("sheet V1 --svg --language en")[1]
        assert "重症护理记录单" in vitalwire("sheet V1 --svg --hourly")[1]
        assert vitalwire("sheet V1 --svg --page 7")[1].endswith(NO_ACCESS)
        assert "--style and --since are of --database" in vitalwire("sheet V1 --svg --style guizhou")[1]
        with open_store(database) as conn:
            sql = "SELECT DISTINCT page, action FROM look WHERE person = 'N1' ORDER BY page, action"
            assert conn.execute(sql).fetchall() == [("hourly", "see"), ("sheet", "print"), ("sheet", "see")]
        file.unlink()
        log_in_as(served, "N2")
        code, text = vitalwire("sheet", "V1", "--pdf", str(file))
        assert (code, "a reason is asked for" in text, file.exists()) == (2, True, False)
    finally:
        served.stop()
