"""`vitalwire login`, `logout`, `whoami`: commands about patients go through the gateway, as who signed in."""

from __future__ import annotations

import getpass
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gateway.people.command_line import Unanswered
from gateway.people.command_line_routes import BEGIN, NAME_CHARS_MAX, POLL
from runtime.errors import UserError
from vitalwire.gateway_client import (
    SIGNED_OUT,
    Gateway,
    RefusedError,
    Session,
    forget_session,
    keep_session,
    kept_session,
    parse_gateway,
    signed_in_gateway,
)
from vitalwire.output import as_json, cell, console
from vitalwire.record import Json

SLOWER_S = 5.0  # RFC 8628, section 3.5


class Codes(msgspec.Struct, frozen=True):
    """What the gateway answers first."""

    device_code: str
    user_code: str
    verification_uri: str
    expires_in: int
    interval: float


class _LetIn(msgspec.Struct, frozen=True):
    secret: str
    csrf: str
    staff: str
    name: str
    role: str
    ends_at: int


class _Me(msgspec.Struct, frozen=True):
    id: str
    name: str
    role: str
    wards: list[str]
    ends_at: int


def login(
    gateway: Annotated[
        str, typer.Option(envvar="VITALWIRE_GATEWAY", help="its address as in a browser")
    ] = "http://localhost:8420",
    ca: Annotated[Path | None, typer.Option(help="CA file of its certificate; else the system's")] = None,
    json: Json = False,
) -> None:
    """Sign in: vitalwire login --gateway https://icu.hospital.example.

    It prints a code. Type it on the page that it names, where you are signed in, and agree: commands about patients are
    yours from then on, with what you may see and do, until your session ends or `vitalwire logout`.
    """
    address, ca_file = parse_gateway(gateway), str(ca.resolve()) if ca else ""
    with suppress(UserError):  # an old session that cannot be ended, or read, keeps nobody from a new one
        _end(kept_session())
    session = log_in(Gateway(address, ca_file), ca_file, lambda codes: _show(codes, json=json))
    keep_session(session)
    _print(session, json=json)


def log_in(
    gateway: Gateway, ca: str, show: Callable[[Codes], None], pause: Callable[[float], None] = time.sleep
) -> Session:
    """Ask, have the code shown, and wait for the person's word. Raises UserError."""
    wish = {"host": socket.gethostname()[:NAME_CHARS_MAX] or "?", "user": _user()[:NAME_CHARS_MAX]}
    codes = gateway.post(BEGIN, wish, Codes)
    assert codes is not None
    show(codes)
    interval_s = codes.interval
    while True:
        pause(interval_s)
        try:
            found = gateway.post(POLL, {"device_code": codes.device_code}, _LetIn)
        except RefusedError as refused:
            if refused.word == Unanswered.SLOW_DOWN:
                interval_s += SLOWER_S
            elif refused.word != Unanswered.PENDING:
                raise
            continue
        assert found is not None
        return Session(gateway=gateway.address, ca=ca, **msgspec.structs.asdict(found))


def logout(json: Json = False) -> None:
    """Sign out: the session ends at the gateway, and the file that kept it is gone."""
    session = kept_session()
    ended = _end(session)
    if json:
        as_json({"ended": ended})
        return
    console.print("signed out" if ended else "nobody was signed in")


def whoami(json: Json = False) -> None:
    """As whom commands about patients are answered, at which gateway, and until when."""
    gateway = signed_in_gateway()
    me = gateway.get("/me", _Me)
    if json:
        as_json({**msgspec.structs.asdict(me), "ends_at": _moment(me.ends_at), "gateway": gateway.address})
        return
    wards = ", ".join(" ".join(reversed(ward.split("^"))).strip() for ward in me.wards)
    words = f"{me.id} {me.name}, {me.role}" + (f" of {wards}" if wards else "")
    console.print(cell(f"{words}, at {gateway.address} until {cell(_moment(me.ends_at))}"), markup=False)


def _show(codes: Codes, *, json: bool) -> None:
    if json:
        as_json({each: getattr(codes, each) for each in ("verification_uri", "user_code", "expires_in")})
    else:
        console.print(f"open {codes.verification_uri} where you are signed in, and type", markup=False)
        console.print(f"    {codes.user_code}", markup=False)
    sys.stdout.flush()  # who reads it through a pipe must not wait for the end


def _print(session: Session, *, json: bool) -> None:
    ends_at = _moment(session.ends_at)
    if json:
        as_json({"staff": session.staff, "name": session.name, "role": session.role, "ends_at": ends_at})
        return
    console.print(
        cell(f"signed in as {session.staff} {session.name}, {session.role}, until {cell(ends_at)}"), markup=False
    )  # fmt: skip


def _end(session: Session | None) -> bool:
    """Whether one ended. One that the gateway ended before is none that is left."""
    if session is None:
        return False
    try:
        Gateway(session.gateway, session.ca, session).post("/sign-out", {})
    except UserError as error:
        if str(error) != SIGNED_OUT:
            where = f"it is forgotten here; there it ends by itself, or on {session.gateway}/people"
            raise UserError(f"{error}; {where}", error.exit_code) from None
    finally:
        forget_session()
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return "?"


def _moment(at_ms: int) -> Any:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
