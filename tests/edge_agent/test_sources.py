"""What is decided of a source before it is opened, and its configuration file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as replace_config

from adapters.devices.hl7_adt import AdtSettings
from adapters.devices.registry import DRIVERS
from edge_agent import sources
from edge_agent.config import EdgeConfig, MqttLink, SerialLink, SourceConfig, TcpLink, UdpLink
from edge_agent.sources import load_edge, plan_source, sample_edge, site_mappings
from runtime import config as configuration
from runtime.errors import UserError
from schemas.errors import ConfigError

EDGE = 'edge = "3f2a8c1e-0000-4000-8000-000000000001"\n'
SERIAL = '[[source]]\nname = "bed 7"\ndriver = "nonin_df2"\nlink = {type = "serial", port = "/dev/x"}\n'
HL7 = '[[source]]\nname = "icu"\ndriver = "hl7_oru"\n[source.link]\ntype = "tcp"\n'


def hl7(**more: Any) -> SourceConfig:
    return SourceConfig("icu", "hl7_oru", TcpLink(), **more)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (SourceConfig("a", "nonin_df2", SerialLink("spy://x")), "a: spy:// is not supported"),
        (SourceConfig("a", "hl7_oru", SerialLink("/dev/x")), "does not speak over serial: choose nonin_ascii"),
        (SourceConfig("a", "nope", TcpLink()), "driver 'nope' does not speak over tcp: choose"),
        (SourceConfig("a", "mqtt_json", TcpLink()), "driver 'mqtt_json' does not speak over tcp"),
        (SourceConfig("a", "hl7_oru", TcpLink("2575x")), "a: '2575x' is no address: write host:port"),
        (SourceConfig("a", "hl7_oru", TcpLink(dial="x")), "a: 'x' is no address"),
        (SourceConfig("a", "hl7_oru", UdpLink()), "driver 'hl7_oru' does not speak over udp"),
        (SourceConfig("a", "intellivue", TcpLink()), "driver 'intellivue' does not speak over tcp"),
        (SourceConfig("a", "intellivue", UdpLink("monitor")), "a: 'monitor' is no address"),
        (SourceConfig("a", "intellivue", UdpLink(announcements="24005x")), "a: '24005x' is no address"),
        (SourceConfig("a", "mqtt_json", MqttLink(topics=("ward/#/x",))), "a: 'ward/#/x' is no topic filter"),
        (hl7(time_zone="Europe"), "icu: no time zone 'Europe': write one such as"),
        (hl7(time_zone="Mars/Base"), "icu: no time zone 'Mars/Base'"),
        (hl7(time_zone="../etc/passwd"), "icu: no time zone"),
        (hl7(settings={"devise": "PV1-3"}), "[source.settings]: unknown key 'devise': did you mean 'device'?"),
        (hl7(settings={"answers": 1}), "[source.settings]: answers: 1 is none of 'accept'"),
        (hl7(drivers_by_msh9={"ADT": "nope"}), "driver 'nope' does not speak over tcp"),
        (hl7(drivers_by_msh9={"ADT": "mqtt_json"}), "driver 'mqtt_json' does not speak over tcp"),
    ],
)
def test_what_is_wrong_with_a_source_is_said_before_anything_is_opened(config: SourceConfig, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        plan_source(config, {})
    assert words in str(raised.value)


def test_a_driver_is_told_what_the_source_is_configured_with(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(
        '[[mapping]]\nsender = "icu"\ncode = "1"\nmetric = "MDC_ECG_HEART_RATE"\n'
        '[[mapping]]\nsender = "other"\ncode = "2"\nmetric = "MDC_ECG_HEART_RATE"\n'
    )
    sites = site_mappings(tmp_path / "site.toml")
    plan = plan_source(hl7(settings={"device": "MSH-3"}, time_zone="Asia/Shanghai"), sites)
    source, other = plan.source("10.0.0.7"), plan.source("10.0.0.8")
    assert (source.name, source.peer, str(source.time_zone)) == ("icu", "10.0.0.7", "Asia/Shanghai")
    assert source.settings.device == "MSH-3"
    assert source.site is sites["icu"]
    source.memory["a"] = source.lasting["b"] = 1
    source.counts["c"] += 1
    assert (other.memory, other.lasting, other.counts) == ({}, {"b": 1}, {"c": 1})
    assert plan.counts == {"c": 1}


def test_a_driver_of_some_message_types_has_its_own_settings() -> None:
    plan = plan_source(hl7(drivers_by_msh9={"ADT": "hl7_oru", "OUL": "astm"}, settings={"device": "MSH-3"}), {})
    source = plan.source("x")
    driver, raised = plan.routed(source, "ADT")
    assert (driver.name, raised.settings) == ("hl7_oru", source.settings)
    driver, raised = plan.routed(source, "OUL")
    assert (driver.name, type(raised.settings).__name__) == ("astm", "AstmSettings")
    assert raised.memory is source.memory
    assert plan.routed(source, "ORU") == (plan.driver, source)


def test_a_driver_of_some_message_types_knows_what_is_said_of_the_sender() -> None:
    of_sender = {"charset": "GB 18030", "processing_ids_live": ["P", "T"]}
    plan = plan_source(hl7(drivers_by_msh9={"ADT": "hl7_adt"}, settings={"device": "MSH-3", **of_sender}), {})
    _, raised = plan.routed(plan.source("x"), "ADT")
    assert raised.settings == AdtSettings(charset="GB 18030", processing_ids_live=("P", "T"))


def test_the_silence_of_an_admission_office_says_nothing() -> None:
    assert plan_source(hl7(drivers_by_msh9={"ADT": "hl7_adt"}), {}).speaks_regularly
    assert plan_source(replace_config(hl7(drivers_by_msh9={"ORU": "hl7_oru"}), driver="hl7_adt"), {}).speaks_regularly
    assert not plan_source(replace_config(hl7(), driver="hl7_adt"), {}).speaks_regularly


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), (b"\xff", "it is not UTF-8"), (b"[", "site.toml")]
)
def test_a_mapping_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "site.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        site_mappings(tmp_path / "site.toml")


# --- the file ---------------------------------------------------------------------------------------------------------


def load(tmp_path: Path, text: str) -> EdgeConfig:
    (tmp_path / "edge.toml").write_text(text, "utf-8")
    return load_edge(tmp_path / "edge.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SERIAL.replace('"serial"', '"serail"'),
         "line 5: type: 'serail' is none of 'serial', 'tcp', 'mqtt', 'udp': did you mean 'serial'?"),
        (SERIAL.replace('type = "serial", ', ""),
         "line 5: [source.link] needs the key 'type', one of 'serial', 'tcp', 'mqtt'"),
        (SERIAL.replace("port", "prot"), "line 5: unknown key 'prot' in [source.link]: did you mean 'port'?"),
        (SERIAL + "baud = 9600\n", "line 6: unknown key 'baud' in [[source]]: it belongs in [source.link]"),
        (SERIAL + "kafka = 'x'\n", "line 6: unknown key 'kafka' in [[source]]: it belongs above the first [table]"),
        (HL7 + "listen = 2575\n", "line 7: listen: expected text in quotes, got a whole number"),
        (HL7 + "idle_s = 0\n", "line 7: idle_s: expected a number > 0.0"),
        (HL7 + "[source.settings]\ndevise = 'x'\n",
         "line 8: unknown key 'devise' in [source.settings]: did you mean 'device'?"),
        (HL7 + "[source.settings]\nanswers = 'bth'\n",
         "line 8: answers: 'bth' is none of 'accept', 'application', 'both': did you mean 'both'?"),
        (HL7 + "[source.settings]\ndevice = 'PV1-3'\ndialect = 'no'\n", "line 9: dialect = 'no' is none of plain"),
        (SERIAL + HL7 + "[source.settings]\n# no\ncharset = 7\n", "line 13: charset: expected text in quotes"),
        (HL7 + "settings = 1\n", "line 7: unknown key 'settings' in [source.link]"),
        ("[[serial]]\nname = 'x'\n", "line 2: unknown key 'serial': known are edge,"),
        (SERIAL.replace("name", "nam"), "line 3: unknown key 'nam' in [[source]]: did you mean 'name'?"),
        ("[source]\n", "line 2: source: write it with two brackets, [[...]]: there may be many"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        load(tmp_path, EDGE + text)
    assert str(raised.value).startswith(f"{tmp_path}/edge.toml: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_links_and_settings_are_decoded(tmp_path: Path) -> None:
    config = load(tmp_path, EDGE + SERIAL + HL7 + 'tls_ca = "ca.pem"\n[source.settings]\ndevice = "MSH-3"\n')
    serial, monitors = config.source
    assert serial.link == SerialLink("/dev/x")
    assert monitors.link == TcpLink(tls_ca=tmp_path / "ca.pem")
    assert monitors.settings == {"device": "MSH-3"}
    assert plan_source(monitors, {}).settings.device == "MSH-3"  # type: ignore[attr-defined]


class Needy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: str


def test_a_source_without_settings_whose_driver_needs_some_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needy = {d.name: replace(d, settings=Needy) for d in DRIVERS}
    monkeypatch.setattr(sources, "DRIVER_BY_NAME", needy)
    with pytest.raises(UserError, match=r"line 2: \[source.settings\] needs the key 'device'"):
        load(tmp_path, EDGE + SERIAL)
    with pytest.raises(ConfigError, match=r"cannot be one of drivers_by_msh9: .*needs the key 'device'"):
        sources._route(hl7(), DRIVERS[0], "hl7_oru")


def all_in_use(text: str) -> str:
    return re.sub(r"(?m)^#(?=[\[\w])", "", text)


def test_the_sample_with_all_comments_taken_away_is_a_configuration_of_every_driver() -> None:
    config = configuration.decode(all_in_use(sample_edge()), EdgeConfig, "sample")
    assert {source.driver for source in config.source} == {driver.name for driver in DRIVERS}
    for source in config.source:
        plan_source(source, {})
    assert configuration.decode(sample_edge(), EdgeConfig, "sample").source == ()


def test_every_key_of_every_link_and_driver_is_in_the_sample_with_a_comment() -> None:
    text = sample_edge()
    structs: list[type[msgspec.Struct]] = [EdgeConfig, SourceConfig, SerialLink, TcpLink, MqttLink, UdpLink]
    structs += [driver.settings for driver in DRIVERS]
    for struct in structs:
        for field in msgspec.structs.fields(struct):
            assert re.search(
                rf"(?m)^#?{field.encode_name} = .+  # \S|^# \S.*\n#\[+([\w.]+\.)?{field.encode_name}\]+$", text
            ), f"{struct.__name__}.{field.encode_name}"
