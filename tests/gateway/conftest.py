from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.ward import Page, Ward


@pytest.fixture
def ward(database: str) -> Ward:
    return Ward(database)


@pytest.fixture
def page(ward: Ward) -> Iterator[Page]:
    served = Page(ward.database)
    served.start()
    yield served
    served.stop()
