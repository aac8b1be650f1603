"""A dead box's disk, for tests that send its spool."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_agent.spool import Spool
from evidence.seal import seal
from runtime import keys
from schemas.report import Lane
from tests.edge_agent.publisher.bench import EDGE, PLATFORM
from tests.making import T0_US, report

BATCHES, WAITING = 3, 5
NOWHERE = "127.0.0.1:1"


@dataclass
class Disk:
    """A dead box's, with batches that were sealed and reports that were not."""

    folder: Path
    kafka: str = NOWHERE

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.key = keys.generate(self.folder / "edge.key")
        (self.folder / "platform.pub").write_bytes(keys.public_pem(PLATFORM))  # type: ignore[arg-type]
        self.reach(self.kafka)
        spool = Spool(self.spool, bytes_max=1 << 24, receipt_hold_s=1e6, now_us=lambda: T0_US)
        self.spool_id = spool.spool_id
        own = partial(seal, edge=EDGE, config_hash=b"c" * 32, key_id=self.key.key_id, sign=self.key.sign)
        for i in range(BATCHES):
            spool.put([report(f"bed:{i}", T0_US + i)])
            while not spool.cut(Lane.LIVE, own, T0_US + 1_000_000):
                pass
        spool.put([report(f"bed:{i}", T0_US + 2_000_000 + i) for i in range(WAITING)])
        spool.close()

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def reach(self, kafka: str) -> None:
        (self.folder / "edge.toml").write_text(
            f'edge = "{uuid.UUID(bytes=EDGE)}"\nkafka = "{kafka}"\nmetrics_port = 0\n'
        )
