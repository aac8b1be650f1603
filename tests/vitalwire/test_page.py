"""`vitalwire page --config`: beds are called as the site calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import UserError
from vitalwire.page import bed_names


def test_the_names_of_beds_are_those_of_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "processors.toml"
    config.write_text('[[bed]]\nname = "ICU-07"\nlocation = "ICU^^07^HOSP"\naliases = ["ICU^^V2"]\n', "utf-8")
    assert bed_names(config) == {"hosp^icu^^07": "ICU-07"}


def test_a_configuration_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        bed_names(tmp_path / "processors.toml")
