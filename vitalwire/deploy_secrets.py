"""`vitalwire deploy secrets`: every password, key and certificate that `deploy/compose.yaml` needs, made once.

Each file is readable by the user of one service alone. What is there already stays: what is missing is made, so that a
certificate is renewed by deleting it. Only what follows from other files is written again when they changed.
"""

from __future__ import annotations

import os
import secrets as random
import socket
import uuid
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import pbkdf2_hmac, sha256
from pathlib import Path
from typing import Annotated

import typer

from runtime import keys
from runtime.config import read_secret
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from runtime.pki import Pki
from runtime.whole_file import replace_file
from vitalwire.deploy_certificates import (
    Authority,
    authority_cert,
    check_host,
    client_cert,
    missing_hosts,
    new_key,
    read_cert,
    read_key,
    server_cert,
    utc_now,
)
from vitalwire.deploy_settings import edge_settings, gateway_settings, processors_settings
from vitalwire.output import as_json, console, table
from vitalwire.record import Json

app = typer.Typer(help="The hospital's side in containers.", no_args_is_help=True)
# Who runs a service inside its container: as their images and deploy/Dockerfile have it, and `user:` of compose.yaml.
USER_IDS = {"root": 0, "vitalwire": 64123, "kafka": 1000, "timescaledb": 70, "mosquitto": 1883, "grafana": 472}
PUBLIC = {"ca.crt", "platform.pub", "edge.pub"}  # read by several, and no secret
SERVERS = {"kafka": "kafka", "database": "timescaledb", "mosquitto": "mosquitto", "gateway": "vitalwire"}
CLIENTS = ("processors", "edge-kafka")
ENV_FILE = "vitalwire.env"
_MQTT_ITERATIONS = 10_000


@dataclass(frozen=True)
class Made:
    """A file and what became of it: "made", "kept", or "written again" where it follows from others that changed."""

    file: str
    what: str
    user: str
    state: str
    ends: datetime | None = None  # of a certificate


@dataclass
class Folder:
    """The folder while it is filled."""

    path: Path
    hosts: Sequence[str]
    now: datetime
    made: list[Made] = field(default_factory=list)

    @property
    def authority(self) -> Authority:
        """That signs the others."""
        return Authority(read_key(self.path / "ca.key"), read_cert(self.path / "ca.crt"))

    def secret(self, name: str) -> str:
        """What a file holds."""
        return read_secret(self.path / name)

    def keep(self, name: str, what: str, user: str, make: Callable[[], bytes]) -> None:
        """Make a file unless it is there."""
        path = self.path / name
        state = "kept" if path.exists() else "made"
        if state == "made":
            replace_file(path, make(), _mode(name))
        self.note(name, what, user, state)

    def derive(self, name: str, what: str, user: str, content: bytes) -> None:
        """Write a file that follows from others, where it does not say so already."""
        path = self.path / name
        state = "kept" if path.exists() else "made"
        if state == "made" or path.read_bytes() != content:
            state = state if state == "made" else "written again"
            replace_file(path, content, _mode(name))
        self.note(name, what, user, state)

    def note(self, name: str, what: str, user: str, state: str) -> None:
        """Give it to its user, and say what became of it."""
        path = self.path / name
        os.chmod(path, _mode(name))
        os.chown(path, USER_IDS[user], USER_IDS[user])
        ends = read_cert(path).not_valid_after_utc if name.endswith(".crt") else None
        self.made.append(Made(name, what, user, state, ends))


@app.callback()
def _deploy() -> None:
    """Nothing that holds for all commands."""


@app.command("secrets")
def deploy_secrets(
    into: Annotated[Path, typer.Option(help="folder; compose.yaml reads `secrets` beside it")] = Path("secrets"),
    hosts: Annotated[
        str,
        typer.Option(help="names and addresses of this machine for boxes and browsers, comma between; first: its own"),
    ] = "",
    json: Json = False,
) -> None:
    """Make all secrets of deploy/compose.yaml: vitalwire deploy secrets --into deploy/secrets --hosts icu.example

    Run it as root: each file is its service's alone. Nothing is overwritten; delete a certificate to renew it.
    """
    made = make_secrets(into, [host.strip() for host in hosts.split(",") if host.strip()], utc_now())
    ended = [each.file for each in made if each.ends is not None and each.ends <= utc_now()]
    if json:
        as_json([vars(each) for each in made])
    else:
        rows = [(each.file, each.what, each.user, each.state, each.ends or "") for each in made]
        table(f"Secrets in {into}", ("file", "what", "user", "", "until"), rows)
        console.print("Keep a copy of ca.key, platform.key and pki.passphrase apart from this machine.", markup=False)
        start = f"docker compose --env-file {into / ENV_FILE} -f deploy/compose.yaml up -d"
        console.print(f"Then: {start}", markup=False, soft_wrap=True)
    if ended:
        raise UserError(
            f"ended: {', '.join(ended)}: delete them, run this again, then restart what reads them", EXIT_DOES_NOT_HOLD
        )


