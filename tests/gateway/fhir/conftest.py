from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Databases, address_of
from tests.gateway.chart_ward import ChartWard, a_day
from tests.gateway.fhir.asking import Api, serving


@pytest.fixture(scope="session")
def day(databases: Databases) -> Iterator[ChartWard]:
    """张三's eight hours, charted; nobody changes them."""
    name = databases.make_migrated()
    yield a_day(address_of(databases.server, name))
    databases.end(name)


@pytest.fixture(scope="session")
def api(day: ChartWard) -> Iterator[Api]:
    with serving(day.store.address) as served:
        yield served
