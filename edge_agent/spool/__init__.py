"""The spool: what the edge keeps until the hospital's signed receipt for it has come back.

One SQLite file (WAL; synchronous=FULL, because NORMAL loses the last commits on power loss), written by one thread that
commits together what comes within a few milliseconds. Reports wait in `chunk` until they are cut into a sealed batch;
a batch is `unreceipted` until the store, as it is now, has sent a receipt for it. Nothing without a receipt is ever
deleted.
"""

from edge_agent.spool.checkpoints import KeptCheckpoint, WitnessedCheckpoint, read_kept
from edge_agent.spool.queue import Kept
from edge_agent.spool.quota import LEVELS, Figures
from edge_agent.spool.receipts import Receipted, ReceiptsTaken
from edge_agent.spool.spool import Spool

__all__ = [
    "LEVELS",
    "Figures",
    "Kept",
    "KeptCheckpoint",
    "Receipted",
    "ReceiptsTaken",
    "Spool",
    "WitnessedCheckpoint",
    "read_kept",
]
