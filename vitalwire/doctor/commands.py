"""`vitalwire doctor`: what is wrong with the hospital side; `vitalwire doctor PORT`: what is at the end of a cable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.errors import UserError
from vitalwire.record import Database, Json


def doctor(
    port: Annotated[
        str,
        typer.Argument(
            help="a port to listen at: /dev/ttyUSB0, rfc2217://host:port, socket://host:port, tcp://:2575 (HL7 comes"
            " in), mqtt://host/topic; left out: the hospital side",
            show_default=False,
        ),
    ] = "",
    seconds: Annotated[float, typer.Option(min=1.0, help="with a port: listen for so long at most")] = 40.0,
    probe: Annotated[
        bool, typer.Option("--probe", help="with a silent serial port: then send the drivers' identification requests")
    ] = False,
    write: Annotated[
        Path | None, typer.Option(help="with a port: add the source that was found to this edge.toml")
    ] = None,
    name: Annotated[str, typer.Option(help="with a port: the source's name")] = "",
    record: Annotated[
        Path | None, typer.Option(help="with a serial port: write what came to this new file, as `edge record` does")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="with tcp:// our certificate, with mqtt:// ours as client")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="its key")] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="with mqtt://: the broker's CA")] = None,
    user: Annotated[str, typer.Option(help="with mqtt://: who signs in there")] = "",
    password_file: Annotated[Path | None, typer.Option(help="with mqtt://: the file with the password")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="with a port: plaintext beyond loopback")] = False,
    language: Annotated[str, typer.Option(help="with a port: en or zh", metavar="en|zh")] = "en",
    processors: Annotated[Path | None, typer.Option(help="processors.toml: the broker, certificates")] = None,
    gateway: Annotated[Path | None, typer.Option(help="gateway.toml: the page's certificate, its journal")] = None,
    backup: Annotated[Path | None, typer.Option(help="backup.toml")] = None,
    certificate: Annotated[list[Path] | None, typer.Option(help="another certificate's file; often")] = None,
    disk: Annotated[list[Path] | None, typer.Option(help="another folder whose disk counts: Kafka's; often")] = None,
    database: Database = "",
    json: Json = False,
) -> None:
    """What is at the end of a cable: vitalwire doctor /dev/ttyUSB0. Without a port: what is wrong on the hospital side.

    Exit 4 where the port's answer is not certain, or on a finding of the hospital side.
    """
    if not port:
        from vitalwire.doctor.hospital import look_at_hospital  # what a box does not have

        look_at_hospital(processors, gateway, backup, certificate or (), disk or (), database, json=json)
        return
    from vitalwire.doctor.port.asked import Asked
    from vitalwire.doctor.port.commands import examine

    if language not in ("en", "zh"):
        raise UserError(f"{language!r} is no language of the doctor: en or zh")
    examine(Asked(
        port=port.removeprefix("serial:"), seconds=seconds, probe=probe, write=write, name=name, record=record,
        tls_cert=tls_cert, tls_key=tls_key, tls_ca=tls_ca, user=user, password_file=password_file, insecure=insecure,
        language="zh" if language == "zh" else "en", json=json,
    ))  # fmt: skip
