"""What somebody does only soon after he proved who he is: a session that was left open, or taken, must not do it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from gateway.people.oidc import Provider
from gateway.people.sessions import Factor, SignedIn
from gateway.posting import RefusedError

WITHIN = timedelta(minutes=10)


def require_fresh_sign_in(request: Request, provider: Provider | None) -> None:
    """Raises RefusedError. A provider that may bring a sign-in of earlier that day proves nothing of now.

    Neither does a program that has a session by a person's word.
    """
    signed_in: SignedIn = request.state.signed_in
    is_old = datetime.now(UTC) - signed_in.row.began_at > WITHIN or signed_in.is_command_line
    may_be_older = provider is None or provider.max_age_s > WITHIN.total_seconds()
    if is_old or (signed_in.row.factor == Factor.PROVIDER and may_be_older):
        raise RefusedError("needs_fresh_sign_in")
