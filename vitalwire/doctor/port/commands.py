"""`vitalwire doctor PORT`: which kind of port it is, and what hinders before anything is opened."""

from __future__ import annotations

from edge_agent.config import EdgeConfig
from runtime import config as configuration
from vitalwire.doctor.port.asked import Asked


def examine(asked: Asked) -> None:
    """Look at the port, and say what it is; raises typer.Exit where that is not certain, and UserError."""
    if asked.write is not None:
        configuration.decode(configuration.read_text(asked.write), EdgeConfig, str(asked.write), asked.write.parent)
    scheme, _, rest = asked.port.partition("://")
    if scheme == "tcp" and rest:
        from vitalwire.doctor.port.network_commands import examine_hl7

        examine_hl7(asked, rest)
    elif scheme in ("mqtt", "mqtts") and rest:
        from vitalwire.doctor.port.network_commands import examine_mqtt

        examine_mqtt(asked, rest, has_tls=scheme == "mqtts")
    else:
        from vitalwire.doctor.port.serial_command import examine_serial

        examine_serial(asked)
