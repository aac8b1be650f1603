"""Reports into `report`. What many of them say in the same words travels to the database, and is parsed there, once.

Of a device whose codes nobody has mapped each report names all of its values: a kilobyte of JSON, most of what storing
it costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store.rows import Chunk, copy, report_rows
from emr_store.texts import DistinctTexts, distinct_texts
from schemas.report import Kind

REPEATED_MIN = 64  # reports with texts: of fewer two more statements cost more than they spare


def put(conn: psycopg.Connection, chunk: Chunk) -> None:
    """Store the rows of all reports but waveforms; inside the caller's transaction."""
    texted = np.flatnonzero(chunk.texted & (chunk.table.kind != Kind.WAVEFORM))
    if len(texted) >= REPEATED_MIN:
        found = distinct_texts(chunk.table, texted)
        if 2 * len(found.texts) <= len(texted):
            _put_repeated(conn, chunk, texted, found)
            return
    copy(conn, "report", report_rows(chunk))


def _put_repeated(conn: psycopg.Connection, chunk: Chunk, texted: NDArray[Any], found: DistinctTexts) -> None:
    """The texts are put to the rows of these reports by the database."""
    is_texted = np.zeros(len(chunk.table), bool)
    is_texted[texted] = True
    if not is_texted.all():
        copy(conn, "report", report_rows(chunk, np.flatnonzero(~is_texted)))
    text_numbers = np.zeros(len(chunk.table), np.int32)
    text_numbers[texted] = found.which
    conn.execute(_IN_SQL)
    copy(conn, f"report_in ({_COLUMNS}, text_number)", report_rows(chunk, texted, text_numbers))
    conn.execute(_PUT_SQL.encode(), {"texts": [text.decode() for text in found.texts]})


_COLUMNS = (
    "observed_at, received_at, device, channel_set, kind, flags, sequence, batch, leaf, value, decimals, validity,"
    " validation_result, channel_index"
)
# Made where it is needed: of most connections that is never.
_IN_SQL = "CREATE TEMPORARY TABLE IF NOT EXISTS report_in (LIKE report, text_number int4) ON COMMIT DELETE ROWS"
_PUT_SQL = f"""
INSERT INTO report ({_COLUMNS}, texts)
SELECT {_COLUMNS}, t.said FROM report_in r
JOIN unnest((%(texts)s::text[])::jsonb[]) WITH ORDINALITY AS t(said, n) ON t.n = r.text_number + 1
"""
