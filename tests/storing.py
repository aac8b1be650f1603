"""A store for tests: fresh schema, a registered edge, and what validate and the writer make of its reports."""

from __future__ import annotations

import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from hashlib import sha256
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus

from emr_store import log, registry
from emr_store.connect import open_store
from emr_store.migrate import migrate
from emr_store.signed_block import SignedBlock
from emr_store.transaction import Writer, Written
from evidence.dead_letter import DeadLetter
from evidence.seal import FIRST_PREVIOUS, seal
from schemas.batch import encode_report, set_sequence
from schemas.block import Block
from schemas.report import AsSent, Kind, Lane, Record, RecordKind, Report
from stream_processors.signed_message import open_message, sign_block
from stream_processors.validation import EdgeKey, Memory, validate
from tests.making import T0_US, Key, report

EDGE = b"E" * 16
NOW_US = T0_US + 1_000_000


class Store:
    """`address` is libpq's; batches and each device's reports are numbered as they are said.

    A second one at the same address, with another `edge`, is another edge of the same hospital.
    """

    def __init__(self, address: str, edge: bytes = EDGE) -> None:
        self.address, self.edge = address, edge
        self.spool = b"S" * 16 if edge == EDGE else edge
        self.edge_key, self.platform = Key(), Key()
        self.batch_no = 0
        self.emitted: Counter[UUID] = Counter()
        self._idle: defaultdict[str, list[psycopg.Connection]] = defaultdict(list)  # by address: it says the role too
        weakref.finalize(self, _close, self._idle)
        with self.kept() as conn:
            if conn.execute("SELECT to_regclass('schema_version')").fetchone() == (None,):
                migrate(address)
            registry.note_platform_key(conn, self.platform.public_der)
            registry.add_edge(conn, UUID(bytes=edge), "box" if edge == EDGE else "box 2", self.edge_key.public_der)

    def in_copy(self, address: str) -> Store:
        """This store in a copy of its database: the same keys, and numbers that go on from where they stand."""
        copied = copy(self)
        copied.address, copied.emitted, copied._idle = address, Counter(self.emitted), defaultdict(list)
        weakref.finalize(copied, _close, copied._idle)
        return copied

    def hang_up(self) -> None:
        """Close what `kept` keeps: only a database that nobody has open can be copied."""
        _close(self._idle)
        self._idle.clear()

    def open(self) -> psycopg.Connection:
        return open_store(self.address)

    @contextmanager
    def kept(self) -> Iterator[psycopg.Connection]:
        """A connection that stays open for the next who asks: a new one reads the catalogue anew, which takes longer
        than most of what a test asks. For what leaves nothing in its session; each of several threads has its own.
        """
        idle = self._idle[self.address]
        conn = self._take(idle)
        try:
            yield conn
        except BaseException:
            conn.close()
            raise
        if conn.info.transaction_status is TransactionStatus.IDLE:
            idle.append(conn)
        else:
            conn.close()

    def _take(self, idle: list[psycopg.Connection]) -> psycopg.Connection:
        while idle:
            conn = idle.pop()
            try:
                conn.execute("DISCARD TEMP")  # the tables of the writer before
            except psycopg.OperationalError:  # the test has ended it, or the server
                conn.close()
            else:
                return conn
        conn = self.open()
        conn.prepare_threshold = None  # as on a new one: a test may change what a statement was prepared for
        return conn

    def seal(self, *reports: Report, lane: Lane = Lane.LIVE) -> bytes:
        """The edge's next batch."""
        self.batch_no += 1
        leaves = []
        for i, each in enumerate(reports):
            salt = i.to_bytes(16)
            leaf = encode_report(each, salt, sha256(salt + b"frame").digest())
            self.emitted[each.device] += 1
            set_sequence(leaf, self.emitted[each.device])
            leaves.append(bytes(leaf))
        return seal(
            leaves, lane=lane, edge=self.edge, spool=self.spool, batch_no=self.batch_no, previous=FIRST_PREVIOUS,
            created_at_us=T0_US, config_hash=bytes(32), key_id=self.edge_key.key_id, sign=self.edge_key.sign,
        )  # fmt: skip

    def validate(self, *batches: bytes, lane: Lane = Lane.LIVE) -> SignedBlock:
        """As it comes to `store`."""
        memory = Memory({self.edge_key.key_id: EdgeKey(self.edge, self.edge_key.public_der, 0, 2**62, False)})
        (block,) = validate(f"{lane.name.lower()}.raw", batches, memory, NOW_US)
        assert isinstance(block, Block), block
        signed = sign_block(block, self.platform.key_id, self.platform.sign, NOW_US)
        opened = open_message(signed, self.platform.public_der)
        assert isinstance(opened, SignedBlock)
        return opened

    def emit(self, *reports: Report, lane: Lane = Lane.LIVE) -> Written:
        """Store these reports as one batch."""
        return self.write([self.validate(self.seal(*reports, lane=lane), lane=lane)])

    def write(self, blocks: Sequence[SignedBlock], dead_letters: Sequence[DeadLetter] = ()) -> Written:
        with self.kept() as conn:
            return Writer(conn).store(blocks, dead_letters)

    def seal_log(self, now_us: int = NOW_US) -> int:
        """What the sealer does each second."""
        with self.kept() as conn:
            return log.seal_unlogged(conn, site="test", key=self.platform, now_us=now_us)

    def rows(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        with self.kept() as conn:
            return conn.execute(sql.encode(), parameters).fetchall()


def _close(idle: dict[str, list[psycopg.Connection]]) -> None:
    for connections in idle.values():
        for conn in connections:
            conn.close()


def event(claim: str, code: str, text: str, at_us: int = T0_US) -> Report:
    """What the edge says of a device."""
    record = Record(kind=RecordKind.TEXT, text=text, as_sent=AsSent("vitalwire", code))
    return report(claim, at_us, [record], Kind.EVENT)