def make_secrets(into: Path, hosts: Sequence[str], now: datetime) -> list[Made]:
    """Fill the folder; `hosts` empty: as it was made for, else this machine's name.

    Raises UserError, before anything is made, without root, and where certificates are there that are for other hosts.
    """
    if os.geteuid() != 0:
        raise UserError("each secret is given to the user of its service: run this as root (sudo)")
    for host in hosts:
        check_host(host)
    folder = Folder(into, list(hosts) or _known_hosts(into), now)
    _check_hosts(folder)
    try:
        into.mkdir(parents=True, exist_ok=True)
        into.chmod(0o700)
    except OSError as error:
        raise UserError(f"{into} cannot be made: {error.strerror}") from None
    _make_certificates(folder)
    _make_passwords(folder)
    _make_signing_keys(folder)
    _make_derived(folder)
    return folder.made


def _known_hosts(into: Path) -> list[str]:
    """Those that the folder was made for; else what this machine is called."""
    if not (into / ENV_FILE).exists():
        return [socket.gethostname()]
    lines = dict(line.partition("=")[::2] for line in (into / ENV_FILE).read_text("utf-8").splitlines())
    return [host for host in lines.get("VITALWIRE_HOSTS", "").split(",") if host]


def _check_hosts(folder: Folder) -> None:
    for name in SERVERS:
        path = folder.path / f"{name}.crt"
        if name == "gateway" or not path.exists():  # the hospital's own may stand there, of one name
            continue
        if missing := missing_hosts(read_cert(path), folder.hosts):
            raise UserError(f"{path} is not for {', '.join(missing)}: delete it and {ENV_FILE}, and run this again")


def _make_certificates(folder: Folder) -> None:
    folder.keep("ca.key", "key of the authority", "root", new_key)
    folder.keep(
        "ca.crt", "authority of all below", "root",
        lambda: authority_cert(read_key(folder.path / "ca.key"), folder.now),
    )  # fmt: skip
    authority = folder.authority
    for name, user in SERVERS.items():
        folder.keep(f"{name}.key", f"TLS key of {name}", user, new_key)
        key = read_key(folder.path / f"{name}.key")
        server = partial(server_cert, authority, key, name, folder.hosts, folder.now)
        folder.keep(f"{name}.crt", f"TLS certificate of {name}", user, server)
    for name in CLIENTS:
        folder.keep(f"{name}.key", f"key of {name} for Kafka", "vitalwire", new_key)
        key = read_key(folder.path / f"{name}.key")
        client = partial(client_cert, authority, key, name, folder.now)
        folder.keep(f"{name}.crt", f"certificate of {name} for Kafka", "vitalwire", client)


def _password() -> bytes:
    return random.token_hex(24).encode()


def _make_passwords(folder: Folder) -> None:
    for name, what, user in (
        ("database_superuser", "of PostgreSQL's own user, who may not come over the network", "timescaledb"),
        ("database_setup", "of who makes the tables", "timescaledb"),
        ("database_processors", "of the processors", "timescaledb"),
        ("database_page", "of the gateway", "timescaledb"),
        ("database_grafana", "of Grafana, who reads", "timescaledb"),
        ("mqtt_edge", "of the edge at the MQTT broker", "vitalwire"),
        ("mqtt_devices", "of devices at the MQTT broker", "root"),
        ("grafana_admin", "of the user vitalwire in Grafana", "grafana"),
        ("pki.passphrase", "opens the boxes' authority", "vitalwire"),
    ):
        folder.keep(name, f"password {what}" if name != "pki.passphrase" else what, user, _password)


