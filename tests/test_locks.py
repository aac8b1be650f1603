"""The locks are installed without asking for more (`pip install --no-deps`): what they name must be whole."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ["requirements.lock", "requirements-dev.lock"]
# Whose needs pyproject.toml leaves out, in [tool.uv]: a file is read out of it, none of its modules is imported.
ALONE = {"uplot-python"}
ALONE_DEV = {"check-jsonschema", "heartpy"}
LEFT_OUT = {"ipython", "jedi", "prompt-toolkit"}


def names(lock: str) -> set[str]:
    text = (ROOT / lock).read_text("utf-8")
    return {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


@pytest.mark.parametrize("lock", LOCKS)
def test_what_a_locked_package_needs_is_locked(lock: str) -> None:
    locked, missing = names(lock), set()
    for name in locked - ALONE - ALONE_DEV:
        try:
            needed = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:
            continue  # of another platform or Python
        for each in needed:
            is_asked = each.marker is None or each.marker.evaluate({"extra": ""})
            if is_asked and canonicalize_name(each.name) not in locked:
                missing.add((name, each.name))
    assert missing == set()
    assert len(locked) > 50


@pytest.mark.parametrize("lock", LOCKS)
def test_what_draws_in_notebooks_is_not_locked(lock: str) -> None:
    locked = names(lock)
    assert locked >= ALONE
    assert not locked & LEFT_OUT
