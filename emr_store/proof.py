"""Walk what is kept and hold it against itself, and against what was kept outside (`vitalwire verify`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime

import numpy as np
import psycopg

from emr_store import (
    alarm_proof,
    chart_proof,
    credential_proof,
    index_proof,
    log_proof,
    look_proof,
    people_proof,
    registry_proof,
    row_proof,
    scan_proof,
    seal_proof,
    summary_proof,
)
from emr_store.batch_proof import BatchProof, Window, check_validation, windows
from emr_store.connect import one_moment
from emr_store.newest_channel_proof import NewestChannels
from emr_store.rows import Chunk
from emr_store.validation_proof import LaterValidations
from emr_store.verification import NUMBER_MAX, NUMBER_MIN, OnProgress, Remap, Revalidate, Scope, Verification
from evidence.act import MAPPING_CHANGE, Act
from evidence.verification import KeyRing, OutsideCheckpoint, Trust, batch_words
from schemas.identity import BatchId, EdgeId
from schemas.nomenclature import NOMENCLATURE_HASH

NEVER_PROVED = (
    "that the devices told the truth",
    "whose patient a value is, nor that a chart has every value that it should",
    "that no alarm is missing: each is signed, and none is in the log",
    "that nothing is missing since the newest checkpoint that somebody outside holds",
    "when the store says that it kept something: that is its own clock, and nobody signed it",
    "that the people whom acts name did them: until they have keys of their own the platform signs for them",
)


def verify(
    conn: psycopg.Connection, since: datetime | None = None, *, trust: Trust | None = None,
    after: OutsideCheckpoint | None = None, revalidate: Revalidate | None = None, remap: Remap | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Verification:  # fmt: skip
    """Hold the record against its signed bytes, and against what was kept outside; all of it is of one moment.

    In a transaction of the caller's it sees what that sees. `since` or `after` (a checkpoint) look at a part; what they
    leave out is listed under "not proved", and so is what `trust` does not give. Steps, as in the code below:

    1. Checkpoints: the platform's key signed every one that is kept, and every one from outside.
    2. Log: its root, built anew from its entries, is the signed one at each checkpoint, those from outside included; it
       begins with the act that names its predecessor; every act is what was signed.
    3. Seals: each is signed, has its place in the log, and its root over the leaves of its batches.
    4. Batches: their edge signed them, they follow each other in their stream, their tree has the root that was signed,
       they and what validation found of them stand in their seal; every leaf of a seal has its batch.
    5. Validation: computed again from the bytes; of a batch that acts had validated anew each one, by those acts.
    6. Rows: every column of every row that people read; rows that no report stands behind; waves, alarms, settings,
       lists of channels and their words; scans; the platform's own alarms; charts, against values and acts;
       looks and the reviews that were closed, against acts.
    7. Minutes: computed again from the rows.
    8. Latest values: each is the newest row.
    9. Registry and ledger: keys stand under their own ids; registrations, beds and labels have their acts; the ledger's
       ranges and sums are those of the batches.
    """
    result = Verification()
    idle = conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    with one_moment(conn) if idle else nullcontext():
        # What is dropped now would be gone from every snapshot.
        tables = ("report", "report_minute", "batch_body", *index_proof.TABLES)
        conn.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE".encode())
        _Run(conn, trust or Trust(), Scope(since, after), revalidate, remap, on_progress, result).steps()
    return result


class _Run:
    def __init__(
        self, conn: psycopg.Connection, trust: Trust, scope: Scope, revalidate: Revalidate | None,
        remap: Remap | None, on_progress: OnProgress, result: Verification,
    ) -> None:  # fmt: skip
        self._conn = conn
        self._trust = trust
        self._scope = scope
        self._revalidate = revalidate
        self._remap = remap
        self._on_progress = on_progress
        self._result = result

    def steps(self) -> None:
        """As `verify` numbers them."""
        conn, result = self._conn, self._result
        platform, edges = self._keys()

        # 1. Checkpoints.
        claims = log_proof.check_kept_checkpoints(conn, platform, result)
        outside = log_proof.open_outside(self._trust.checkpoints, platform, result)
        if self._scope.after is not None:
            outside += log_proof.open_outside((self._scope.after,), platform, result)

        # 2. Log.
        log_proof.check_logs(conn, claims, outside, result, self._on_progress)
        acts = log_proof.check_acts(conn, platform, result)

        # 3. Seals.
        first_batch = self._first_batch(platform)
        first_seal = seal_proof.first_seal_of(conn, first_batch)
        seal_proof.check_seals(conn, first_seal, platform, result, self._on_progress)

        # 4 to 8.
        self._batches_and_rows(edges, acts, first_batch, first_seal)
        alarm_proof.check_alarms(conn, summary_proof.begin_of(conn, first_batch), acts, platform, result)

        chart_proof.check_charts(conn, acts, summary_proof.begin_of(conn, first_batch), result)
        self._note_what_charts_leave_out()
        look_proof.check_looks(conn, acts, result)
        look_proof.check_reviews(conn, acts, result)

        # 9. Registry.
        self._registry(acts)
        result.not_proved += NEVER_PROVED

    def _keys(self) -> tuple[KeyRing, KeyRing]:
        """The platform's keys and the edges', from outside where they were given."""
        platform, edges = self._trust.platform_keys, self._trust.edge_keys
        if not platform:
            platform = _keys_of(self._conn, "platform_key")
            self._result.not_proved.append(
                "that the platform's key is the platform's: it was taken from the database (give --platform-key)"
            )
        if not edges:
            edges = _keys_of(self._conn, "edge_key")
            self._result.not_proved.append(
                "that the edges' keys are the edges': they were taken from the database (give --trust)"
            )
        if not self._trust.checkpoints and self._scope.after is None:
            self._result.not_proved.append(
                "that the database was not put back to an earlier state: no checkpoint from outside was given"
                " (--checkpoint)"
            )
        return KeyRing(platform), KeyRing(edges)

    def _first_batch(self, platform: KeyRing) -> int:
        """The number of the first batch that is looked at."""
        since, after = self._scope
        if since is None and after is None:
            return NUMBER_MIN
        if after is not None:
            (opened,) = log_proof.open_outside((after,), platform, Verification()) or (None,)
            if opened is None:
                return NUMBER_MIN
            named = {"origin": opened.checkpoint.origin, "size": opened.checkpoint.size}
            row = self._conn.execute(_FIRST_AFTER_SQL, named).fetchone()
        else:
            row = self._conn.execute(_FIRST_SINCE_SQL, {"since": since}).fetchone()
        first: int = NUMBER_MAX if row is None or row[0] is None else row[0]
        last = self._conn.execute(_LAST_BEFORE_SQL, (first,)).fetchone()
        if last is None:
            return NUMBER_MIN
        ident, edge, lane, batch_no = last
        words = batch_words(BatchId(bytes(ident)), EdgeId(edge.bytes), lane, batch_no)
        self._result.not_proved.append(f"all up to {words}: it was stored before, and was not looked at")
        return first

    def _batches_and_rows(self, edges: KeyRing, acts: Sequence[Act], first_batch: int, first_seal: int) -> None:
        conn, result = self._conn, self._result
        proof = BatchProof(conn, edges, LaterValidations(conn, acts, self._remap, result), result)
        numbers, taken = row_proof.Numbers(conn), row_proof.taken_by_retention(conn)
        newest, sums = summary_proof.NewestReports(conn), summary_proof.LedgerSums()
        newest_channels, words = NewestChannels(conn), index_proof.ChannelWordsProof()
        erased = row_proof.ErasedNames(acts)
        is_damaged = False
        for first, after in windows(conn, first_batch) if first_batch != NUMBER_MAX else ():
            # 4. Batches.
            window = proof.open(first, after)
            is_damaged |= bool(window.damaged) or window.may_lack_channel_words
            chunk = row_proof.chunk_of(conn, window, numbers) if window.batches else None
            rows_taken = _taken(window, taken, chunk)
            if chunk is not None:
                # 5. Validation.
                if self._revalidate is not None:
                    check_validation(window, self._revalidate, NOMENCLATURE_HASH, result)
                unknown = numbers.list_unknown(chunk, rows_taken)
                newest.add(chunk, window.stored_at_us, unknown)
                newest_channels.add(chunk, window.stored_at_us, unknown)
                words.add(chunk)
                sums.add(window)
            # 6. Rows.
            row_proof.check_rows(conn, window, chunk, rows_taken, erased, result)
            index_proof.check_index(conn, window, chunk, taken, result)
            self._on_progress("values", result.counts["values"], None)
            if result.is_full:
                return
        seal_proof.check_accounted(conn, proof.places, proof.known, first_seal, result)
        index_proof.check_channel_sets(conn, result)
        if first_batch != NUMBER_MAX:
            scan_proof.check_scans(conn, first_batch, bool(taken.get("report")), result)
        words.check(conn, first_batch, result, is_damaged)
        self._note_what_was_left_out(acts)

        # 7. Minutes.
        self._on_progress("minutes", 0, None)
        summary_proof.check_minutes(conn, summary_proof.begin_of(conn, first_batch), result)

        # 8. Latest values.
        newest.check(conn, first_batch, result)
        newest_channels.check(conn, first_batch, result)

        # 9. Ledger.
        if first_batch == NUMBER_MIN:
            sums.check(conn, result)
        else:
            result.not_proved.append("the ledger's ranges and sums: they are of all batches")

    def _note_what_was_left_out(self, acts: Sequence[Act]) -> None:
        counts, not_proved = self._result.counts, self._result.not_proved
        mapping_acts = sum(act.kind == MAPPING_CHANGE for act in acts)
        if mapping_acts:
            not_proved.append(
                f"that {mapping_acts} mapping acts were applied to all that they are about: what each was applied to"
                " was checked"
            )
        if counts["emptied"]:
            not_proved.append(f"the bytes of {counts['emptied']} batches, and rows over them: retention took the bytes")
        if counts["dropped"]:
            not_proved.append(f"the rows of {counts['dropped']} reports: retention took them; their bytes were checked")
        if self._revalidate is None:
            not_proved.append("that validation of the bytes gives these results: it was not computed again")
        elif counts["other nomenclature"]:
            not_proved.append(
                f"the validation of {counts['other nomenclature']} batches: it was done under another nomenclature than"
                " this program's"
            )

    def _note_what_charts_leave_out(self) -> None:
        counts, not_proved = self._result.counts, self._result.not_proved
        if counts["chart sources dropped"]:
            not_proved.append(
                f"{counts['chart sources dropped']} versions of chart entries: retention took the values behind them"
            )
        if counts["chart sources validated anew"]:
            not_proved.append(
                f"{counts['chart sources validated anew']} versions of chart entries: the values behind them were"
                " validated anew since"
            )

    def _registry(self, acts: Sequence[Act]) -> None:
        registry_proof.check_key_ids(self._conn, self._result)
        registry_proof.check_registry(self._conn, acts, self._result)
        people_proof.check_people(self._conn, acts, self._result)
        credential_proof.check_credentials(self._conn, acts, self._result)


def _keys_of(conn: psycopg.Connection, table: str) -> tuple[bytes, ...]:
    return tuple(bytes(row[0]) for row in conn.execute(f"SELECT public_der FROM {table}".encode()))


def _taken(window: Window, taken: dict[str, list[tuple[int, int, int]]], chunk: Chunk | None) -> np.ndarray:
    """Whether retention may have taken each report's row."""
    if chunk is None:
        return np.zeros(0, bool)
    return row_proof.may_be_gone(taken.get("report", ()), window.batch, chunk.observed_at_us)


# The first batch that was stored, or validated anew, from a moment on.
_FIRST_SINCE_SQL = """
SELECT least((SELECT min(batch) FROM batch WHERE stored_at >= %(since)s),
    (SELECT min(v.batch) FROM batch_validation v JOIN seal s USING (seal) WHERE s.stored_at >= %(since)s))
"""
_LAST_BEFORE_SQL = """
SELECT batch_id, edge, lane, batch_no FROM batch WHERE batch < %s ORDER BY batch DESC LIMIT 1
"""
# The first batch of the seals that came into the log after a checkpoint, or have not yet come.
_FIRST_AFTER_SQL = """
SELECT min(b.batch) FROM (SELECT batch, seal FROM batch UNION ALL SELECT batch, seal FROM batch_validation) AS b JOIN (
    SELECT e.seal FROM log_entry e JOIN log l USING (incarnation) WHERE e.seal IS NOT NULL
        AND (l.origin = %(origin)s AND e.position >= %(size)s
            OR l.log > (SELECT log FROM log WHERE origin = %(origin)s))
    UNION ALL SELECT seal FROM unlogged WHERE seal IS NOT NULL) AS later USING (seal)
"""
