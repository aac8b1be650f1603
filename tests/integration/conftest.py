"""What tests of boxes have in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bundle import __main__ as bundle_command
from tests import bundling
from tests.integration.bare import BareMachine


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the release key and this checkout's bundle and package, made as `make bundle` makes them."""
    folder = tmp_path_factory.mktemp("release")
    bundling.release_key(folder)
    assert bundle_command.main(["--key", str(folder / "release.key"), "--to", str(folder), "--dirty"]) == 0
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[BareMachine]:
    made = BareMachine(tmp_path)
    yield made
    made.stop()
