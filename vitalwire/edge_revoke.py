"""`vitalwire registry edge revoke`: a box that nobody is to believe any more, and that the broker is to refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from emr_store import registry
from emr_store.acts import this_user
from schemas.errors import VitalwireError
from vitalwire.broker import client_settings
from vitalwire.broker_access import Denial, command, deny, words
from vitalwire.output import console
from vitalwire.record import INSECURE, Database, Why, connect


def revoke(
    edge: Annotated[UUID, typer.Argument(help="its id, as `vitalwire registry edge list` shows it")],
    why: Why = "",
    database: Database = "",
    kafka: Annotated[str, typer.Option(envvar="VITALWIRE_KAFKA", help="the broker that is to refuse it too")] = "",
    kafka_ca: Annotated[Path | None, typer.Option(help="CA file: TLS to the broker when given")] = None,
    kafka_cert: Annotated[
        Path | None, typer.Option(help="our client certificate; it must be one that may alter")
    ] = None,
    kafka_key: Annotated[Path | None, typer.Option(help="its key, readable by us alone")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", envvar=INSECURE, help="plaintext beyond loopback")] = False,
) -> None:
    """What this edge signs from now on is refused, and by --kafka its connection too.

    vitalwire registry edge revoke 0b7c2f3e-... --why 'stolen' --kafka broker:9094 --kafka-ca ca.crt
    --kafka-cert admin.crt --kafka-key admin.key

    The second can be run again, where the broker was away.
    """
    errors: list[str] = []
    settings = (
        client_settings(kafka, kafka_ca, kafka_cert, kafka_key, insecure=insecure, errors=errors) if kafka else {}
    )
    with connect(database) as conn:
        count = registry.revoke_edge(conn, edge, author=this_user(why))
        was_revoked = any(each.edge == edge and each.revoked_at for each in registry.edges(conn))
    if not count and not (kafka and was_revoked):
        raise VitalwireError(f"{edge} has no key that could be revoked: see `vitalwire registry edge list`")
    console.print(f"revoked {count} keys")
    if not kafka:
        console.print(
            "Kafka knows nothing of that: until its certificate ends the box still reaches the broker. Name it by"
            f" --kafka, or there: {command('BROKER:9094', edge)}", markup=False, soft_wrap=True,
        )  # fmt: skip
        return
    denied = deny(settings, edge)
    text = words(denied, kafka, edge)
    if denied.outcome is Denial.FAILED and errors:
        text += f" ({errors[0]})"
    console.print(text, markup=False, soft_wrap=True)
