import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import Source
from adapters.session import Moment
from schemas.errors import FrameError
from schemas.nomenclature import canonical_unit
from schemas.report import Record, RecordKind, Validity
from tests.catalogues import ROOT, table

NOW = Moment(0, 1_790_000_000_000_000)
PAGE = (ROOT / "docs" / "driver.md").read_text("utf-8")
(CODE,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The page's code as a module."""
    file: Path = tmp_path_factory.mktemp("driver") / "acme.py"
    file.write_text(CODE, "utf-8")
    spec = importlib.util.spec_from_file_location("worked_driver", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(record: Record) -> str:
    if record.kind is RecordKind.TEXT:
        return f"text={record.text!s}"
    if record.validity is Validity.NOT_AVAILABLE:
        return f"{record.code}=none"
    return f"{record.code}={record.mantissa / 10**-record.exponent:.1f}"


def what_it_gives(acme: ModuleType, line: bytes) -> str:
    try:
        (report,) = acme.read(line, Source("test", acme.AcmeSettings()))
    except FrameError as error:
        return f"refused: {error.reason}"
    return " ".join(shown(record) for record in report.records)


@pytest.mark.parametrize("row", table("driver.md"), ids=lambda row: row[0])
def test_the_page_says_what_a_line_gives(acme: ModuleType, row: list[str]) -> None:
    line, gives = row
    assert what_it_gives(acme, line.encode()) == gives


def test_its_session_cuts_lines_and_its_driver_reads_them(acme: ModuleType) -> None:
    line = table("driver.md")[0][0].encode()
    session = acme.DRIVER.session(acme.AcmeSettings())
    pieces = session.feed(line[:5], NOW).pieces + session.feed(line[5:] + b"\r\n", NOW).pieces
    assert [what_it_gives(acme, piece.data) for piece in pieces] == ["150388=36.9 150368=37.4"]


@given(st.one_of(st.binary(max_size=40), st.from_regex(rb"\AT1=\d\d\.\d T2=--\.- [B ]\*[0-9A-F]{2}\Z")))
def test_any_bytes_give_reports_or_a_reason(acme: ModuleType, frame: bytes) -> None:
    assert re.fullmatch(r"refused: [a-z-]+|(\d+=\S+ ?)+(text=.*)?", what_it_gives(acme, frame))


def test_it_is_short_and_new_and_of_the_nomenclature(acme: ModuleType) -> None:
    assert len(CODE.splitlines()) <= 70
    assert acme.DRIVER.name not in DRIVER_BY_NAME
    for channel in acme.DRIVER.channels:
        assert canonical_unit(channel.code, channel.unit) is not None
