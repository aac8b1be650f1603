from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attributing import Hospital
from tests.conftest import Databases, address_of
from tests.gateway.chart_ward import ChartWard, a_day
from tests.gateway.fhir.asking import Api, serving
from tests.gateway.hospital import admit, open_hospital
from tests.gateway.people.machine import Machine
from tests.gateway.ward import Page, Ward


@pytest.fixture(scope="session")
def admitted_once(databases: Databases) -> Iterator[Hospital]:
    """A ward into which two patients were admitted, made once: each test has a copy."""
    name = databases.make_migrated()
    made = open_hospital(address_of(databases.server, name))
    admit(made)
    made.store.hang_up()
    yield made
    databases.end(name)


@pytest.fixture
def admitted_database(databases: Databases, admitted_once: Hospital) -> Iterator[str]:
    """The address of a copy of it."""
    yield from databases.copy_of(admitted_once.store.address)


@pytest.fixture
def admitted(admitted_once: Hospital, admitted_database: str) -> Hospital:
    """The hospital in that copy."""
    return Hospital(admitted_once.store.in_copy(admitted_database), admitted_once.site)


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
