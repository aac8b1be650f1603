"""Boxes on bare machines, put up from this checkout's bundle, and the hospital that they send to."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from emr_store import registry
from emr_store.connect import open_store
from runtime import keys
from tests.integration.bare import BareMachine
from tests.wire import Wire

VITALWIRE = "/opt/vitalwire/current/bin/vitalwire"
SOURCE = """
[[source]]
name = "icu"
driver = "hl7_oru"
time_zone = "Asia/Shanghai"
settings.device = "PV1-3"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
"""


class Hospital(Wire):
    """Processors and a store, without an edge of their own."""

    def __enter__(self) -> Hospital:
        self.start("processors")
        return self

    def register(self, machine: BareMachine) -> None:
        """As a person does who compared the fingerprint."""
        config = (machine.root / "etc/vitalwire/edge.toml").read_text("utf-8")
        found = re.search(r'(?m)^edge = "(.*)"', config)
        assert found
        with open_store(self.database) as conn:
            der = keys.read_public(machine.root / "etc/vitalwire/edge.pub")
            registry.add_edge(conn, uuid.UUID(found[1]), "box", der)

    def config(self, path: Path) -> Path:
        """What an engineer wrote for this ward."""
        spool = 'spool = "/var/lib/vitalwire/spool"\n'
        path.write_text(
            f'kafka = "{self.kafka}"\n{spool}metrics_port = {self.metrics}\n{SOURCE.format(mllp=self.mllp)}', "utf-8"
        )
        return path

    def values(self) -> list[object]:
        """All heart rates that are stored, in the order of their moments."""
        return [value for (value,) in self.rows("SELECT value FROM observation ORDER BY observed_at, value")]


def install_from_bundle(machine: BareMachine, release: Path, platform_key: Path, config: Path) -> str:
    """As docs/install-a-box.md says; what it wrote."""
    bundle = machine.put(release / "vitalwire-0.1.0.bundle")
    machine.do("tar", "-x", "-f", bundle, "-C", "/srv")
    words = ["--trust", machine.put(release / "release.pub"), "--platform-key", machine.put(platform_key)]
    code, text = machine.run("/srv/vitalwire-0.1.0/install", *words, "--config", machine.put(config))
    assert code in (0, 4), text  # 4: `edge check` finds something, such as topics that are not there yet
    return text
