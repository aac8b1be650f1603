"""`vitalwire edge enrol`: a box makes its key, shows a code, and waits until a person agreed."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edge_agent import client_certificate
from edge_agent.enrolment import Gateway, GatewayAwayError
from runtime import keys
from runtime.errors import EXIT_DOES_NOT_HOLD, EXIT_UNREACHABLE, UserError
from runtime.keys import SigningKey, fingerprint
from runtime.pki import request_for
from runtime.whole_file import replace_file
from schemas.enrolment import Standing
from vitalwire.output import as_json, cell, console
from vitalwire.record import Json

POLL_S = 3.0


@dataclass(frozen=True)
class BoxFiles:
    """What a box has in its folders once it is let in. In that of `certificates` the agent itself writes: a renewal."""

    folder: Path
    certificates: Path

    @property
    def key(self) -> Path:
        """Signs its batches; made here, and leaves this disk never."""
        return self.folder / "edge.key"

    @property
    def tls_key(self) -> Path:
        """Of its certificate for Kafka; likewise."""
        return self.certificates / "kafka.key"

    @property
    def certificate(self) -> Path:
        """For Kafka."""
        return self.certificates / "kafka.crt"

    @property
    def request(self) -> Path:
        """For that certificate, where a person must issue it."""
        return self.certificates / "kafka.csr"

    @property
    def authority(self) -> Path:
        """That issued it."""
        return self.certificates / "boxes-ca.crt"

    @property
    def platform_key(self) -> Path:
        """By which receipts are believed."""
        return self.folder / "platform.pub"


def enrol(
    gateway: Annotated[str, typer.Option(help="https address of the hospital's pages")],
    code: Annotated[str, typer.Option(help="of the invitation; left out: go on waiting with the key that is there")]
    = "",
    ca: Annotated[Path | None, typer.Option(help="authority of the gateway's certificate; else the system's")] = None,
    folder: Annotated[Path, typer.Option(help="where keys and certificates lie, or are made")] = Path(),
    certificate_folder: Annotated[
        Path | None, typer.Option(help="of the certificate for Kafka, which the agent renews there; else --folder")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="edge.toml, where the lines are put that this box is let in with")
    ] = None,
    wait_min: Annotated[float, typer.Option(min=0, help="for a person to agree; 0: ask once")] = 60.0,
    json: Json = False,
) -> None:  # fmt: skip
    """Ask to be let in: vitalwire edge enrol --gateway https://icu.example --code 7K3M-9QWX-2D5F --ca ca.crt

    The hospital gives the code: vitalwire registry edge invite --label 'ICU box 2'. Somebody there compares the
    fingerprint that is shown here, and agrees. Exit 3 while nobody did, 4 where it is refused.
    """
    files, asked = BoxFiles(folder, certificate_folder or folder), Gateway(gateway, ca)
    key, csr = _key(files), _request(files)
    if not json:
        console.print(f"fingerprint  {fingerprint(key.public_der)}", markup=False)
    challenge = asked.begin(code, key) if code else b""
    standing = _await(asked, key, csr, challenge, wait_min * 60, quiet=json)
    notes = _keep(files, standing) if standing.state == "agreed" else []
    if config is not None and standing.state == "agreed":
        write_settings(config, _settings(files, standing, gateway, ca))
    if json:
        as_json({
            "state": standing.state, "edge": standing.edge, "label": standing.label, "why": standing.why,
            "fingerprint": fingerprint(key.public_der), "notes": notes,
        })  # fmt: skip
    elif standing.state == "agreed":
        _print_agreed(_settings(files, standing, gateway, ca), standing.label, config, notes)
    if standing.state == "refused":
        raise UserError(f"this box is not let in: {standing.why}", EXIT_DOES_NOT_HOLD)
    if standing.state == "pending":
        again = f"vitalwire edge enrol --gateway {gateway}{f' --ca {ca}' if ca else ''} --folder {folder}"
        again += f" --certificate-folder {certificate_folder}" if certificate_folder else ""
        again += f" --config {config}" if config else ""
        raise UserError(f"nobody agreed yet; go on waiting with: {again}", EXIT_UNREACHABLE)


def _key(files: BoxFiles) -> SigningKey:
    """Of this box; made where it is absent."""
    return keys.load(files.key) if files.key.exists() else keys.generate(files.key)


def _request(files: BoxFiles) -> str:
    if not files.tls_key.exists():
        keys.generate(files.tls_key)
        files.tls_key.with_suffix(".pub").unlink(missing_ok=True)  # nobody compares that one
    return request_for(files.tls_key)


def _await(
    gateway: Gateway, key: SigningKey, csr: str, challenge: bytes, limit_s: float, *, quiet: bool
) -> Standing:  # fmt: skip
    """Until somebody decided, or so long; a gateway that is away for a while is asked again."""
    end_s = time.monotonic() + limit_s
    standing = gateway.prove(key, csr, challenge)
    if not quiet and standing.state == "pending":
        console.print("waits: at the hospital, compare this fingerprint on the page /boxes and agree; or there:")
        console.print("vitalwire registry edge pending, then vitalwire registry edge agree ID")
    with console.status("") as progress:
        while standing.state == "pending":
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                break
            if not quiet:
                progress.update(f"waits for a person to agree, {math.ceil(left_s / 60)} min more; Ctrl-C ends it")
            time.sleep(min(POLL_S, left_s))
            try:
                standing = gateway.prove(key, csr, standing.challenge)
            except GatewayAwayError as error:
                standing = Standing("pending", b"")  # the challenge may be spent
                time.sleep(min(error.wait_s, max(0.0, end_s - time.monotonic())))
    return standing


def _keep(files: BoxFiles, standing: Standing) -> list[str]:
    """What the hospital gave, as files; what is still missing, in words."""
    notes = []
    if standing.platform_key:
        replace_file(files.platform_key, standing.platform_key.encode())
    else:
        notes.append("the hospital's processors have not run yet: copy their platform.pub here, or enrol once more")
    if standing.certificate:
        at = datetime.now(UTC)
        client_certificate.put(
            files.certificate, standing.certificate, key_file=files.tls_key, edge=standing.edge, at=at
        )
        replace_file(files.authority, standing.ca.encode())
    else:
        replace_file(files.request, _request(files).encode())
        command = f"vitalwire pki issue {files.request.name} --edge {standing.edge}"
        notes.append(f"{standing.why}; {command}; its answer belongs in {files.certificate}")
    return notes


def _settings(files: BoxFiles, standing: Standing, gateway: str, ca: Path | None) -> dict[str, str]:
    """Of edge.toml, by name."""
    found = {
        "edge": standing.edge, "key_file": str(files.key), "platform_key_file": str(files.platform_key),
        "kafka_cert": str(files.certificate), "kafka_key": str(files.tls_key), "gateway": gateway,
    }  # fmt: skip
    return found | ({"gateway_ca": str(ca)} if ca else {})


def write_settings(path: Path, settings: dict[str, str]) -> None:
    """Put these before all else in a TOML file, instead of what it says of them; its tables stay as they are.

    Raises UserError where it cannot be read or written.
    """
    try:
        lines, mode = path.read_text("utf-8").splitlines(), path.stat().st_mode & 0o777
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; put the lines there yourself") from None
    first_table = next((i for i, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    others = [line for line in lines[:first_table] if line.partition("=")[0].strip() not in settings]
    ours = [f'{name} = "{value}"' for name, value in settings.items()]
    replace_file(path, ("\n".join([*ours, *others, *lines[first_table:]]) + "\n").encode(), mode)


def _print_agreed(settings: dict[str, str], label: str, config: Path | None, notes: list[str]) -> None:
    if config is None:
        console.print(cell(f"let in as {label}. In this box's edge.toml:"), markup=False)
        lines = [f'{name} = "{value}"' for name, value in settings.items()]
        console.print("\n".join(["", *lines, ""]), markup=False, soft_wrap=True)
    else:
        console.print(cell(f"let in as {label}; {config} says so. Start the agent again"), markup=False)
    console.print("and kafka and kafka_ca: where the broker is, and the authority of its certificate", markup=False)
    for note in notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
