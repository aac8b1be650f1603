"""Reviews: what an auditor is to look at, and with which word somebody closed it. Nobody closes one about himself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import psycopg

from emr_store import acts
from emr_store.acts import Author
from schemas.errors import VitalwireError

WORD_CHARS_MAX = 500


class ReviewKind(StrEnum):
    """Why somebody is to look at it."""

    OUTSIDE_RELATIONS = "outside_relations"  # seen without a relation, by a reason alone
    BULK = "bulk"  # many stays in a short time
    RESTRICTED = "restricted"  # a restricted record was seen
    GRANT_EXPIRING = "grant_expiring"  # seen by a grant that is about to end
    BREAK_GLASS = "break_glass"  # somebody broke the glass
    EMERGENCY = "emergency"  # somebody came in by a sealed account
    KEY_COUNTER = "key_counter"  # a security key counted backwards: there may be a second one like it
    CUSTODY_COPY = "custody_copy"  # a sealed copy was opened


@dataclass(frozen=True)
class Review:
    """What is to be looked at. One of the same id is the same."""

    review: UUID
    kind: ReviewKind
    person: str  # whom it is about
    role: str
    patient: str | None
    encounter: str | None
    look: UUID | None
    detail: str
    opened_at: datetime


class ReviewRefusedError(VitalwireError):
    """Why a review stays open."""


class UnknownReviewError(ReviewRefusedError):
    """There is none of this id."""


class OwnReviewError(ReviewRefusedError):
    """It is about the very person who would close it."""


class ClosedReviewError(ReviewRefusedError):
    """Somebody was faster."""


def open_review(conn: psycopg.Connection, review: Review) -> bool:
    """Whether it was not there yet. In the caller's transaction, else committed when it returns."""
    return bool(write_review(conn, review))


def write_review(conn: psycopg.Connection, review: Review) -> int:
    """How many were written: 0 where it is there already."""
    return conn.execute(_OPEN_SQL, vars(review), prepare=True).rowcount


_OPEN_SQL = """
INSERT INTO review (review, kind, person, role, patient, encounter, look, detail, opened_at)
VALUES (%(review)s, %(kind)s, %(person)s, %(role)s, %(patient)s, %(encounter)s, %(look)s, %(detail)s, %(opened_at)s)
ON CONFLICT DO NOTHING
"""


def close_review(conn: psycopg.Connection, review: UUID, author: Author) -> None:
    """With the word in `author.why`, as an act. Raises ReviewRefusedError, and StoreError."""
    word = author.why.strip()
    if not word:
        raise ReviewRefusedError("a review is closed with a word: what was found (--word)")
    if len(word) > WORD_CHARS_MAX:
        raise ReviewRefusedError(f"the word has more than {WORD_CHARS_MAX} characters: say it shorter")
    with conn.transaction():
        found = conn.execute("SELECT kind, person FROM review WHERE review = %s", (review,)).fetchone()
        if found is None:
            raise UnknownReviewError(f"there is no review {review}: see `vitalwire audit reviews`")
        kind, person = found
        if is_about(person, author.by):
            raise OwnReviewError(f"review {str(review)[:8]} is about {person}: somebody else closes it")
        at = acts.now(conn)
        act_id = acts.record(
            conn, acts.act("review.close", author, at, review=str(review), review_kind=kind, person=person)
        )
        closed = conn.execute(
            "INSERT INTO review_closed (review, closed_at, by, word, act_id) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (review, at, author.by, word, act_id),
        ).rowcount
        if not closed:
            raise ClosedReviewError(f"review {str(review)[:8]} is closed already: see `vitalwire audit reviews --all`")


def is_about(person: str, by: str) -> bool:
    """Whether an act's `by` ("staff:1001", "os:1001@host") stands for this person."""
    _, _, who = by.rpartition(":")
    return who.partition("@")[0].casefold() == person.casefold()


@dataclass(frozen=True)
class ReviewRow:
    """One as an auditor reads it; `closed_at` None: it is open."""

    review: UUID
    kind: str
    person: str
    name: str  # of the staff file; "" of what is no person
    role: str
    patient: str | None
    encounter: str | None
    look: UUID | None
    detail: str
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    word: str | None


def reviews(
    conn: psycopg.Connection, *, closed_too: bool = False, person: str | None = None, since: datetime | None = None,
    limit: int = 1000,
) -> list[ReviewRow]:  # fmt: skip
    """The newest first; of one person, where one is named."""
    named = {"closed_too": closed_too, "person": person, "since": since, "limit": limit}
    return [ReviewRow(*row) for row in conn.execute(_LIST_SQL, named)]


_LIST_SQL = """
SELECT r.review, r.kind, r.person, coalesce(s.name, ''), r.role, r.patient, r.encounter, r.look, r.detail, r.opened_at,
    c.closed_at, c.by, c.word
FROM review r LEFT JOIN review_closed c USING (review) LEFT JOIN staff s ON s.staff = r.person
WHERE (%(closed_too)s OR c.review IS NULL) AND (%(person)s::text IS NULL OR r.person = %(person)s)
    AND (%(since)s::timestamptz IS NULL OR r.opened_at >= %(since)s)
ORDER BY r.opened_at DESC, r.review LIMIT %(limit)s
"""


def find_review(conn: psycopg.Connection, beginning: str) -> UUID:
    """The one whose id begins with this; raises UnknownReviewError where none or several do."""
    rows = conn.execute(
        "SELECT review FROM review WHERE starts_with(review::text, lower(%s)) LIMIT 2", (beginning,)
    ).fetchall()
    if len(rows) != 1:
        what = "several reviews begin" if rows else "no review begins"
        raise UnknownReviewError(f"{what} with {beginning!r}: see `vitalwire audit reviews`")
    found: UUID = rows[0][0]
    return found
