"""The seals: each signed by the platform, in the log, and over leaves that its batches account for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import psycopg
from psycopg.rows import class_row

from emr_store.verification import NUMBER_MAX, NUMBER_MIN, OnProgress, Verification
from evidence.block_seal import read_seal, validation_leaf
from evidence.tree import leaf_hash
from evidence.verification import KeyRing, check_seal
from schemas.block import CONTEXT_FLAGS, ReportFlag
from schemas.errors import LayoutError
from schemas.identity import BatchId

_FETCH = 2000
_HASH_BYTES = 32
_PREFIX_BYTES = 8


class _KeptSeal(NamedTuple):
    seal: int
    statement: bytes
    leaves: bytes
    signed_at_us: int
    leaf_hash: bytes | None
    waits: bool


_SEALS_SQL = """
SELECT s.seal, s.statement, s.leaves, (extract(epoch FROM s.signed_at) * 1000000)::int8 AS signed_at_us, e.leaf_hash,
    EXISTS (SELECT FROM unlogged u WHERE u.seal = s.seal) AS waits
FROM seal s LEFT JOIN log_entry e ON e.seal = s.seal WHERE s.seal >= %s ORDER BY s.seal
"""


class SealPlaces:
    """Which places of each seal its batches have accounted for. What is held are the seals that are not complete."""

    def __init__(self) -> None:
        self.open: dict[int, set[int]] = {}  # of each such seal the places that no batch has accounted for
        self.nomenclatures: set[bytes] = set()

    def account(self, seal: int, batches: int, index: int) -> bool:
        """A batch says that it is this place of a seal over so many batches; False: another one said so too."""
        if seal not in self.open:
            self.open[seal] = set(range(batches))
        if index not in self.open[seal]:
            return False
        self.open[seal].discard(index)
        return True

    def close(self, before: int) -> None:
        """Forget the complete seals: no batch to come names one before this one."""
        for seal in [number for number, places in self.open.items() if not places and number < before]:
            del self.open[seal]


def check_seals(
    conn: psycopg.Connection, first_seal: int, keys: KeyRing, result: Verification, on_progress: OnProgress
) -> None:
    """Step 3: signature, root over the leaves, place in the log; of every seal from this one on."""
    waiting = 0
    last = None
    with conn.cursor(name="seals", binary=True, row_factory=class_row(_KeptSeal)) as cursor:
        cursor.itersize = _FETCH
        cursor.execute(_SEALS_SQL, (first_seal,))
        for kept in cursor:
            where = f"seal {kept.seal}"
            if kept.seal == last:
                result.add(where, "the log has it twice")
                continue
            last = kept.seal
            _check_kept(kept, where, keys, result)
            if kept.leaf_hash is None and kept.waits:
                waiting += 1
            elif kept.leaf_hash is None:
                result.add(where, "the log does not have it: it was put there by hand")
            elif bytes(kept.leaf_hash) != leaf_hash(bytes(kept.statement)):
                result.add(where, "its entry in the log is of another seal")
            result.counts["seals"] += 1
            if result.counts["seals"] % _FETCH == 0:
                on_progress("seals", result.counts["seals"], None)
            if result.is_full:
                return
    if waiting:
        result.not_proved.append(f"{waiting} seals are not in the log yet: their order is not proved")
    _check_entries(conn, first_seal, result)


def _check_kept(kept: _KeptSeal, where: str, keys: KeyRing, result: Verification) -> None:
    leaves = bytes(kept.leaves)
    by_place = {at // _HASH_BYTES: leaves[at : at + _HASH_BYTES] for at in range(0, len(leaves), _HASH_BYTES)}
    result.findings += check_seal(where, bytes(kept.statement), by_place, keys)
    try:
        seal, _ = read_seal(bytes(kept.statement))
    except LayoutError:
        return
    if seal.signed_at_us != kept.signed_at_us:
        result.add(where, "the time in its row is not the one that was signed")


def _check_entries(conn: psycopg.Connection, first_seal: int, result: Verification) -> None:
    """Entries of the log whose seal is gone, and seals that no batch names."""
    gone = conn.execute(
        "SELECT e.position, e.seal FROM log_entry e WHERE e.seal >= %s"
        " AND NOT EXISTS (SELECT FROM seal s WHERE s.seal = e.seal) ORDER BY 1",
        (first_seal,),
    )
    for position, seal in gone.fetchall():
        result.add(f"log entry {position}", f"the seal {seal} that it is of is gone")
    missing = conn.execute(
        "SELECT u.seal FROM unlogged u WHERE NOT EXISTS (SELECT FROM seal s WHERE s.seal = u.seal) AND u.seal >= %s",
        (first_seal,),
    )
    for (seal,) in missing.fetchall():
        result.add(f"seal {seal}", "it waits for its place in the log, and is gone")


CONTEXT_MASK = np.uint16(CONTEXT_FLAGS)
_OTHER_CONTEXTS = [
    np.uint16(gap | expired) for gap in (0, ReportFlag.GAP) for expired in (0, ReportFlag.EXPIRED_KEY) if gap | expired
]


class KnownLeaves:
    """The leaves of all batches seen, as they are and as they would be had the batch come at another time.

    A batch that comes again in another block is stored once; the other block's leaf of it stays in that block's seal.
    Such a leaf speaks of a batch that is there: with the same validation results, or with CONTEXT_MASK alone changed.
    """

    def __init__(self) -> None:
        self._prefixes = bytearray()

    def add(self, batch_id: BatchId, leaf: bytes, validation: bytes, reports: int) -> None:
        """A batch's own leaf, and those that it would have had at another time."""
        self._prefixes += leaf[:_PREFIX_BYTES]
        flags, rest = np.frombuffer(validation, "<u2", reports), validation[2 * reports :]
        for changed in _OTHER_CONTEXTS:
            self._prefixes += validation_leaf(batch_id, (flags ^ changed).tobytes() + rest)[:_PREFIX_BYTES]

    def unknown(self, leaves: list[bytes]) -> list[int]:
        """Of these leaves those that no batch stands behind, by their place."""
        known = np.frombuffer(bytes(self._prefixes), "<u8")
        asked = np.frombuffer(b"".join(leaf[:_PREFIX_BYTES] for leaf in leaves), "<u8")
        unknown: list[int] = np.flatnonzero(~np.isin(asked, known)).tolist()
        return unknown


