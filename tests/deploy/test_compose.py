"""`deploy/compose.yaml`: the specification's schema, and every variable, secret, command, file and port in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import typer
import yaml
from typer import Context
from typer.core import TyperGroup

from edge_agent.settings_check import settings_findings
from edge_agent.sources import load_edge
from emr_store.roles import EMR_READER, GROUPS
from gateway.people.sign_in_config import GatewayConfig, address
from runtime import config, keys, metrics
from runtime.tls import client_context, server_context
from stream_processors.broker import security
from stream_processors.config import APPS, ProcessorsConfig
from stream_processors.connection import conninfo
from vitalwire.__main__ import app
from vitalwire.deploy_secrets import ENV_FILE, PUBLIC, USER_IDS, make_secrets
from vitalwire.embedded.services import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("vitalwire:")}
LONG_RUNNING = SERVICES.keys() - {"setup"}
HOST = "icu.example"
USERS = {"kafka": "kafka", "timescaledb": "timescaledb", "mosquitto": "mosquitto", "grafana": "grafana"}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:[-?])?")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("deploy") / "secrets"
    make_secrets(into, [HOST], datetime.now(UTC))
    return into


def inside(service: str, secrets: Path, folder: Path) -> Path:
    """/run/secrets of this service's container, in a folder of this machine."""
    for name in SERVICES[service]["secrets"]:
        shutil.copy(secrets / name, folder)
        (folder / name).chmod((secrets / name).stat().st_mode & 0o777)
    for path in folder.glob("*.toml"):
        path.write_text(path.read_text("utf-8").replace("/run/secrets", str(folder)), "utf-8")
    return folder


def test_it_is_as_the_compose_specification_has_it() -> None:
    package = find_spec("check_jsonschema")
    assert package is not None
    assert package.origin is not None
    vendored = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = jsonschema_rs.validator_for(json.loads(vendored.read_text("utf-8")))
    assert [str(error) for error in validator.iter_errors(COMPOSE)] == []
    wrong = yaml.safe_load(TEXT.replace("stop_grace_period", "stop_grace_periode"))
    assert not validator.is_valid(wrong)


def test_every_variable_is_one_that_the_secrets_have_or_has_a_default(secrets: Path) -> None:
    lines = (secrets / ENV_FILE).read_text("utf-8").splitlines()
    given = dict(line.partition("=")[::2] for line in lines)
    found = VARIABLE.findall(TEXT)
    assert {name for name, _ in found} == {"VITALWIRE_SECRETS", "VITALWIRE_HOST", "VITALWIRE_VERSION"}
    assert {name for name, operator in found if operator == ":?"} <= given.keys()
    assert {operator for _, operator in found} == {":?", ":-"}, "none is empty in silence"
    assert (given["VITALWIRE_HOST"], given["VITALWIRE_SECRETS"]) == (HOST, str(secrets))


def test_every_secret_is_made_used_and_its_service_s_own(secrets: Path) -> None:
    declared = COMPOSE["secrets"]
    for name, secret in declared.items():
        assert re.sub(r"\$\{VITALWIRE_SECRETS:\?[^}]*\}", str(secrets), secret["file"]) == str(secrets / name)
    assert declared.keys() == {name for service in SERVICES.values() for name in service.get("secrets", [])}
    for name, service in SERVICES.items():
        owner = int(service["user"].partition(":")[0])
        for secret in service.get("secrets", []):
            assert (secrets / secret).stat().st_uid == owner or secret in PUBLIC, f"{name}: {secret}"
        assert owner == USER_IDS[USERS.get(name, "vitalwire")] or name == "prometheus"


def test_every_secret_that_is_read_is_given() -> None:
    for name, service in SERVICES.items():
        read = set(re.findall(r"/run/secrets/([\w.-]+)", json.dumps(service)))
        for volume in service.get("volumes", []):
            source = DEPLOY / volume.partition(":")[0]
            if volume.startswith("./compose/"):
                read |= set(re.findall(r"/run/secrets/([\w.-]+)", source.read_text("utf-8")))
        assert read <= set(service.get("secrets", [])), name


def test_no_secret_stands_in_it() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|TOKEN|KEY", name) or name.endswith("_FILE"), name
            assert "password=" not in str(value)
    assert not re.search(r"(?i)changeme|:-\w*(pass|secret)", TEXT)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].partition(":")[0]) > 0
    assert service["restart"] == ("unless-stopped" if name in LONG_RUNNING else "no")
    assert ("healthcheck" in service) == (name in LONG_RUNNING)
    assert re.fullmatch(r"vitalwire:\$\{VITALWIRE_VERSION:-latest\}|[\w/-]+:v?\d[\w.-]+", service["image"])
    for other, condition in service.get("depends_on", {}).items():
        expected = "service_healthy" if other in LONG_RUNNING else "service_completed_successfully"
        assert condition == {"condition": expected}


