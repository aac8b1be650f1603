"""What is wrong with a configuration, before an agent finds out."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent import check, holders, settings_check
from edge_agent.config import EdgeConfig, Link, MqttLink, SerialLink, SourceConfig, TcpLink
from runtime import keys
from tests.runtime.conftest import Certified

EDGE = "3f2a8c1e-0000-4000-8000-000000000001"


def source(driver: str, link: Link, zone: str | None = None, name: str = "a", **settings: Any) -> SourceConfig:
    return SourceConfig(name, driver, link, settings, zone)


def hl7(zone: str | None = "Europe/Berlin", **link: Any) -> SourceConfig:
    return source("hl7_oru", TcpLink(**link), zone)


SPO2 = source("nonin_df2", SerialLink("/dev/ttyUSB0"), name="spo2")
MONITORS = source("hl7_oru", TcpLink(), "Europe/Berlin", "monitors")
WARD = source("mqtt_json", MqttLink(), "Asia/Shanghai", "ward")
GOOD = EdgeConfig(EDGE, source=(SPO2, MONITORS, WARD))


def changed(**fields: Any) -> EdgeConfig:
    return msgspec.structs.replace(GOOD, **fields)


def test_a_good_configuration_has_nothing_wrong() -> None:
    assert list(settings_check.settings_findings(GOOD)) == []
    assert [check.time_zone(each) for each in GOOD.source] == [None] * 3


@pytest.mark.parametrize(
    ("config", "where", "what", "mend"),
    [
        (changed(edge="EDGE"), "edge", "is no edge id", "vitalwire edge keygen"),
        (changed(source=(SPO2, SPO2)), "spo2", "two sources have this name", "its own"),
        (changed(source=(hl7("Berlin"),)), "a", "no time zone 'Berlin'", "Asia/Shanghai"),
        (changed(source=(hl7(listen="2575x"),)), "a", "'2575x' is no address", "host:port"),
        (changed(source=(source("nonin_df2", SerialLink("/dev/x"), devise="x"),)), "a", "[source.settings]",
         "did you mean 'device'?"),
        (changed(kafka="10.0.0.7:9092"), "kafka", "plaintext to 10.0.0.7:9092", "insecure = true"),
    ],
)  # fmt: skip
def test_what_an_agent_cannot_start_with_is_found_without_a_socket(
    config: EdgeConfig, where: str, what: str, mend: str
) -> None:
    (found,) = settings_check.settings_findings(config)
    assert (found.where, found.wrong) == (where, True)
    assert what in found.what
    assert mend in found.mend


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        (hl7(None), True),
        (source("astm", TcpLink()), True),
        (source("mqtt_json", MqttLink()), True),
        (source("nonin_df2", SerialLink("/dev/x")), False),
    ],
)
def test_a_source_whose_times_may_lack_their_zone_is_refused_without_one(config: SourceConfig, refused: bool) -> None:
    found = check.time_zone(config)
    assert (found is not None and found.wrong) == refused


def test_senders_of_the_mapping_that_are_no_source_are_found(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    rows = ('sender = "monitors"\n', 'sender = "monitor"\n', 'sender = "lab"\n', "")
    site.write_text(
        "".join(f'[[mapping]]\n{row}code = "{n}"\nmetric = "MDC_ECG_HEART_RATE"\n' for n, row in enumerate(rows))
    )
    found = {f.what: f.mend for f in check.senders(changed(mapping=site))}
    assert found == {
        "the sender 'monitor' is no source: its rows are never used": "did you mean 'monitors'?",
        "the sender 'lab' is no source: its rows are never used": "sources are 'spo2', 'monitors', 'ward'",
    }
    assert list(check.senders(changed(mapping=tmp_path / "none"))) == []
    assert list(check.senders(GOOD)) == []


def test_the_certificate_for_the_broker_is_looked_at(ours: Any, theirs: Any, tmp_path: Path) -> None:
    def found(**fields: Any) -> dict[str, settings_check.CheckFinding]:
        return {f.where: f for f in check.files(changed(**fields)) if f.where.startswith("kafka")}

    good = found(kafka_ca=ours.cert, kafka_cert=theirs.cert, kafka_key=theirs.key)
    assert [f.wrong for f in good.values()] == [False] * 3
    assert "kafka_key" in found(kafka_ca=ours.cert, kafka_cert=theirs.cert)["kafka_cert"].mend
    mixed = found(kafka_ca=ours.cert, kafka_cert=theirs.cert, kafka_key=ours.key)
    assert mixed["kafka_cert"].wrong
    readable = tmp_path / "key"
    readable.write_bytes(theirs.key.read_bytes())
    readable.chmod(0o644)
    assert found(kafka_cert=theirs.cert, kafka_key=readable)["kafka_key"].mend == f"chmod 600 {readable}"


def test_keys_mapping_and_spool_are_looked_at(tmp_path: Path) -> None:
    keys.generate(tmp_path / "edge.key")
    keys.generate(tmp_path / "platform.key")
    (tmp_path / "site.toml").write_text("")
    here: dict[str, Any] = {
        "key_file": tmp_path / "edge.key",
        "platform_key_file": tmp_path / "platform.pub",
        "kafka_ca": tmp_path / "ca.pem",
        "mapping": tmp_path / "site.toml",
        "spool": tmp_path / "new" / "spool",
        "spool_bytes_max": 1_000_000,
    }
    good = changed(**here)
    assert [(f.where, f.mend) for f in check.files(good)] == [
        ("key_file", ""),
        ("platform_key_file", ""),
        ("kafka_ca", "copy the certificate of the broker's CA"),
        ("mapping", ""),
        ("spool", ""),
    ]
    (tmp_path / "edge.key").chmod(0o644)
    (tmp_path / "platform.pub").unlink()
    (tmp_path / "site.toml").write_text("[[mapping]]\ncode = 'x'\nmetric = 'MDC_NONE'\n")
    (tmp_path / "new").write_text("a file in the way")
    wrong = {f.where: f for f in check.files(good)}
    assert all(f.wrong for f in wrong.values())
    assert wrong["key_file"].mend == f"chmod 600 {tmp_path / 'edge.key'}"
    assert "copy it" in wrong["platform_key_file"].mend
    assert "MDC_NONE" in wrong["mapping"].mend
    assert "cannot be written" in wrong["spool"].what


def test_a_spool_with_less_capacity_than_its_quota_is_a_note(tmp_path: Path) -> None:
    *_, spool = check.files(changed(spool=tmp_path, spool_bytes_max=1 << 60))
    assert "spool_bytes_max" in spool.mend


def test_a_port_that_another_plug_may_get_is_a_note_with_the_steady_name(tmp_path: Path) -> None:
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-FTDI").symlink_to("/dev/ttyUSB0")
    found = check.steady(SPO2, tmp_path)
    assert found is not None
    assert (found.mend, found.wrong) == (f'port = "{tmp_path}/by-id/usb-FTDI"', False)
    assert check.steady(source("nonin_df2", SerialLink("/dev/serial/by-id/usb-FTDI")), tmp_path) is None
    assert check.steady(MONITORS, tmp_path) is None


def test_sockets_are_opened_once_and_what_hinders_it_is_named() -> None:
    def opened(config: SourceConfig) -> settings_check.CheckFinding:
        return asyncio.run(check.socket(config))

    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        assert opened(hl7(listen=place)).wrong
        assert not opened(hl7(dial=place)).wrong
    assert not opened(hl7(listen=place)).wrong
    assert "gateway" in opened(hl7(dial=place)).mend
    assert "is it on" in opened(source("mqtt_json", MqttLink(place))).mend
    assert "CA file" in opened(source("mqtt_json", MqttLink(place, tls_ca=Path("/nowhere/ca.pem")))).what
    assert "needs tls_cert" in opened(hl7(listen="0.0.0.0:0")).what
    for beyond in (hl7(dial="192.0.2.1:1"), source("mqtt_json", MqttLink("192.0.2.1:1"))):
        assert "insecure = true" in opened(beyond).mend
    assert "no TLS" in opened(source("nonin_df2", SerialLink("socket://192.0.2.1:1"))).mend
    found = opened(source("nonin_df2", SerialLink("/dev/ttyNONE")))
    assert found.mend == "plug it in, and see ls /dev/serial/by-id"


def test_who_listens_is_found_on_a_machine_without_ipv6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "PROC", tmp_path)
    (tmp_path / "net").mkdir()
    row = "0: 0100007F:0A0F 00000000:0000 0A 0:0 0:0 0 0 0 4711"  # 2575
    (tmp_path / "net" / "tcp").write_text(f"sl local_address ...\n{row}\n")
    process = tmp_path / "99999999"
    (process / "fd").mkdir(parents=True)
    (process / "fd" / "3").symlink_to("socket:[4711]")
    (process / "comm").write_text("mirth\n")
    (process / "cmdline").write_bytes(b"java\0-jar\0")
    assert str(holders.listener_on(2575)) == "mirth (pid 99999999)"
    assert holders.listener_on(2576) is None


def test_how_long_the_certificate_is_good_is_said(tmp_path: Path, ours: Certified) -> None:
    now = datetime.now(UTC)
    config = changed(kafka_cert=ours.cert, kafka_key=ours.key)
    found = check.certificate(config, now)
    assert found is not None
    assert ("in 0 days" in found.what, found.wrong, "vitalwire pki issue" in found.mend) == (True, False, True)
    ended = check.certificate(config, now + timedelta(days=2))
    assert ended is not None
    assert ended.wrong
    renewed = check.certificate(msgspec.structs.replace(config, gateway="https://icu.example"), now)
    assert renewed is not None
    assert "renews it from https://icu.example" in renewed.what
    assert check.certificate(GOOD, now) is None
    (tmp_path / "kafka.crt").write_text("x")
    assert check.certificate(changed(kafka_cert=tmp_path / "kafka.crt"), now) is None  # `files` says what is wrong
