"""A file that is replaced is whole at every moment."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runtime.errors import UserError
from runtime.whole_file import replace_file


def test_what_was_there_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kafka.crt"
    (tmp_path / "kafka.crt.new").write_text("half")  # of a process that was killed
    for content in (b"old", b"new"):
        replace_file(path, content, 0o600)
        assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["kafka.crt"]


def test_who_has_it_open_reads_the_old_one_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "kafka.crt"
    replace_file(path, b"old one")
    with path.open("rb") as opened:
        assert opened.read(3) == b"old"
        replace_file(path, b"another")
        assert opened.read() == b" one"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none/kafka\.crt cannot be written: No such file"):
        replace_file(tmp_path / "none" / "kafka.crt", b"x")