def test_every_file_that_is_mounted_is_there_and_every_volume_is_declared() -> None:
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    for volume in volumes:
        source = volume.replace("${VITALWIRE_SECRETS:?}", "SECRETS").split(":")[0]
        if source.startswith("./"):
            assert (DEPLOY / source).exists(), source
            assert volume.endswith(":ro")
        elif not source.startswith("SECRETS/"):
            assert source in COMPOSE["volumes"]
    mounted = {DEPLOY / volume.split(":")[0] for volume in volumes if volume.startswith("./compose/")}
    assert {*mounted, DEPLOY / "compose" / "ready.py"} == set((DEPLOY / "compose").iterdir())


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_starts_a_command_that_there_is(name: str) -> None:
    command = typer.main.get_command(app)
    words = list(OURS[name]["command"])
    while isinstance(command, TyperGroup):
        word = words.pop(0)
        found = command.get_command(Context(command), word)
        assert found is not None, word
        command = found
    command.make_context(name, words)


def test_the_settings_of_the_processors_hold_with_the_files_that_are_given(secrets: Path, tmp_path: Path) -> None:
    folder = inside("processors", secrets, tmp_path)
    settings = config.load(folder / "processors.toml", ProcessorsConfig)
    assert security(settings)["security_protocol"] == "SSL"
    assert "sslmode=verify-full" in conninfo(settings)
    assert (secrets / "database_processors").read_text() in conninfo(settings)
    keys.load(settings.key_file)
    ports = [str(settings.metrics_port + index) for index in range(len(APPS))]
    assert SERVICES["processors"]["healthcheck"]["test"][3:] == ports


def test_the_settings_of_the_gateway_hold_with_the_files_that_are_given(secrets: Path, tmp_path: Path) -> None:
    folder = inside("gateway", secrets, tmp_path)
    settings = config.load(folder / "gateway.toml", GatewayConfig)
    assert address(settings) == ("0.0.0.0", 8443)
    assert settings.public_origin == f"https://{HOST}:8443"
    assert settings.tls_cert is not None
    assert settings.tls_key is not None
    server_context(settings.tls_cert, settings.tls_key)
    assert settings.pki is not None
    assert settings.pki.passphrase_file.is_file()
    mounted = {volume.split(":")[-1] for volume in SERVICES["gateway"]["volumes"]}
    writable = (settings.look_journal, settings.machines.token_key)
    assert {str(path.parent) for path in writable if path is not None} <= mounted
    assert str(settings.pki.folder) in mounted
    assert Path(re.findall(r"passfile=(\S+)", settings.database)[0]).is_file()
    assert Path(re.findall(r"sslrootcert=(\S+)", settings.database)[0]).is_file()
    assert SERVICES["gateway"]["healthcheck"]["test"][3:] == [str(settings.metrics_port)]


def test_the_settings_of_the_edge_hold_with_the_files_that_are_given(secrets: Path, tmp_path: Path) -> None:
    folder = inside("edge", secrets, tmp_path)
    settings = load_edge(folder / "edge.toml")
    assert list(settings_findings(settings)) == []
    keys.load(settings.key_file)
    assert keys.read_public(settings.platform_key_file) == keys.read_public(secrets / "platform.pub")
    client_context(settings.kafka_ca, settings.kafka_cert, settings.kafka_key)
    (source,) = msgspec.to_builtins(settings, enc_hook=str)["source"]
    assert Path(source["link"]["tls_ca"]).is_file()
    assert Path(source["link"]["password_file"]).is_file()
    assert source["link"]["broker"] == "127.0.0.1:8883"
    assert str(settings.spool.parent) in {volume.split(":")[-1] for volume in SERVICES["edge"]["volumes"]}
    assert SERVICES["edge"]["healthcheck"]["test"][3:] == [str(settings.metrics_port)]


