import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from runtime import logs
from runtime.logs import QUIET, printable, set_up


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Logging set up; gives what was logged since it was last asked."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up()
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_one_object_that_says_when_how_what_and_who(lines: Any) -> None:
    structlog.get_logger("edge").info("connected", source="ICU-07 监护仪7", port=2575)
    (line,) = lines()
    assert line.pop("ts").endswith("Z")
    want = {"level": "info", "event": "connected", "logger": "edge", "source": "ICU-07 监护仪7", "port": 2575}
    assert line == want
    structlog.get_logger("edge").debug("detail")
    assert lines() == []


def test_what_may_name_a_patient_is_taken_out_wherever_it_stands(lines: Any) -> None:
    hidden: dict[str, Any] = dict.fromkeys(("patient", "name", "MRN", "patient_id", "raw_frame", "payload"), "张三")
    structlog.get_logger("x").info("seen", **hidden, more={"name": "张三", "list": [{"mrn": 7}]}, frames=3, data=b"MSH")
    (line,) = lines()
    assert "张三" not in str(line)
    assert {line[k] for k in hidden} == {"[redacted]"}
    assert line["more"] == {"name": "[redacted]", "list": [{"mrn": "[redacted]"}]}
    assert (line["frames"], line["data"]) == (3, "[3 bytes]")


def test_an_exception_is_its_type_and_place_never_its_text(lines: Any) -> None:
    try:
        int("SMITH^JOHN")
    except ValueError:
        structlog.get_logger("x").exception("failed")
        logging.getLogger("aiokafka").exception("crashed: %s\nMSH|SMITH^JOHN", 5)
    ours, theirs = lines()
    for line in (ours, theirs):
        assert line["error"].startswith("ValueError < test_an_exception")
        assert "test_logs.py:" in line["error"]
        assert "SMITH" not in str(line)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("crashed: 5", "aiokafka", "error")


def test_a_library_that_misses_its_own_format_does_not_fail_over_it(lines: Any) -> None:
    # Not through a logger: pytest's own handler there would fail.
    record = logging.LogRecord("paho", logging.ERROR, "", 0, "%d sent", ("many",), None)
    QUIET["handlers"]["ours"]["()"]().handle(record)
    assert [line["event"] for line in lines()] == ["%d sent"]


def test_control_bytes_are_shown_and_not_obeyed(lines: Any) -> None:
    structlog.get_logger("x").info("got\x1b[2J", text="a\nb\x00\u202e", nested=["\x07"])
    (line,) = lines()
    assert line["event"] == "got\\x1b[2J"
    assert (line["text"], line["nested"]) == ("a\\nb\\x00\\u202e", ["\\x07"])


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x0bMSH|^~\\&\r\x1c\r", "\\x0bMSH|^~\\&\\r\\x1c\\r"),
        ("张三".encode(), "张三"),
        (b"\xfc\x9b2J", "\\xfc\\x9b2J"),
        (b"x" * 300, "x" * 256 + "…"),
        (b"x" * 255 + "张".encode(), "x" * 255 + "\\xe5…"),
    ],
)
def test_raw_bytes_are_printable(data: bytes, shown: str) -> None:
    assert printable(data) == shown


def test_what_a_library_says_over_and_over_is_said_once_in_a_while(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now_s)
    library = logging.getLogger("aiokafka")
    for _ in range(500):
        library.error("Unable connect to node with id %s", 1)
    library.error("Unable connect to node with id %s", 2)
    now_s += logs.SAME_LINE_EVERY_S
    library.error("Unable connect to node with id %s", 1)
    words = [(line["event"][-1], line.get("times_more")) for line in lines()]
    assert words == [("1", None), ("2", None), ("1", 499)]