def check_accounted(
    conn: psycopg.Connection, places: SealPlaces, known: KnownLeaves, first_seal: int, result: Verification
) -> None:
    """Step 4, the other way round: every leaf of every seal speaks of a batch that is kept."""
    places.close(NUMBER_MAX)
    without = conn.execute(
        "SELECT seal, octet_length(leaves) FROM seal s WHERE seal >= %(first)s"
        " AND NOT EXISTS (SELECT FROM batch b WHERE b.seal = s.seal AND b.seal >= %(first)s)"
        " AND NOT EXISTS (SELECT FROM batch_validation v WHERE v.seal = s.seal AND v.seal >= %(first)s)",
        {"first": first_seal},
    )
    open_places = {seal: set(range(size // _HASH_BYTES)) for seal, size in without.fetchall()} | places.open
    numbers = sorted(open_places)
    unresolved = 0
    for at in range(0, len(numbers), _FETCH):
        rows = conn.execute(
            "SELECT seal, leaves FROM seal WHERE seal = ANY(%s) ORDER BY seal", (numbers[at : at + _FETCH],)
        ).fetchall()
        for number, joined in rows:
            leaves, asked = bytes(joined), sorted(open_places[number])
            unknown = known.unknown([leaves[p * _HASH_BYTES : (p + 1) * _HASH_BYTES] for p in asked])
            result.counts["duplicates"] += len(asked) - len(unknown)
            if unknown and (first_seal != NUMBER_MIN or len(places.nomenclatures) > 1):
                unresolved += len(unknown)
            elif unknown:
                named = ", ".join(str(asked[index] + 1) for index in unknown[:5])
                total = len(leaves) // _HASH_BYTES
                what = f"of the {total} batches that it was signed over {len(unknown)} are gone (place {named})"
                result.add(f"seal {number}", what)
    if unresolved:
        result.not_proved.append(
            f"{unresolved} batches that seals speak of and that were not looked at: an earlier seal keeps them, or they"
            " are gone"
        )


def first_seal_of(conn: psycopg.Connection, first_batch: int) -> int:
    """The first seal of the batches from this one on."""
    if first_batch == NUMBER_MIN:
        return NUMBER_MIN
    row = conn.execute("SELECT min(seal) FROM batch WHERE batch >= %s", (first_batch,)).fetchone()
    return row[0] if row and row[0] is not None else NUMBER_MAX
