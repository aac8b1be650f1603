from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from starlette.requests import Request

from emr_store.login_sessions import SessionRow
from gateway.access.viewer import Viewer
from gateway.access.words import Role
from gateway.people.fresh_sign_in import require_fresh_sign_in
from gateway.people.oidc import Provider
from gateway.people.sessions import COMMAND_LINE, Factor, SignedIn
from gateway.posting import RefusedError

ASKS_EACH_TIME = Provider("https://id.example", "vitalwire", "secret")
KNOWS_FOR_AN_HOUR = Provider("https://id.example", "vitalwire", "secret", max_age_s=3600)


def require(factor: Factor, minutes: float, provider: Provider | None, workstation: str = "") -> None:
    """Of a session that began so many minutes ago."""
    began_at = datetime.now(UTC) - timedelta(minutes=minutes)
    row = SessionRow(
        session=b"", principal="n1", factor=factor, credential=None, workstation=workstation, address="", agent="",
        began_at=began_at, seen_at=began_at, idle_s=None, ends_at=began_at + timedelta(hours=12), locked_at=None,
        ended_at=None, ended_by=None, end_reason=None,
    )  # fmt: skip
    request = Request({"type": "http", "state": {"signed_in": SignedIn(row, Viewer("n1", "a nurse", Role.NURSE))}})
    require_fresh_sign_in(request, provider)


@pytest.mark.parametrize("factor", [Factor.SECURITY_KEY, Factor.EMERGENCY, Factor.DEMO_LINK, Factor.PROVIDER])
def test_a_proof_is_fresh_for_ten_minutes(factor: Factor) -> None:
    require(factor, 9.9, ASKS_EACH_TIME)
    with pytest.raises(RefusedError, match="needs_fresh_sign_in"):
        require(factor, 10.1, ASKS_EACH_TIME)


def test_a_provider_that_did_not_ask_now_proves_nothing_of_now() -> None:
    for provider in (KNOWS_FOR_AN_HOUR, None):
        with pytest.raises(RefusedError, match="needs_fresh_sign_in"):
            require(Factor.PROVIDER, 0.0, provider)
    require(Factor.SECURITY_KEY, 0.0, KNOWS_FOR_AN_HOUR)


def test_a_program_that_a_person_let_in_is_never_fresh() -> None:
    with pytest.raises(RefusedError, match="needs_fresh_sign_in"):
        require(Factor.SECURITY_KEY, 0.0, ASKS_EACH_TIME, workstation=COMMAND_LINE)