def test_what_is_reached_is_published_and_beyond_loopback_speaks_tls(secrets: Path) -> None:
    published = {port for service in SERVICES.values() for port in service.get("ports", [])}
    assert published == {"9094:9094", "127.0.0.1:19094:19094", "127.0.0.1:15432:5432", "8883:8883"}
    processors, gateway, edge = (
        tomllib.loads((secrets / f"{name}.toml").read_text("utf-8")) for name in ("processors", "gateway", "edge")
    )
    assert {processors["kafka"], edge["kafka"]} == {"127.0.0.1:19094"}
    setup = OURS["setup"]["environment"]["VITALWIRE_DATABASE"]
    for where in (processors["database"], gateway["database"], setup):
        assert where.startswith("host=127.0.0.1 port=15432 dbname=vitalwire sslmode=verify-full ")
    properties = (DEPLOY / "compose" / "kafka.properties").read_text("utf-8")
    assert "\nlisteners=HERE://:19094,BOXES://:9094,CONTROLLER://localhost:19093\n" in properties
    assert "=HERE:SSL,BOXES:SSL,CONTROLLER:PLAINTEXT\n" in properties
    assert "\nssl.client.auth=required\n" in properties
    assert "\nlistener 8883\n" in "\n" + (DEPLOY / "compose" / "mosquitto.conf").read_text("utf-8")
    hba = (DEPLOY / "compose" / "pg_hba.conf").read_text("utf-8")
    assert re.findall(r"(?m)^(\w+)", hba) == ["local", "hostssl", "hostssl"]


def test_prometheus_asks_on_the_ports_that_are_served() -> None:
    asked = set(re.findall(r"127\.0\.0\.1:(\d+)", (DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8")))
    asked |= set(re.findall(r"127\.0\.0\.1:(\d+)", (DEPLOY / "prometheus" / "edges.yml").read_text("utf-8")))
    served = {port for service in OURS.values() for port in service.get("healthcheck", {"test": []})["test"][3:]}
    assert asked == served


def test_every_variable_of_grafana_s_provisioning_is_given() -> None:
    provisioned = (DEPLOY / "grafana" / "provisioning" / "datasources" / "vitalwire.yaml").read_text("utf-8")
    grafana = SERVICES["grafana"]
    given = {*grafana["environment"], *re.findall(r"(VITALWIRE_\w+)=", grafana["command"][0])}
    assert set(re.findall(r"\$(\w+)", provisioned)) == {name for name in given if name.startswith("VITALWIRE_")}


def test_the_groups_of_the_database_are_ours() -> None:
    sql = (DEPLOY / "compose" / "database.sql").read_text("utf-8")
    assert set(re.findall(r"CREATE ROLE (\w+);", sql)) == {*GROUPS, EMR_READER}
    logins = re.findall(r"CREATE ROLE (\w+) LOGIN PASSWORD :'(\w+)'", sql)
    assert [login.removeprefix("vitalwire_") for login, _ in logins] == [variable for _, variable in logins]


def test_the_image_has_the_user_and_the_programs_that_compose_names() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert "--require-hashes --no-deps" in dockerfile
    assert 'ENTRYPOINT ["/opt/vitalwire/bin/vitalwire"]' in dockerfile
    assert set(re.findall(r"(?:--uid|-o|-g) (\d+)", dockerfile)) == {str(USER_IDS["vitalwire"])}
    assert {service["user"] for service in OURS.values()} == set(re.findall(r"(?m)^USER (.*)$", dockerfile))
    tests = [service["healthcheck"]["test"][:3] for service in OURS.values() if "healthcheck" in service]
    assert tests == [["CMD", "/opt/vitalwire/bin/python", "/opt/vitalwire/ready.py"]] * 3
    assert "cp /build/deploy/compose/ready.py /opt/vitalwire/ready.py" in dockerfile
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    sent = set(re.findall(r"(?m)^!(.*)$", (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8")))
    others = {"pyproject.toml", "requirements.lock", "README.md", "LICENSE", "deploy/compose/ready.py"}
    assert sent == {*packages, *others}


def test_ready_ends_with_0_where_data_flows_and_else_says_why() -> None:
    reasons: list[str] = []
    server = metrics.serve(0, lambda: reasons)
    ready = [sys.executable, str(DEPLOY / "compose" / "ready.py")]
    try:
        assert subprocess.run([*ready, str(server.server_port)]).returncode == 0
        reasons.append("the store is away")
        found = subprocess.run([*ready, str(server.server_port)], capture_output=True, text=True)
        assert (found.returncode, found.stderr.count("\n")) == (1, 1)
        assert "the store is away" in found.stderr
    finally:
        server.stop()
    found = subprocess.run([*ready, str(free_port())], capture_output=True, text=True)
    assert (found.returncode, "Traceback" in found.stderr) == (1, False)
