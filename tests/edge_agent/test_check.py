"""What is wrong with a configuration, before an agent finds out."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent import check, holders
from edge_agent.config import AnySource, EdgeConfig, MllpConfig, MqttConfig, SerialConfig
from edge_agent.process import sources
from runtime import keys

EDGE = "3f2a8c1e-0000-4000-8000-000000000001"
GOOD = EdgeConfig(
    EDGE,
    serial=(SerialConfig("spo2", "nonin_df2", port="/dev/ttyUSB0"),),
    mllp=(MllpConfig("monitors", "hl7_oru", "Europe/Berlin"),),
    mqtt=(MqttConfig("ward", "mqtt_json", "Asia/Shanghai"),),
)


def changed(**fields: Any) -> EdgeConfig:
    return msgspec.structs.replace(GOOD, **fields)


def serial(**fields: Any) -> tuple[SerialConfig, ...]:
    return (msgspec.structs.replace(GOOD.serial[0], **fields),)


def test_a_good_configuration_has_nothing_wrong() -> None:
    assert list(check.settings(GOOD)) == []
    assert [check.time_zone(source) for source in sources(GOOD)] == [None] * 3


@pytest.mark.parametrize(
    ("config", "where", "what", "mend"),
    [
        (changed(edge="EDGE"), "edge", "is no edge id", "vitalwire edge keygen"),
        (changed(serial=GOOD.serial * 2), "spo2", "two sources have this name", "its own"),
        (changed(serial=serial(time_zone="Berlin")), "spo2", "'Berlin' is no time zone", "Europe/Berlin"),
        (changed(mllp=(MllpConfig("hl7", "hl7_oru", listen="2575x"),)), "hl7", "'2575x' is no address", "host:port"),
    ],
)  # fmt: skip
def test_what_an_agent_cannot_start_with_is_found_without_a_socket(
    config: EdgeConfig, where: str, what: str, mend: str
) -> None:
    (found,) = check.settings(config)
    assert (found.where, found.wrong) == (where, True)
    assert what in found.what
    assert mend in found.mend


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        (MllpConfig("a", "hl7_oru"), True),
        (MqttConfig("a", "mqtt_json"), True),
        (MqttConfig("a", "mqtt_json", time_field=None), False),
        (SerialConfig("a", "nonin_df2"), False),
    ],
)
def test_a_source_whose_times_may_lack_their_zone_is_refused_without_one(source: AnySource, refused: bool) -> None:
    found = check.time_zone(source)
    assert (found is not None and found.wrong) == refused


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


def test_a_spool_with_less_room_than_its_quota_is_a_note(tmp_path: Path) -> None:
    *_, spool = check.files(changed(spool=tmp_path, spool_bytes_max=1 << 60))
    assert "spool_bytes_max" in spool.mend


def test_a_port_that_another_plug_may_get_is_a_note_with_the_steady_name(tmp_path: Path) -> None:
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-FTDI").symlink_to("/dev/ttyUSB0")
    found = check.steady(GOOD.serial[0], tmp_path)
    assert found is not None
    assert (found.mend, found.wrong) == (f'port = "{tmp_path}/by-id/usb-FTDI"', False)
    assert check.steady(SerialConfig("a", "nonin_df2", port="/dev/serial/by-id/usb-FTDI"), tmp_path) is None
    assert check.steady(GOOD.mllp[0], tmp_path) is None


def test_sockets_are_opened_once_and_what_hinders_it_is_named() -> None:
    def opened(source: AnySource) -> check.Finding:
        return asyncio.run(check.socket(source))

    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        assert opened(MllpConfig("a", "hl7_oru", listen=place)).wrong
        assert not opened(MllpConfig("a", "hl7_oru", dial=place)).wrong
    assert not opened(MllpConfig("a", "hl7_oru", listen=place)).wrong
    assert "gateway" in opened(MllpConfig("a", "hl7_oru", dial=place)).mend
    assert "broker" in opened(MqttConfig("a", "mqtt_json", broker=place)).mend
    tls = MqttConfig("a", "mqtt_json", broker=place, tls_ca=Path("/nowhere/ca.pem"))
    assert "CA file" in opened(tls).what
    assert "needs tls_cert" in opened(MllpConfig("a", "hl7_oru", listen="0.0.0.0:0")).what
    assert (
        opened(SerialConfig("a", "nonin_df2", port="/dev/ttyNONE")).mend == "plug it in, and see ls /dev/serial/by-id"
    )


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
