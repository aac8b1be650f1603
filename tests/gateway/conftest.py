from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Databases, address_of
from tests.gateway.chart_ward import ChartWard, a_day
from tests.gateway.fhir.asking import Api, serving
from tests.gateway.people.machine import Machine
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


@pytest.fixture(scope="session")
def day(databases: Databases) -> Iterator[ChartWard]:
    """张三's eight hours, charted; nobody changes them."""
    name = databases.make_migrated()
    yield a_day(address_of(databases.server, name))
    databases.end(name)


@pytest.fixture(scope="session")
def api(day: ChartWard) -> Iterator[Api]:
    """Serves them."""
    with serving(day.store.address) as served:
        yield served


@pytest.fixture
def machine(day: ChartWard, api: Api) -> Machine:
    """A program that may read them; each test has one of its own."""
    return Machine(day.store.address, api.port)
