"""The edge agent's one configuration file: which devices, where to, and where things lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class SerialLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="serial"):
    """A serial port, also behind a terminal server."""

    port: Annotated[str, Meta(description="/dev/serial/by-id/..., socket://host:port or rfc2217://host:port")]
    baud: Annotated[int | None, Meta(description="as the driver says when left out")] = None
    data_bits: Annotated[Literal[5, 6, 7, 8] | None, Meta(description="as the driver says when left out")] = None
    parity: Annotated[Literal["N", "E", "O"] | None, Meta(description="as the driver says when left out")] = None
    stop_bits: Annotated[float | None, Meta(description="as the driver says when left out")] = None
    flow_control: Annotated[
        Literal["none", "rts-cts", "xon-xoff", "dsr-dtr"] | None, Meta(description="as the driver says when left out")
    ] = None
    insecure: Annotated[bool, Meta(description="socket:// and rfc2217:// have no TLS: plaintext beyond loopback")] = (
        False
    )

    @property
    def address(self) -> str:
        """Where it is reached."""
        return self.port


class TcpLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="tcp"):
    """TCP: we listen, or we dial a gateway that sends to whoever connects."""

    listen: Annotated[str, Meta(description="host:port to listen on")] = "127.0.0.1:2575"
    dial: Annotated[str | None, Meta(description="host:port of a gateway to connect to, instead")] = None
    tls_cert: Annotated[Path | None, Meta(description="our certificate, or client certificate (dial)")] = None
    tls_key: Annotated[Path | None, Meta(description="its key, readable by us alone")] = None
    tls_ca: Annotated[Path | None, Meta(description="whose certificates we accept")] = None
    insecure: Annotated[bool, Meta(description="plaintext beyond loopback")] = False
    connections_max: Annotated[int, Meta(ge=1, description="connections at one time")] = 500
    connections_per_address_max: Annotated[int, Meta(ge=1, description="of them from one address")] = 250
    idle_s: Annotated[float, Meta(gt=0, description="a sender silent for so long is disconnected")] = 3600.0

    @property
    def address(self) -> str:
        """Where it is reached."""
        return self.dial or self.listen


class MqttLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="mqtt"):
    """An MQTT broker on the ward."""

    broker: Annotated[str, Meta(description="host:port")] = "127.0.0.1:1883"
    topics: Annotated[tuple[str, ...], Meta(description="topic filters")] = ("ward/#",)
    version: Annotated[Literal["5.0", "3.1.1"], Meta(description="of the protocol")] = "5.0"
    client_id: Annotated[str | None, Meta(description="keeps the session; from edge and source when left out")] = None
    username: Annotated[str | None, Meta(description="for the broker")] = None
    password_file: Annotated[Path | None, Meta(description="file with the password, readable by us alone")] = None
    tls_ca: Annotated[Path | None, Meta(description="CA file: TLS when set")] = None
    tls_cert: Annotated[Path | None, Meta(description="our client certificate")] = None
    tls_key: Annotated[Path | None, Meta(description="its key, readable by us alone")] = None
    insecure: Annotated[bool, Meta(description="plaintext beyond loopback")] = False

    @property
    def address(self) -> str:
        """Where it is reached."""
        return self.broker


class UdpLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="udp"):
    """UDP: we ask one monitor, and each message is a datagram."""

    monitor: Annotated[str, Meta(description="host:port of the monitor")] = "127.0.0.1:24105"
    announcements: Annotated[
        str | None, Meta(description="host:port for the monitor's broadcasts, e.g. 0.0.0.0:24005; none when left out")
    ] = None
    silent_s: Annotated[float, Meta(gt=0, description="a monitor silent for so long is asked anew")] = 30.0
    insecure: Annotated[bool, Meta(description="UDP has no TLS: plaintext beyond loopback")] = False

    @property
    def address(self) -> str:
        """Where it is reached."""
        return self.monitor


Link = SerialLink | TcpLink | MqttLink | UdpLink


class SourceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device, gateway or broker; `settings` are decoded into the driver's own struct."""

    name: Annotated[str, Meta(description="label of this source, e.g. ICU-07 oximeter", min_length=1)]
    driver: Annotated[str, Meta(description="what reads it; `vitalwire edge drivers` lists them")]
    link: Annotated[Link, Meta(description="how its bytes come")]
    settings: Annotated[dict[str, Any], Meta(description="the driver's own")] = {}
    time_zone: Annotated[str | None, Meta(description="zone of the device's clock, e.g. Asia/Shanghai")] = None
    max_delay_s: Annotated[
        Annotated[float, Meta(gt=0, le=3600)] | None,
        Meta(description="how late what its devices say comes at most; then their clocks are corrected"),
    ] = None
    clock_limit_s: Annotated[
        float, Meta(gt=0, description="people are told of a device whose clock is off by more")
    ] = 60.0
    drivers_by_msh9: Annotated[
        dict[str, str], Meta(description="HL7: other drivers for some message types, by MSH-9.1")
    ] = {}
    recorder_h: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="hours of its bytes that the flight recorder keeps; as below when left out"),
    ] = None


class DowntimeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the box itself shows of the last 24 hours: the agent keeps it, `vitalwire edge downtime` shows it."""

    enabled: Annotated[bool, Meta(description="keep it, in the spool's folder; false: there is no downtime view")] = (
        True
    )
    channels_max: Annotated[
        int, Meta(ge=1, le=100_000, description="of all devices; each takes 4 kB of disk, as soon as it speaks")
    ] = 2000
    listen: Annotated[
        str, Meta(description="host:port of the page; beyond loopback it needs the three files below")
    ] = "127.0.0.1:9480"
    certificate: Annotated[Path | None, Meta(description="of the page: TLS; `edge downtime --prepare` makes it")] = None
    certificate_key: Annotated[Path | None, Meta(description="its key, readable by us alone")] = None
    code_file: Annotated[Path | None, Meta(description="file with the code that people type, readable by us alone")] = (
        None
    )


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
    kafka_cert: Annotated[Path | None, Meta(description="our client certificate for the broker")] = None
    kafka_key: Annotated[Path | None, Meta(description="its key, readable by us alone")] = None
    insecure: Annotated[bool, Meta(description="plaintext to a broker beyond loopback")] = False
    gateway: Annotated[
        str | None, Meta(description="https address of the hospital's pages: renews kafka_cert before it ends")
    ] = None
    gateway_ca: Annotated[Path | None, Meta(description="authority of its certificate; else the system's")] = None
    spool: Annotated[Path, Meta(description="folder of the spool, on a disk that survives a power cut")] = Path("spool")
    spool_bytes_max: Annotated[int, Meta(ge=1_000_000, description="the spool's quota")] = 8_000_000_000
    wave_share: Annotated[
        float, Meta(gt=0, le=1, description="of the quota, what waves may fill; beyond it they become a counted gap")
    ] = 0.5
    spool_hold_version: Annotated[
        bool, Meta(description="go on writing the spool's version that is found, until an upgrade is known to be well")
    ] = False
    recorder_h: Annotated[
        float,
        Meta(ge=0, description="hours of each source's bytes, patients' names too, that are kept to look at; 0: none"),
    ] = 0.0
    recorder_share: Annotated[
        float, Meta(gt=0, le=0.5, description="of the quota, what these bytes of all sources may fill together")
    ] = 0.05
    receipt_hold_h: Annotated[float, Meta(ge=0, description="batches with a receipt stay this long")] = 24.0
    cut_after_s: Annotated[float, Meta(gt=0, description="a batch is cut when its oldest report waited so long")] = 0.4
    mapping: Annotated[Path | None, Meta(description="the site's mapping file")] = None
    metrics_port: Annotated[int, Meta(ge=0, le=65535, description="metrics and health; 0: none")] = 9463
    control_socket: Annotated[
        Path | None, Meta(description="for `edge record`; in the spool's folder when left out")
    ] = None
    downtime: Annotated[
        DowntimeConfig, Meta(description="the last 24 hours, when the hospital's side is away: docs/downtime.md")
    ] = DowntimeConfig()
    source: Annotated[tuple[SourceConfig, ...], Meta(description="devices, gateways and brokers")] = ()
