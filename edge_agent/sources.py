"""What is decided of a source before it is opened: its driver, the driver's settings, its mapping and time zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import DeviceDriver, Source
from adapters.formats.hl7v2 import header
from adapters.session import Session
from adapters.site import SiteMapping, read_site
from edge_agent.config import EdgeConfig, Link, MqttLink, SerialLink, SourceConfig, TcpLink, UdpLink
from edge_agent.links.address import split_address
from edge_agent.links.mqtt import topic_problem
from edge_agent.links.owner import LinkError
from edge_agent.links.serial import url_problem
from runtime import config as configuration
from runtime.errors import UserError
from schemas.errors import ConfigError
from schemas.report import Lane

_OF_THE_SENDER = {"charset", "processing_ids_live"}
Routes = Mapping[str, tuple[DeviceDriver[Any], msgspec.Struct]]


@dataclass(frozen=True)
class SourcePlan:
    """A source as configured, checked; nothing is opened yet.

    `routes` are the drivers for some message types, with their settings, by MSH-9.1.
    """

    config: SourceConfig
    driver: DeviceDriver[Any]
    settings: msgspec.Struct
    site: SiteMapping = field(default_factory=SiteMapping)
    time_zone: ZoneInfo | None = None
    routes: Routes = field(default_factory=dict)
    lasting: dict[str, Any] = field(default_factory=dict)  # of all connections, as long as the agent
    counts: Counter[str] = field(default_factory=Counter)  # by the drivers' and sessions' own names

    @property
    def name(self) -> str:
        """The source's name."""
        return self.config.name

    @property
    def link(self) -> Link:
        """How its bytes come."""
        return self.config.link

    @property
    def speaks_regularly(self) -> bool:
        """Whether its silence says something; an admission office speaks when somebody comes or goes."""
        return self.driver.speaks_regularly or any(other.speaks_regularly for other, _ in self.routes.values())

    def source(self, peer: str) -> Source[Any]:
        """What the driver is told of where frames come from: one for each connection or topic."""
        return Source(
            self.name, self.settings, self.site, self.time_zone, peer, lasting=self.lasting, counts=self.counts
        )

    def session(self) -> Session:
        """The protocol of one connection, at its beginning; raises LinkError for a driver whose messages come whole."""
        if self.driver.session is None:
            raise LinkError(f"driver {self.driver.name} has no session for {link_type(self.link)}")
        return self.driver.session(self.settings)

    def routed(self, source: Source[Any], message_type: str) -> tuple[DeviceDriver[Any], Source[Any]]:
        """The driver for an HL7 message of this type, and what it is told; what is remembered is shared."""
        if message_type not in self.routes:
            return self.driver, source
        driver, settings = self.routes[message_type]
        return driver, replace(source, settings=settings)

    def rejected_lane(self, frame: bytes) -> Lane:
        """Where a frame goes that could not be read: on the lane ADT wherever it may be of an admission office."""
        stated = message_type(frame)
        if stated == "ADT":
            return Lane.ADT
        drivers = [self.driver] if stated else [self.driver, *(other for other, _ in self.routes.values())]
        return Lane.ADT if any(driver.rejected_lane is Lane.ADT for driver in drivers) else Lane.LIVE


def plan_source(config: SourceConfig, sites: Mapping[str, SiteMapping]) -> SourcePlan:
    """Decide all of a source that its configuration says; raises ConfigError with the remedy."""
    driver = driver_named(config, config.driver)
    problem = address_problem(config.link)
    if problem:
        raise ConfigError(f"{config.name}: {problem}")
    try:
        zone = ZoneInfo(config.time_zone) if config.time_zone else None
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        zone = None
    except KeyError:
        zone = None
    if config.time_zone and zone is None:
        raise ConfigError(f"{config.name}: no time zone {config.time_zone!r}: write one such as Asia/Shanghai")
    return SourcePlan(
        config=config,
        driver=driver,
        settings=settings_of(config, driver),
        site=sites.get(config.name) or sites.get("") or SiteMapping(),
        time_zone=zone,
        routes={name: _route(config, driver, other) for name, other in config.drivers_by_msh9.items()},
    )


def driver_named(config: SourceConfig, name: str) -> DeviceDriver[Any]:
    """The driver, if it can be reached over this source's link; raises ConfigError."""
    link = link_type(config.link)
    driver = DRIVER_BY_NAME.get(name)
    if driver is None or link not in driver.links:
        names = ", ".join(d.name for d in DRIVER_BY_NAME.values() if link in d.links)
        raise ConfigError(f"{config.name}: driver {name!r} does not speak over {link}: choose {names}")
    return driver


def link_type(link: Link) -> str:
    """The word for a link's kind: serial, tcp, mqtt, udp."""
    return str(link.__struct_config__.tag)


def settings_of(config: SourceConfig, driver: DeviceDriver[Any]) -> msgspec.Struct:
    """`[source.settings]` as its driver understands it; raises ConfigError."""
    try:
        settings: msgspec.Struct = configuration.convert(config.settings, driver.settings)
    except UserError as error:
        raise ConfigError(f"{config.name}: [source.settings]: {error}") from None
    return settings


