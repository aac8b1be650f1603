"""`vitalwire login`: the command line asks, a person who is signed in agrees on a page, the program gets a session."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.answers import as_json
from gateway.pages import command_line as command_line_page
from gateway.people.attempts import SignInAttempts
from gateway.people.command_line import INTERVAL_S, LASTS_S, Asker, CommandLineLogins, Unanswered, shown_code
from gateway.people.cookies import csrf_token
from gateway.people.entering import AGENT_CHARS_MAX, address_of
from gateway.people.factors import Factor
from gateway.people.principals import person_of
from gateway.people.public_origin import public_origin_of
from gateway.people.sessions import Sessions, SignedIn
from gateway.people.sign_in_required import SIGN_IN
from gateway.posting import RefusedError, done, posting
from gateway.same_origin import is_own_page

NAME_CHARS_MAX = 80
BEGIN, POLL = f"{SIGN_IN}/command-line/begin", f"{SIGN_IN}/command-line/poll"


class BeginWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a program says of where it runs; nobody vouches for it."""

    host: str
    user: str


class PollWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether somebody has answered."""

    device_code: str


class CodeWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code that a person read at the program and typed."""

    code: str


class AnswerWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The person's word on it."""

    code: str
    agreed: bool


class CommandLineRoutes:
    """The doors of `command_line_routes`."""

    def __init__(self, sessions: Sessions, logins: CommandLineLogins, attempts: SignInAttempts) -> None:
        self._sessions, self._logins, self._attempts = sessions, logins, attempts

    def begin(self, request: Request, wish: BeginWish) -> Response:
        """Both codes, and where the person types the one."""
        for said in (wish.host, wish.user):
            if not said.isprintable() or not 0 < len(said) <= NAME_CHARS_MAX:
                raise RefusedError("unreadable")
        begun = self._logins.begin(Asker(wish.host, wish.user, address_of(request)))
        if begun is None:
            raise RefusedError("too_many")
        return as_json({
            "device_code": begun.device_code, "user_code": shown_code(begun.user_code),
            "verification_uri": public_origin_of(request).url(command_line_page.PAGE.path, request),
            "expires_in": round(LASTS_S), "interval": INTERVAL_S,
        })  # fmt: skip

    def poll(self, request: Request, wish: PollWish) -> Response:
        """A session beside that of who agreed: by the same factor, and it ends with it at the latest."""
        found = self._logins.poll(wish.device_code, address_of(request))
        if isinstance(found, Unanswered):
            raise RefusedError(found)
        asker, approver = found
        agent = f"vitalwire login: {asker.user}@{asker.host}"[:AGENT_CHARS_MAX]
        secret = self._sessions.begin_beside(approver, asker.address, agent)
        signed_in = self._sessions.current(secret) if secret is not None else None
        if secret is None or signed_in is None:
            raise RefusedError(Unanswered.DENIED)
        return as_json({
            "secret": secret, "csrf": csrf_token(secret), "staff": signed_in.viewer.id, "name": signed_in.viewer.name,
            "role": signed_in.viewer.role, "ends_at": round(signed_in.row.ends_at.timestamp() * 1000),
        })  # fmt: skip

    def find(self, request: Request, wish: CodeWish) -> Response:
        """Who asks by this code, for the person to compare."""
        asker = self._asker_of(request, wish.code)
        return as_json({
            "host": asker.host, "user": asker.user, "address": asker.address,
            "ends_at": round(self._signed_in(request).row.ends_at.timestamp() * 1000),
        })  # fmt: skip

    def answer(self, request: Request, wish: AnswerWish) -> Response:
        """It gets a session, or is refused."""
        self._asker_of(request, wish.code)
        session = self._signed_in(request).row.session if wish.agreed else None
        if self._logins.answer(wish.code, session) is None:
            raise RefusedError("no_such_code")
        return done()

    def _asker_of(self, request: Request, code: str) -> Asker:
        """Raises RefusedError. Who guesses waits: by the person, and by the address."""
        account, address = f"command-line:{self._person(request)}", address_of(request)
        if self._attempts.wait_s(Factor.COMMAND_LINE, account, address) > 0:
            raise RefusedError("wait")
        asker = self._logins.asker_of(code)
        if asker is None:
            self._attempts.note(Factor.COMMAND_LINE, account, address, succeeded=False)
            raise RefusedError("no_such_code")
        return asker

    def _person(self, request: Request) -> str:
        """A program that was let in lets no other one in."""
        viewer = person_of(request)
        if self._signed_in(request).is_command_line:
            raise RefusedError("no_access")
        return viewer.id

    @staticmethod
    def _signed_in(request: Request) -> SignedIn:
        signed_in: SignedIn = request.state.signed_in
        return signed_in


def command_line_routes(
    sessions: Sessions, attempts: SignInAttempts, logins: CommandLineLogins | None = None
) -> list[Route]:
    """All of them."""
    of = CommandLineRoutes(sessions, logins or CommandLineLogins(), attempts)
    return [
        Route(BEGIN, posting(of.begin, BeginWish, own=is_own_page), methods=["POST"]),
        Route(POLL, posting(of.poll, PollWish, own=is_own_page), methods=["POST"]),
        Route("/command-line/find", posting(of.find, CodeWish), methods=["POST"]),
        Route("/command-line/answer", posting(of.answer, AnswerWish), methods=["POST"]),
    ]
