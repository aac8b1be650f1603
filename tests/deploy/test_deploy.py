"""What `deploy/` says twice, for containers and for `services`, is the same; units start commands that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from typer import Context
from typer.core import TyperGroup

from vitalwire.__main__ import app

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text("utf-8")
SERVICES = (DEPLOY / "services" / "services").read_text("utf-8")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def test_every_port_of_services_is_another_one_in_ci_and_stands_in_the_readme() -> None:
    ports = dict(re.findall(r"\$\{(VITALWIRE_\w+_PORT):-(\d+)\}", SERVICES))
    ci, readme = (DEPLOY.parent / ".ci" / "run").read_text("utf-8"), (DEPLOY.parent / "README.md").read_text("utf-8")
    chosen = dict(re.findall(r"(VITALWIRE_\w+_PORT)=(\d+)", ci))
    assert chosen.keys() == ports.keys()
    assert len({*chosen.values(), *ports.values()}) == 2 * len(ports)
    for name, port in ports.items():
        assert f"{name.removeprefix('VITALWIRE')} {port}" in SERVICES, "the head of the script"
        assert port in readme or "CONTROLLER" in name


def test_listeners_of_services_are_on_loopback_and_those_for_certificates_ask_for_one() -> None:
    properties = (DEPLOY / "services" / "kafka.properties").read_text("utf-8")
    (listeners,) = re.findall(r"(?m)^listeners=(.*)$", properties)
    assert [listener.partition("://")[0] for listener in listeners.split(",")] == ["PLAINTEXT", "SSL", "CONTROLLER"]
    assert all("://127.0.0.1:" in listener for listener in listeners.split(","))
    assert "\nlistener.name.ssl.ssl.client.auth=required\n" in properties
    mosquitto = (DEPLOY / "services" / "mosquitto.conf").read_text("utf-8")
    plain, tls, mutual = re.findall(r"(?ms)^listener (@\w+@ 127\.0\.0\.1\n.*?)(?=^listener |\Z)", mosquitto)
    assert "certfile" not in plain
    assert "require_certificate" not in tls
    assert "require_certificate true\n" in mutual
    assert "cafile /mnt/ca.crt\n" in mutual


def test_limits_are_the_same_in_containers_and_in_services() -> None:
    properties = (DEPLOY / "services" / "kafka.properties").read_text("utf-8")
    contained = (DEPLOY / "compose" / "kafka.properties").read_text("utf-8")
    for key in ("message.max.bytes", "auto.create.topics.enable", "offsets.topic.replication.factor"):
        (value,) = re.findall(rf"(?m)^{re.escape(key)}=(.*)$", properties)
        assert f"\n{key}={value}\n" in contained, key
    mosquitto = (DEPLOY / "services" / "mosquitto.conf").read_text("utf-8").splitlines()
    contained = (DEPLOY / "compose" / "mosquitto.conf").read_text("utf-8")
    for line in ("max_queued_messages 0", "max_inflight_messages 0", "persistence true", "autosave_interval 1",
                 "allow_anonymous false"):  # fmt: skip
        assert line in mosquitto
        assert f"\n{line}\n" in contained
    postgres = (DEPLOY / "services" / "timescaledb.conf").read_text("utf-8")
    settings = dict(re.findall(r"- -c\n +- ([\w.]+)=(\w+)", COMPOSE))
    for key in ("timescaledb.telemetry_level", "max_locks_per_transaction"):
        assert f"\n{key} = {settings[key]}\n" in postgres


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_there_is_and_is_well_formed(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text("utf-8")
    (words,) = re.findall(r"(?m)^ExecStart=/opt/vitalwire/(?:current/)?bin/vitalwire (.*)$", text)
    command = typer.main.get_command(app)
    rest = words.split()
    while isinstance(command, TyperGroup):
        command = command.get_command(Context(command), rest.pop(0))
    assert command is not None
    command.make_context(unit.stem, rest)
    if shutil.which("systemd-analyze"):
        here = re.sub(r"/opt/vitalwire/(?:current/)?bin/vitalwire", "/bin/true", text).replace(
            "User=vitalwire", "User=root"
        )
        (tmp_path / unit.name).write_text(here)
        found = subprocess.run(["systemd-analyze", "verify", tmp_path / unit.name], capture_output=True, text=True)
        assert unit.name not in found.stderr, found.stderr
