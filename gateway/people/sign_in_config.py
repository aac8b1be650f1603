"""The gateway's one configuration file: where it listens, under which name, who signs people in, how long they stay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.access.words import Role
from gateway.people.lifetimes import ABSOLUTE_H_BY_ROLE, IDLE_MIN_BY_ROLE, Lifetimes
from gateway.people.oidc import Provider
from gateway.people.public_origin import PublicOrigin, parse_public_origin
from gateway.people.sign_in_settings import SignInSettings
from runtime.config import read_secret
from runtime.errors import UserError
from runtime.pki import Pki
from runtime.tls import check_client, is_loopback

ABSOLUTE_H_MAX = 24  # nobody is in for longer than a day
Minutes = Annotated[int, Meta(ge=1, le=24 * 60)]
Hours = Annotated[int, Meta(ge=1, le=ABSOLUTE_H_MAX)]


class ProviderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hospital's OpenID provider."""

    issuer: Annotated[str, Meta(description="as it names itself, to the letter", examples=["https://id.example/icu"])]
    client_id: Annotated[str, Meta(min_length=1, description="as it knows this gateway", examples=["vitalwire"])]
    client_secret_file: Annotated[
        Path, Meta(description="for its token endpoint; mode 600", examples=["client.secret"])
    ]
    scopes: Annotated[tuple[str, ...], Meta(description="asked for at sign-in")] = ("openid", "profile")
    staff_claim: Annotated[str, Meta(min_length=1, description="the claim that holds the staff number (工号)")] = (
        "preferred_username"
    )
    tls_ca: Annotated[
        Path | None, Meta(description="the CA of its certificate; else the system's", examples=["hospital-ca.crt"])
    ] = None
    acr: Annotated[tuple[str, ...], Meta(description="a sign-in must be of one of these classes; none: of any")] = ()
    amr: Annotated[tuple[str, ...], Meta(description="a sign-in must be by all of these methods (RFC 8176)")] = ()
    max_age_s: Annotated[
        int, Meta(ge=0, le=24 * 3600, description="proved there so long ago at most; 0: the provider asks each time")
    ] = 0

    def __post_init__(self) -> None:
        """Raises ValueError without the scope by which a provider gives an ID token."""
        if "openid" not in self.scopes:
            raise ValueError("scopes must have 'openid': without it there is no ID token")


class SessionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long people stay in, by role; a role that is not named has 30 minutes and 12 hours."""

    idle_min: Annotated[dict[str, Minutes], Meta(description="minutes without a touch")] = msgspec.field(
        default_factory=lambda: {str(role): minutes for role, minutes in IDLE_MIN_BY_ROLE.items()}
    )
    absolute_h: Annotated[dict[str, Hours], Meta(description="hours, at most")] = msgspec.field(
        default_factory=lambda: {str(role): hours for role, hours in ABSOLUTE_H_BY_ROLE.items()}
    )

    def __post_init__(self) -> None:
        """Raises ValueError for what is no role."""
        for name in (*self.idle_min, *self.absolute_h):
            if name not in [str(role) for role in Role]:
                raise ValueError(f"{name!r} is no role: {', '.join(Role)}")

    def lifetimes(self) -> Lifetimes:
        """What is not named keeps its default."""
        return Lifetimes(
            IDLE_MIN_BY_ROLE | {Role(name): minutes for name, minutes in self.idle_min.items()},
            ABSOLUTE_H_BY_ROLE | {Role(name): hours for name, hours in self.absolute_h.items()},
        )


class KeysConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Security keys, and the workstations that they open: docs/security-keys.md."""

    platform_keys: Annotated[
        bool, Meta(description="also keys built into a machine; only where every machine is one person's")
    ] = False
    lock_after_min: Annotated[Minutes, Meta(description="a workstation that nobody touches locks itself")] = 5


class MachinesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Programs that ask the API: docs/machines.md."""

    token_key: Annotated[
        Path | None,
        Meta(
            description="signs their tokens, mode 600, made where it is absent; without it tokens end at a restart",
            examples=["token.key"],
        ),
    ] = None


class PkiConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hospital's own authority, which issues to boxes their certificates for Kafka: docs/enrolment.md."""

    folder: Annotated[Path, Meta(description="as `vitalwire pki init` made it", examples=["pki"])]
    passphrase_file: Annotated[Path, Meta(description="opens its key; mode 600", examples=["pki.passphrase"])]


class GatewayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pages and the API: vitalwire page --config gateway.toml."""

    database: Annotated[
        str, Meta(description="the store's conninfo", examples=["postgresql://vw_page@db.example/vitalwire"])
    ]
    listen: Annotated[str, Meta(description="host:port; beyond loopback with TLS alone")] = "127.0.0.1:8420"
    public_origin: Annotated[
        str,
        Meta(
            description="https and the DNS name that browsers use; security keys are enrolled for it, for ever",
            examples=["https://icu.hospital.example"],
        ),
    ] = ""
    tls_cert: Annotated[Path | None, Meta(description="of this name, with its chain", examples=["gateway.crt"])] = None
    tls_key: Annotated[Path | None, Meta(description="mode 600", examples=["gateway.key"])] = None
    metrics_port: Annotated[int, Meta(ge=0, le=65535, description="on loopback; 0: none")] = 0
    insecure: Annotated[bool, Meta(description="allow plaintext to a database beyond loopback")] = False
    sheet_style: Annotated[str, Meta(description="for printed sheets, as `vitalwire sheet` takes it")] = "standard"
    look_journal: Annotated[Path, Meta(description="keeps who looked at what while the database is away, mode 600")] = (
        Path("looks.journal")
    )
    provider: Annotated[ProviderConfig | None, Meta(description="who signs people in; absent: nobody")] = None
    session: Annotated[SessionConfig, Meta(description="how long people stay in")] = msgspec.field(
        default_factory=SessionConfig
    )
    keys: Annotated[KeysConfig, Meta(description="security keys and workstations")] = KeysConfig()
    machines: Annotated[MachinesConfig, Meta(description="programs that ask the API")] = MachinesConfig()
    pki: Annotated[
        PkiConfig | None, Meta(description="issues certificates to boxes; absent: a person does, by `vitalwire pki`")
    ] = None


def address(config: GatewayConfig) -> tuple[str, int]:
    """Where it listens. Raises UserError for what is no address, and beyond loopback without TLS and a name."""
    host, colon, port = config.listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise UserError(f"listen = {config.listen!r}: write host:port, as 0.0.0.0:443")
    if config.tls_cert is None and not is_loopback(host):
        raise UserError(f"listen = {config.listen!r} is beyond loopback: give tls_cert, tls_key and public_origin")
    if config.tls_cert is not None and not config.public_origin:
        raise UserError("tls_cert stands without public_origin: name the https address that browsers use")
    return host, int(port)


def sign_in_settings(config: GatewayConfig) -> SignInSettings:
    """What the routes take. Raises UserError."""
    public_origin = parse_public_origin(config.public_origin) if config.public_origin else PublicOrigin()
    if public_origin.is_https and (config.tls_cert is None or config.tls_key is None):
        raise UserError("public_origin is https: tls_cert and tls_key must be there too")
    provider = _provider(config.provider) if config.provider is not None else None
    return SignInSettings(
        public_origin, config.session.lifetimes(), provider, platform_keys=config.keys.platform_keys,
        lock_after_s=config.keys.lock_after_min * 60, token_key=config.machines.token_key,
        pki=Pki.open(config.pki.folder, config.pki.passphrase_file) if config.pki is not None else None,
    )  # fmt: skip


def _provider(config: ProviderConfig) -> Provider:
    scheme, _, rest = config.issuer.partition("://")
    if scheme not in ("https", "http") or not rest or "?" in rest or "#" in rest:
        raise UserError(f"issuer = {config.issuer!r}: write the https address by which the provider names itself")
    host = rest.partition("/")[0].rpartition("@")[2]
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host
    check_client(name, tls=scheme == "https", insecure=False, mend="the issuer must be https")
    secret = read_secret(config.client_secret_file)
    if not secret:
        raise UserError(f"{config.client_secret_file} is empty: the provider's client secret stands in it")
    return Provider(
        config.issuer, config.client_id, secret, config.scopes, config.staff_claim, config.tls_ca, config.acr,
        config.amr, config.max_age_s,
    )  # fmt: skip
