"""`vitalwire acts`: who did what to the registry, when and why."""

from __future__ import annotations

from typing import Annotated

import typer

from emr_store import acts
from vitalwire.output import listed
from vitalwire.record import Database, Json, connect, since_moment

app = typer.Typer(help="Who did what to the registry, when and why.", no_args_is_help=True)


@app.command("list")
def acts_list(
    since: Annotated[str, typer.Option(help="an instant (2026-11-24T10:00Z) or a span (24h, 7d); else all")] = "",
    database: Database = "",
    json: Json = False,
) -> None:
    """Every act, oldest first: vitalwire acts list --since 7d.

    `id` is the beginning of its id, as other commands take it. `log` is its place in the log; "waits" while it is not
    signed yet, which takes a second while the processors run.
    """
    moment = since_moment(since) if since else None
    with connect(database) as conn:
        found = acts.acts(conn, moment)
    listed(json, "Acts", ("id", "log", "at", "by", "act", "what", "why"), found, lambda a: (
        a.act_id[:HEX_MAX], "waits" if a.position is None else a.position, a.at, a.by, a.kind,
        ", ".join(f"{name} {_short(value)}" for name, value in sorted(a.details.items()) if value), a.why,
    ), "none")  # fmt: skip


HEX_MAX = 12  # of a hash, for people


def _short(value: object) -> str:
    """A hash by its beginning; `--json` has all of it."""
    if isinstance(value, list):
        return " ".join(map(_short, value))
    text = str(value)
    return text[:HEX_MAX] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
