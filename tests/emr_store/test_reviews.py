from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from emr_store import acts, reviews
from emr_store.acts import Author
from emr_store.instants import moment
from emr_store.reviews import (
    ClosedReviewError,
    OwnReviewError,
    Review,
    ReviewKind,
    ReviewRefusedError,
    UnknownReviewError,
)
from tests.storing import Store

REVIEW = Review(
    UUID(int=9), ReviewKind.RESTRICTED, "N1", "nurse", "P1", "V1", None, "", moment(1_795_000_000_000_000)
)  # fmt: skip
AUDITOR = Author("staff:A1", "asked: she was called for help")


def test_a_review_is_opened_once_and_closed_with_a_word_as_an_act(database: str) -> None:
    with Store(database).open() as conn:
        assert reviews.open_review(conn, REVIEW)
        assert not reviews.open_review(conn, replace(REVIEW, detail="again"))
        (found,) = reviews.reviews(conn)
        assert (found.kind, found.person, found.detail, found.closed_at) == ("restricted", "N1", "", None)
        reviews.close_review(conn, REVIEW.review, AUDITOR)
        assert reviews.reviews(conn) == []
        (closed,) = reviews.reviews(conn, closed_too=True, person="N1")
        assert (closed.closed_by, closed.word) == (AUDITOR.by, AUDITOR.why)
        act = acts.acts(conn)[-1]
        assert (act.kind, act.by, act.why, act.details["person"]) == ("review.close", AUDITOR.by, AUDITOR.why, "N1")
        assert reviews.reviews(conn, closed_too=True, person="N2") == []


def test_what_cannot_be_closed_stays_open_and_leaves_no_act(database: str) -> None:
    with Store(database).open() as conn:
        reviews.open_review(conn, REVIEW)
        before = len(acts.acts(conn))
        refusals: list[tuple[type[ReviewRefusedError], UUID, Author]] = [
            (OwnReviewError, REVIEW.review, Author("staff:N1", "it was nothing")),
            (OwnReviewError, REVIEW.review, Author("os:n1@host", "it was nothing")),
            (UnknownReviewError, UUID(int=8), AUDITOR),
            (ReviewRefusedError, REVIEW.review, Author("staff:A1", "  ")),
            (ReviewRefusedError, REVIEW.review, Author("staff:A1", "x" * 501)),
        ]
        for error, review, author in refusals:
            with pytest.raises(error):
                reviews.close_review(conn, review, author)
        assert len(acts.acts(conn)) == before
        reviews.close_review(conn, REVIEW.review, AUDITOR)
        with pytest.raises(ClosedReviewError):
            reviews.close_review(conn, REVIEW.review, AUDITOR)
        assert len(acts.acts(conn)) == before + 1


def test_a_review_is_found_by_the_beginning_of_its_id(database: str) -> None:
    with Store(database).open() as conn:
        reviews.open_review(conn, REVIEW)
        reviews.open_review(conn, replace(REVIEW, review=UUID(int=10)))
        assert reviews.find_review(conn, str(REVIEW.review)) == REVIEW.review
        for beginning in ("0000", "abc"):
            with pytest.raises(UnknownReviewError):
                reviews.find_review(conn, beginning)