def _make_signing_keys(folder: Folder) -> None:
    for name, what in (("platform", "the platform's signing key"), ("edge", "the edge's signing key")):
        path = folder.path / f"{name}.key"
        state = "kept" if path.exists() else "made"
        if state == "made":
            keys.generate(path)
        folder.note(f"{name}.key", what, "vitalwire", state)
        public = folder.path / f"{name}.pub"
        if not public.exists():
            replace_file(public, keys.public_pem(keys.load(path)))
        folder.note(f"{name}.pub", f"{what}, public", "root", state)
    pki = folder.path / "pki"
    state = "kept" if (pki / "ca.crt").exists() else "made"
    if state == "made":
        Pki.create(pki, "vitalwire boxes", folder.path / "pki.passphrase", folder.now)
    for path in (pki, *sorted(pki.rglob("*"))):
        os.chown(path, USER_IDS["vitalwire"], USER_IDS["vitalwire"])
    ends = read_cert(pki / "ca.crt").not_valid_after_utc
    folder.made.append(Made("pki/", "authority of the boxes' certificates", "vitalwire", state, ends))
    folder.keep("kafka_cluster_id", "id of Kafka's storage", "kafka", _cluster_id)
    edge_id = uuid.uuid4()
    folder.keep("processors.toml", "settings", "vitalwire", lambda: processors_settings().encode())
    folder.keep("gateway.toml", "settings", "vitalwire", lambda: gateway_settings(folder.hosts[0]).encode())
    folder.keep("edge.toml", "settings", "vitalwire", lambda: edge_settings(edge_id).encode())


def _cluster_id() -> bytes:
    """16 bytes in base64url, which must not begin with a hyphen (Kafka's Uuid)."""
    return urlsafe_b64encode(random.token_bytes(16)).rstrip(b"=").replace(b"-", b"a").replace(b"_", b"b")


def _make_derived(folder: Folder) -> None:
    for name, login in (("page", "database_page"), ("setup", "database_setup")):
        content = f"*:*:*:*:{folder.secret(login)}\n".encode()
        folder.derive(f"{name}.pgpass", f"{login}, as libpq reads it", "vitalwire", content)
    folder.derive(
        "processors.password", "database_processors, for the processors", "vitalwire",
        folder.secret("database_processors").encode(),
    )  # fmt: skip
    folder.derive(
        "grafana_database", "database_grafana, for Grafana", "grafana", folder.secret("database_grafana").encode()
    )
    users = [(name, folder.secret(f"mqtt_{name}")) for name in ("edge", "devices")]
    lines = "".join(f"{name}:{_mqtt_hash(password)}\n" for name, password in users)
    folder.derive("mosquitto.users", "hashes of the MQTT passwords", "mosquitto", lines.encode())
    folder.derive("kafka_tls", "Kafka's key and whom it believes, as properties", "kafka", _kafka_tls(folder))
    env = (
        f"VITALWIRE_HOST={folder.hosts[0]}\nVITALWIRE_HOSTS={','.join(folder.hosts)}\n"
        f"VITALWIRE_SECRETS={folder.path.resolve()}\n"
    )
    folder.derive(ENV_FILE, "no secret: what compose.yaml asks for", "root", env.encode())


def _mqtt_hash(password: str) -> str:
    """As mosquitto 2 has it: PBKDF2 with SHA-512.

    The salt follows from the password, so that the same file comes again: each password is random, and used once.
    """
    salt = sha256(b"vitalwire mqtt" + password.encode()).digest()[:12]
    hashed = pbkdf2_hmac("sha512", password.encode(), salt, _MQTT_ITERATIONS, 64)
    return f"$7${_MQTT_ITERATIONS}${b64encode(salt).decode()}${b64encode(hashed).decode()}"


def _kafka_tls(folder: Folder) -> bytes:
    """Kafka takes a key without a password as text alone; it believes our own clients, and boxes."""
    believed = (folder.path / "ca.crt").read_text("ascii") + (folder.path / "pki" / "ca.crt").read_text("ascii")
    values = {
        "ssl.keystore.key": folder.secret("kafka.key") + "\n",
        "ssl.keystore.certificate.chain": (folder.path / "kafka.crt").read_text("ascii"),
        "ssl.truststore.certificates": believed,
    }
    return "".join(f"{name}={value.replace(chr(10), chr(92) + 'n')}\n" for name, value in values.items()).encode()


def _mode(name: str) -> int:
    return 0o644 if name in PUBLIC else 0o600