def _route(
    config: SourceConfig, driver: DeviceDriver[Any], name: str
) -> tuple[DeviceDriver[Any], msgspec.Struct]:  # fmt: skip
    """Another driver of the same source: its settings are the source's where they are the same struct.

    Else they are its defaults, and what the source says of its sender, whatever the message (`_OF_THE_SENDER`).
    """
    other = driver_named(config, name)
    if other.settings is driver.settings:
        return other, settings_of(config, driver)
    try:
        known = {field.encode_name for field in msgspec.structs.fields(other.settings)} & _OF_THE_SENDER
        shared = {name: value for name, value in config.settings.items() if name in known}
        return other, configuration.convert(shared, other.settings)
    except UserError as error:
        raise ConfigError(f"{config.name}: driver {name!r} cannot be one of drivers_by_msh9: {error}") from None


def message_type(frame: bytes) -> str:
    """MSH-9.1 of an HL7 message, "" where there is none."""
    head = header(frame)
    if head is None or len(head.fields) < 10:
        return ""
    component = head.fields[2][:1]
    message = head.fields[9]
    return (message.split(component)[0] if component else message).strip().upper()


def address_problem(link: Link) -> str:
    """Why a link's address cannot be used, in plain words; "" where it can."""
    match link:
        case SerialLink():
            return url_problem(link.port)
        case TcpLink() | MqttLink() | UdpLink():
            stated = (link.address, link.announcements) if isinstance(link, UdpLink) else (link.address,)
            for address in stated:
                try:
                    if address is not None:
                        split_address(address)
                except ValueError:
                    return f"{address!r} is no address: write host:port"
    if isinstance(link, MqttLink):
        return next(filter(None, map(topic_problem, link.topics)), "")
    return ""


def site_mappings(path: Path | None) -> dict[str, SiteMapping]:
    """The site's mapping file by source; raises ConfigError."""
    if path is None:
        return {}
    try:
        return read_site(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"mapping file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"mapping file {path} cannot be read: it is not UTF-8") from None


# --- the file ---------------------------------------------------------------------------------------------------------


def load_edge(path: Path) -> EdgeConfig:
    """The agent's configuration; the drivers' settings in it are checked too, with their lines. Raises UserError."""
    text = configuration.read_text(path)
    config = configuration.decode(text, EdgeConfig, str(path), path.parent)
    for number, source in enumerate(config.source):
        driver = DRIVER_BY_NAME.get(source.driver)
        if driver is not None:  # an unknown one is said with the source's name
            configuration.decode_table(text, ("source", number, "settings"), driver.settings, str(path), path.parent)
    return config


_EXAMPLES: dict[str, dict[str, Any]] = {
    "serial": {
        "port": "/dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0", "baud": 9600, "data_bits": 8, "stop_bits": 1,
    },
    "tcp": {"dial": "10.0.0.7:2575"},
    "udp": {"announcements": "0.0.0.0:24005"},
}  # fmt: skip


def sample_edge() -> str:
    """The agent's configuration file with every key: a [[source]] a driver, under the first link that carries it.

    All are left out; the first of each link shows every key of that link.
    """
    tables: list[str] = []
    for link in (SerialLink, TcpLink, MqttLink, UdpLink):
        tag = str(link.__struct_config__.tag)
        drivers = [driver for driver in DRIVER_BY_NAME.values() if driver.links[0] == tag]
        for driver in drivers:
            tables += _sample_source(link, driver, whole=driver is drivers[0])
    return configuration.sample(EdgeConfig, str(EdgeConfig.__doc__), {"source": tables})


def _sample_source(link: type[msgspec.Struct], driver: DeviceDriver[Any], *, whole: bool) -> list[str]:
    """A [[source]] of this link and driver; with `whole` every key of the link."""
    tag = str(link.__struct_config__.tag)
    shown = {"name": f"{driver.name} over {tag}", "driver": driver.name, "time_zone": "Asia/Shanghai",
             "drivers_by_msh9": {"ADT": "hl7_adt"}}  # fmt: skip
    examples = _EXAMPLES.get(tag, {})
    if whole:
        link_lines = configuration.sample_table(link, "[source.link]", str(link.__doc__), examples, {})
    else:
        link_lines = ["", f"# its other keys are those of the first {tag} link above", "#[source.link]"]
        link_lines.append(f'#type = "{tag}"')
        required = [field.name for field in msgspec.structs.fields(link) if field.required]
        link_lines += [f"#{name} = {configuration.to_toml(examples[name])}" for name in required]
    about = f"of the driver {driver.name}"
    settings = configuration.sample_table(driver.settings, "[source.settings]", about, {}, {})
    inner = {"link": link_lines, "settings": settings}
    if tag != "tcp":  # whose messages have no MSH-9
        inner["drivers_by_msh9"] = []
    return configuration.sample_table(SourceConfig, "[[source]]", driver.title, shown, inner)
