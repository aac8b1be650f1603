"""The edge agent's one configuration file: which devices, where to, and where things lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta


class SourceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every source has."""

    name: Annotated[str, Meta(description="label of this source, e.g. ICU-07 oximeter", min_length=1)]
    driver: Annotated[str, Meta(description="nonin_ascii, nonin_df2, hl7_oru or mqtt_json")]
    time_zone: Annotated[str | None, Meta(description="zone of the device's clock, e.g. Asia/Shanghai")] = None
    device: Annotated[
        str | None,
        Meta(description="serial: site:vendor:serial; otherwise the field that names the device: OBX-18, PV1-3, topic"),
    ] = None


class SerialConfig(SourceConfig, frozen=True, forbid_unknown_fields=True):
    """A serial device, also behind a terminal server."""

    transport: ClassVar = "serial"
    port: Annotated[str, Meta(description="/dev/serial/by-id/..., socket://host:port or rfc2217://host:port")] = ""
    baud: Annotated[int | None, Meta(description="as the driver says when left out")] = None
    parity: Annotated[Literal["N", "E", "O"] | None, Meta(description="as the driver says when left out")] = None
    stop_bits: Annotated[float | None, Meta(description="as the driver says when left out")] = None


class MllpConfig(SourceConfig, frozen=True, forbid_unknown_fields=True):
    """HL7 v2 over MLLP: we listen, or we dial a gateway that sends to whoever connects."""

    transport: ClassVar = "mllp"
    listen: Annotated[str, Meta(description="host:port to listen on")] = "127.0.0.1:2575"
    dial: Annotated[str | None, Meta(description="host:port of a gateway to connect to")] = None
    charset: Annotated[str | None, Meta(description="the senders' charset where MSH-18 is absent or wrong")] = None
    tls_cert: Annotated[Path | None, Meta(description="our certificate, or client certificate (dial)")] = None
    tls_key: Annotated[Path | None, Meta(description="its key, readable by us alone")] = None
    tls_ca: Annotated[Path | None, Meta(description="whose certificates we accept")] = None
    insecure: Annotated[bool, Meta(description="listen beyond loopback without TLS")] = False
    connections_max: Annotated[int, Meta(ge=1, description="senders at one time")] = 500
    idle_s: Annotated[float, Meta(gt=0, description="a sender silent for so long is disconnected")] = 3600.0


class MqttConfig(SourceConfig, frozen=True, forbid_unknown_fields=True):
    """An MQTT broker on the ward."""

    transport: ClassVar = "mqtt"
    broker: Annotated[str, Meta(description="host:port")] = "127.0.0.1:1883"
    topics: Annotated[tuple[str, ...], Meta(description="topic filters")] = ("ward/#",)
    version: Annotated[Literal["5.0", "3.1.1"], Meta(description="of the protocol")] = "5.0"
    client_id: Annotated[str | None, Meta(description="keeps the session; from edge and source when left out")] = None
    username: Annotated[str | None, Meta(description="for the broker")] = None
    password_file: Annotated[Path | None, Meta(description="file with the password, readable by us alone")] = None
    tls_ca: Annotated[Path | None, Meta(description="CA file: TLS when set")] = None
    time_field: Annotated[str | None, Meta(description="JSON field with the moment: ISO 8601 or epoch ms")] = "ts"


AnySource = SerialConfig | MllpConfig | MqttConfig


def place_of(source: AnySource) -> str:
    """Where a source is reached: a serial port, or host:port."""
    if isinstance(source, SerialConfig):
        return source.port
    return source.broker if isinstance(source, MqttConfig) else source.dial or source.listen


class EdgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """vitalwire edge agent: bytes in, sealed batches out."""

    edge: Annotated[str, Meta(description="this edge's id, as `vitalwire edge keygen` printed it")]
    key_file: Annotated[Path, Meta(description="this edge's signing key")] = Path("edge.key")
    platform_key_file: Annotated[Path, Meta(description="the platform's public key, for receipts")] = Path(
        "platform.pub"
    )
    demo: Annotated[bool, Meta(description="accept keys that were made for the demo")] = False
    kafka: Annotated[str, Meta(description="bootstrap servers, host:port, comma between")] = "127.0.0.1:9092"
    kafka_ca: Annotated[Path | None, Meta(description="CA file: TLS to the broker when set")] = None
    spool: Annotated[Path, Meta(description="folder of the spool, on a disk that survives a power cut")] = Path("spool")
    spool_bytes_max: Annotated[int, Meta(ge=1_000_000, description="the spool's quota")] = 8_000_000_000
    receipt_hold_h: Annotated[float, Meta(ge=0, description="batches with a receipt stay this long")] = 24.0
    cut_after_s: Annotated[float, Meta(gt=0, description="a batch is cut when its oldest report waited so long")] = 0.4
    mapping: Annotated[Path | None, Meta(description="the site's mapping file")] = None
    metrics_port: Annotated[int, Meta(ge=0, le=65535, description="metrics and health; 0: none")] = 9463
    serial: Annotated[tuple[SerialConfig, ...], Meta(description="serial devices")] = ()
    mllp: Annotated[tuple[MllpConfig, ...], Meta(description="HL7 senders")] = ()
    mqtt: Annotated[tuple[MqttConfig, ...], Meta(description="MQTT brokers")] = ()
