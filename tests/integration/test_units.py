"""The units of deploy/systemd as shipped: they start, carry a report, and stop, with nothing but what they grant."""

from __future__ import annotations

import os
import shutil
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from emr_store import registry
from emr_store.connect import open_store
from emr_store.migrate import migrate
from runtime import keys
from runtime.tls import client_context
from stream_processors.config import APPS
from tests.faults import clusters
from tests.faults.senders import HEART_RATE, MllpSender
from tests.faults.system import ROOT
from tests.integration.units import USER_ID, Machine, Started, Unit
from tests.runtime.conftest import certify
from tests.wire import eventually, forget_topics
from vitalwire.embedded.services import free_port

pytestmark = pytest.mark.integration
LIMIT_S = 40
EDGE, PROCESSORS, GATEWAY = (
    Unit.read(ROOT / "deploy" / "systemd" / f"vitalwire-{name}.service") for name in ("edge", "processors", "gateway")
)
SOURCE = """
[[source]]
name = "icu"
driver = "hl7_oru"
time_zone = "UTC"
settings.device = "PV1-3"
link.type = "tcp"
link.listen = "127.0.0.1:{port}"
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    made = Machine(tmp_path_factory.mktemp("machine"))
    made.install()
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[clusters.Server]:
    """A database that speaks TLS, as a hospital's does; its certificate is `database.crt`."""
    folder = tmp_path / "database"
    folder.mkdir()
    made = clusters.Server(folder, "tls")
    made.make()
    data = folder / "tls"
    certified = certify(tmp_path, "database")
    for file in certified:
        shutil.copy(file, data)
        os.chown(data / file.name, data.stat().st_uid, data.stat().st_gid)
        (data / file.name).chmod(0o600)
    with psycopg.connect(made.address, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET ssl_cert_file = 'database.crt'")
        connection.execute("ALTER SYSTEM SET ssl_key_file = 'database.key'")
        connection.execute("ALTER SYSTEM SET ssl = on")
        connection.execute("SELECT pg_reload_conf()")
    yield made
    made.stop()


@dataclass(frozen=True)
class Hospital:
    """A machine with what an administrator writes into /etc/vitalwire, and the ports that its units serve there."""

    machine: Machine
    database: str  # as we reach it
    mllp: int
    edge_metrics: int
    processors_metrics: int  # validate; store and alert on the two next


@pytest.fixture
def hospital(machine: Machine, server: clusters.Server, tmp_path: Path) -> Hospital:
    """A fresh database and topics; Kafka is reached with its certificate, and the database is verified."""
    settings = machine.settings
    forget_topics(os.environ["VITALWIRE_KAFKA"])
    made = Hospital(machine, server.address, free_port(), free_port(), free_port(span=len(APPS)))
    for path in settings.iterdir():
        path.unlink()
    for name in ("CA", "CERT", "KEY"):
        shutil.copy(os.environ[f"VITALWIRE_KAFKA_{name}"], settings / f"kafka_{name.lower()}")
    shutil.copy(tmp_path / "database.crt", settings)
    (settings / "password").write_text("hush\n")
    keys.generate(settings / "platform.key")
    edge, edge_id = keys.generate(settings / "edge.key"), uuid.uuid4()
    migrate(made.database)
    with open_store(made.database) as conn:
        registry.add_edge(conn, edge_id, "test", edge.public_der)
    broker = f'kafka = "{os.environ["VITALWIRE_KAFKA_TLS"]}"\n'
    broker += "".join(f'kafka_{name} = "kafka_{name}"\n' for name in ("ca", "cert", "key"))
    address = f"host=127.0.0.1 port={server.port} user={clusters.USER} dbname={clusters.DATABASE}"
    (settings / "processors.toml").write_text(
        f'{broker}database = "{address} sslmode=verify-full sslrootcert=/etc/vitalwire/database.crt"\n'
        f'database_password_file = "password"\nmetrics_port = {made.processors_metrics}\n'
    )
    (settings / "edge.toml").write_text(
        f'{broker}edge = "{edge_id}"\nkey_file = "edge.key"\nplatform_key_file = "platform.pub"\n'
        f'spool = "/var/lib/vitalwire/spool"\nmetrics_port = {made.edge_metrics}\n{SOURCE.format(port=made.mllp)}'
    )
    for path in settings.iterdir():
        path.chmod(0o600)
    return made


def is_ready(started: Started, port: int) -> bool:
    """What its /readyz says."""
    assert started.process.poll() is None, started.words[-2000:]
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
    except OSError:  # an answer of 503 is one too
        return False
    return True


@pytest.mark.parametrize("struck", [None, "PrivateTmp"])
def test_the_units_carry_a_report_into_the_store_and_stop(hospital: Hospital, struck: str | None) -> None:
    edge_unit, processors_unit = (unit.without(struck) if struck else unit for unit in (EDGE, PROCESSORS))
    with hospital.machine.start(processors_unit) as processors, hospital.machine.start(edge_unit) as edge:
        for port in range(hospital.processors_metrics, hospital.processors_metrics + len(APPS)):
            eventually(lambda port=port: is_ready(processors, port), LIMIT_S, "the processors are ready")
        eventually(lambda: is_ready(edge, hospital.edge_metrics), LIMIT_S, "the edge is ready")
        sender = MllpSender(("127.0.0.1", hospital.mllp), "icu", "07", enhanced=True)
        sender.send(HEART_RATE, 71.5)  # returns with its acknowledgement

        def stored() -> list[tuple[object, ...]]:
            with open_store(hospital.database) as conn:
                sql = "SELECT metric, value, unit, validation_result FROM observation WHERE device = %s"
                return conn.execute(sql, [sender.device]).fetchall()

        eventually(lambda: bool(stored()), LIMIT_S, "a row")
        assert stored() == [("MDC_ECG_HEART_RATE", 71.5, "/min", 0)]
        assert (hospital.machine.granted("StateDirectory") / "vitalwire" / "spool" / "spool.db").is_file()
        assert (edge.stop(), processors.stop()) == (0, 0)
    assert "Traceback" not in edge.words + processors.words


@dataclass(frozen=True)
class Gateway:
    """What gateway.toml says: where its pages are, and its metrics."""

    port: int
    metrics: int


@pytest.fixture
def gateway(machine: Machine, server: clusters.Server, tmp_path: Path) -> Gateway:
    """Its settings in /etc/vitalwire, and tables; there is no Kafka in them."""
    settings, made = machine.settings, Gateway(free_port(), free_port())
    for path in settings.iterdir():
        path.unlink()
    for file in (tmp_path / "database.crt", *certify(tmp_path, "gateway")):
        shutil.copy(file, settings)
    migrate(server.address)
    address = f"host=127.0.0.1 port={server.port} user={clusters.USER} dbname={clusters.DATABASE}"
    (settings / "gateway.toml").write_text(
        f'database = "{address} sslmode=verify-full sslrootcert=/etc/vitalwire/database.crt"\n'
        f'listen = "0.0.0.0:{made.port}"\npublic_origin = "https://localhost:{made.port}"\n'
        f'tls_cert = "gateway.crt"\ntls_key = "gateway.key"\nmetrics_port = {made.metrics}\n'
        'look_journal = "/var/lib/vitalwire-gateway/looks.journal"\n'
        '[machines]\ntoken_key = "/var/lib/vitalwire-gateway/token.key"\n'
    )
    for path in settings.iterdir():
        path.chmod(0o600)
    return made


@pytest.mark.parametrize("struck", [None, "PrivateTmp"])
def test_the_gateway_serves_its_pages_over_tls_and_stops(
    machine: Machine, gateway: Gateway, tmp_path: Path, struck: str | None
) -> None:
    context = client_context(tmp_path / "gateway.crt")
    with machine.start(GATEWAY.without(struck) if struck else GATEWAY) as started:
        eventually(lambda: is_ready(started, gateway.metrics), LIMIT_S, "the gateway is ready")

        def shows_a_page() -> bool:
            assert started.process.poll() is None, started.words[-2000:]
            try:
                answer = httpx.get(f"https://localhost:{gateway.port}/sign-in", verify=context, trust_env=False)
            except httpx.TransportError:
                return False
            return answer.status_code == 200 and "text/html" in answer.headers["Content-Type"]

        eventually(shows_a_page, LIMIT_S, "a page")
        folder = machine.granted("StateDirectory") / "vitalwire-gateway"
        assert (folder / "token.key").stat().st_uid == USER_ID
        assert started.stop() == 0
    assert "Traceback" not in started.words


# Tries to write into every folder that somebody might, and says what it is.
PROBE = """\
for folder in / /etc /etc/vitalwire /opt /usr /var /var/lib /root /home /dev /tmp /var/tmp /var/lib/vitalwire \
    /var/lib/vitalwire-gateway; do
  touch $folder/probe 2>/dev/null && echo "writes $folder"
done
find /root /home -mindepth 1 2>/dev/null
id -u
grep -E "^(NoNewPrivs|CapEff|CapBnd)" /proc/self/status
"""
NOBODY_IN_PARTICULAR = f"{USER_ID}\nCapEff:\t{0:016x}\nCapBnd:\t{0:016x}\nNoNewPrivs:\t1\n"


@pytest.mark.parametrize(
    ("unit", "writable"),
    [
        (EDGE, ["/tmp", "/var/tmp", "/var/lib/vitalwire"]),
        (PROCESSORS, ["/tmp", "/var/tmp"]),
        (GATEWAY, ["/tmp", "/var/tmp", "/var/lib/vitalwire-gateway"]),
        (EDGE.without("PrivateTmp").without("StateDirectory"), []),
    ],
)
def test_a_unit_may_write_what_it_grants_and_nothing_else(machine: Machine, unit: Unit, writable: list[str]) -> None:
    with machine.start(unit, PROBE) as probe:
        assert probe.process.wait(LIMIT_S) == 0
    assert probe.words == "".join(f"writes {folder}\n" for folder in writable) + NOBODY_IN_PARTICULAR


def test_an_edge_that_is_not_granted_its_folder_says_so(hospital: Hospital) -> None:
    with hospital.machine.start(EDGE.without("StateDirectory")) as edge:
        assert edge.process.wait(LIMIT_S) == 2
    assert "/var/lib/vitalwire" in edge.words
    assert "Traceback" not in edge.words
