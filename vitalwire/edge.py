"""`vitalwire edge`: the bedside agent, its key, and whether its configuration works.

Each command is in a module of its own: the agent, which runs for years, holds nothing of the others, and the downtime
view nothing of the agent.
"""

from __future__ import annotations

import typer

from vitalwire.on_demand import on_demand

IN_OTHER_MODULES = {
    "keygen": "vitalwire.edge_keygen:keygen",
    "run": "vitalwire.edge_run:run",
    "record": "vitalwire.edge_record:record",
    "sources": "vitalwire.edge_ask:show_sources",
    "check": "vitalwire.edge_check:check",
    "read": "vitalwire.edge_read:read",
    "drivers": "vitalwire.edge_read:drivers",
    "watch": "vitalwire.edge_watch:watch",
    "witness": "vitalwire.edge_witness:witness",
    "install": "vitalwire.box.commands:install",
    "upgrade": "vitalwire.box.commands:upgrade",
    "uninstall": "vitalwire.box.commands:uninstall",
    "enrol": "vitalwire.edge_enrol:enrol",
    "drain": "vitalwire.edge_drain:drain",
    "downtime": "vitalwire.edge_downtime:downtime",
    "reread": "vitalwire.edge_reread:reread",
}
app = typer.Typer(
    cls=on_demand(IN_OTHER_MODULES), help="The bedside side: bytes in, sealed batches out.", no_args_is_help=True
)
