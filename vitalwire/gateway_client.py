"""The gateway as commands ask it: as who made `vitalwire login`, with the session kept in a file of that person."""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from gateway.people.cookies import CSRF_HEADER, SECURE_COOKIE
from gateway.people.sessions import COOKIE
from runtime.config import read_secret
from runtime.errors import EXIT_UNREACHABLE, UserError
from runtime.tls import check_client, client_context
from vitalwire.record import WrittenOut

TIMEOUT_S = 30.0
LOG_IN = "vitalwire login"
SIGNED_OUT = f"signed out: {LOG_IN}"
# What is denied and what is not there have one answer.
NO_ACCESS = "it is not there, or it is not yours to see or change"
REASONS = {
    "store_away": "the gateway's store does not answer: nothing was done; try again",
    "no_right": "the gateway may not change anything: its login of the database is not a clerk",
    "not_own": f"the gateway did not take this: {LOG_IN} once more, with its address as browsers have it",
    "unreadable": "the gateway did not understand this: are both of one version?",
    "no_reason": "say why: --why",
    "reason_too_long": "the reason is too long",
    "too_many": "too many sign-ins wait for an answer: try again in some minutes",
    "access_denied": "it was refused, or the session that agreed is over",
    "expired_token": f"nobody agreed in time: {LOG_IN} once more",
}
Answer = TypeVar("Answer")


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As kept. `ca`: the file of the CA of the gateway's certificate, "" for the system's.

    `secret` is all that the gateway asks for; `ends_at` is in milliseconds since 1970.
    """

    gateway: str
    ca: str
    secret: str
    csrf: str
    staff: str
    name: str
    role: str
    ends_at: int


class RefusedError(UserError):
    """The gateway said no, in `word`."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word


class Gateway:
    """Speaks to one; `session` None: as nobody. Each method raises UserError, with the remedy."""

    def __init__(self, address: str, ca: str = "", session: Session | None = None) -> None:
        self.address, self._session = address, session
        self._split = urlsplit(address)
        is_https = self._split.scheme == "https"
        self._tls = client_context(Path(ca) if ca else None) if is_https else None
        self._cookie = SECURE_COOKIE if is_https else COOKIE

    def get(self, path: str, kind: type[Answer], asked: Mapping[str, object] | None = None) -> Answer:
        """What is there, as `kind`. Of `asked` None and "" are left out; instants are ISO 8601."""
        return _decoded(self._ask("GET", _with_query(path, asked)), kind)

    def file(self, path: str, asked: Mapping[str, object] | None = None) -> bytes:
        """What is there, as it comes."""
        return self._ask("GET", _with_query(path, asked))

    def post(self, path: str, wish: object, kind: type[Answer] | None = None) -> Answer | None:
        """It is done; what it answered as `kind`."""
        found = self._ask("POST", path, msgspec.json.encode(wish))
        return None if kind is None else _decoded(found, kind)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            connection = self._connection()
            connection.request(method, path, body, self._headers())
            answer = connection.getresponse()
            found = answer.read()
            connection.close()
        except ssl.SSLCertVerificationError as error:
            text = f"the certificate of {self.address} is not trusted ({error.verify_message}): name its CA with --ca"
            raise UserError(text, EXIT_UNREACHABLE) from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UserError(f"the gateway {self.address} cannot be reached: {why}", EXIT_UNREACHABLE) from None
        if answer.status in (200, 204):
            return found
        raise self._refusal(answer.status, found)

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._split.hostname or "", self._split.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self._tls)

    def _headers(self) -> dict[str, str]:
        headers = {"Origin": self.address, "Content-Type": "application/json"}
        if self._session is not None:
            headers |= {"Cookie": f"{self._cookie}={self._session.secret}", CSRF_HEADER: self._session.csrf}
        return headers

    def _refusal(self, status: int, body: bytes) -> UserError:
        if status == 401:
            return UserError(SIGNED_OUT)
        if status == 503:
            return UserError(REASONS["store_away"], EXIT_UNREACHABLE)
        try:
            said = msgspec.json.decode(body, type=_Refusal)
        except (msgspec.MsgspecError, ValueError):
            return UserError(f"{self.address} answers {status}: is it a gateway of vitalwire?")
        if said.ask == "reason":
            page = f"{self.address}/chart/{quote(said.encounter)}"
            return UserError(f"a reason is asked for, as it is no stay of yours: give one on {page} and try again")
        if said.refused == "no_access":
            return UserError(NO_ACCESS)
        return RefusedError(said.refused, REASONS.get(said.refused, f"refused: {said.refused}"))


class _Refusal(msgspec.Struct, frozen=True):
    refused: str = ""
    ask: str = ""
    encounter: str = ""


def parse_gateway(text: str) -> str:
    """The address as browsers have it: https, or http on this machine. Raises UserError."""
    try:
        split = urlsplit(text.rstrip("/"))
        host, port = split.hostname or "", split.port
    except ValueError:
        raise UserError(f"{text!r} is no address of a gateway: https://NAME, as in a browser") from None
    if split.scheme not in ("https", "http") or not host or split.path or split.query or split.username is not None:
        raise UserError(f"{text!r} is no address of a gateway: https://NAME, as in a browser")
    if split.scheme == "http":
        check_client(host, tls=False, insecure=False, mend="write https://")
    named = f"[{host}]" if ":" in host else host
    is_usual = port is None or port == {"https": 443, "http": 80}[split.scheme]
    return f"{split.scheme}://{named}" + ("" if is_usual else f":{port}")


def session_file() -> Path:
    """Where the session of this person is kept."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "vitalwire" / "session"


def keep_session(session: Session) -> None:
    """Readable by this person alone."""
    path = session_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"session.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(session))
    fresh.replace(path)


def forget_session() -> None:
    """It is not kept any more."""
    session_file().unlink(missing_ok=True)


def kept_session() -> Session | None:
    """None: nobody made `vitalwire login`. Raises UserError for a file that others may read."""
    path = session_file()
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_secret(path), type=Session)
    except (msgspec.MsgspecError, ValueError):
        raise UserError(f"{path} holds no session: {LOG_IN}") from None


def signed_in_gateway() -> Gateway:
    """Of who made `vitalwire login`. Raises UserError where nobody did."""
    session = kept_session()
    if session is None:
        raise UserError(f"nobody is signed in here: {LOG_IN}")
    return Gateway(session.gateway, session.ca, session)


def gateway_or_database(database: str) -> Gateway | None:
    """Through what a command about patients goes; None: the database, which is an operators' door.

    That is where `--database` is written out, or where nobody is signed in and VITALWIRE_DATABASE names one.
    """
    is_signed_in = kept_session() is not None
    if isinstance(database, WrittenOut) or (database and not is_signed_in):
        return None
    if not is_signed_in:
        raise UserError(f"nobody is signed in here: {LOG_IN} (an operator: --database)")
    return signed_in_gateway()


def _decoded(body: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError):
        raise UserError(REASONS["unreadable"]) from None


def _with_query(path: str, asked: Mapping[str, object] | None) -> str:
    given = {name: _written(each) for name, each in (asked or {}).items() if each is not None and each != ""}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _written(value: object) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
