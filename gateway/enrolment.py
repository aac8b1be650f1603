"""`/enrol`: the one door for boxes, without a login. A code lets a box ask; a person lets it in; its key proves it.

Whatever is not believed gets one answer. What a box sends is bounded, and who fails often waits (gateway/people).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emr_store import acts, invitations, security_keys
from emr_store.acts import Author
from emr_store.connect import StoreError, open_store
from emr_store.invitation_codes import code_hash
from emr_store.invitations import EdgeOfKey, InvitationRow
from evidence.signature import key_id, verify
from gateway.answers import HEADERS
from gateway.asking import REFUSED_BODY
from gateway.people.attempts import SignInAttempts
from gateway.people.entering import address_of
from gateway.people.factors import Factor
from runtime.errors import UserError
from runtime.pki import Issued, Pki, issued
from schemas import enrolment
from schemas.enrolment import BODY_BYTES_MAX, CSR_CHARS_MAX, KEY_BYTES_MAX, PATH, Challenged, Standing

_MAGIC = b"VWEDGE01"  # the first bytes of a challenge say what for, as gateway/people/security_keys.py has them
_log = structlog.get_logger("enrolment")
NO_AUTHORITY = "this gateway has no authority: a person issues it, `vitalwire pki issue`, to the box's kafka.csr"


class _RefusedError(Exception):
    """What was shown is not believed."""


class _WaitError(Exception):
    """Too much failed at this address."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Enrolment:
    """What boxes may ask; its methods block, and raise StoreError, _RefusedError and _WaitError."""

    clerk_conninfo: str
    attempts: SignInAttempts
    pki: Pki | None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def answer(self, asked: enrolment.Request, address: str) -> Challenged | Standing:
        """To one question."""
        if isinstance(asked, enrolment.AskChallenge):
            return self._challenge(asked, address)
        if wait_s := self.attempts.wait_s(Factor.EDGE, "", address):
            raise _WaitError(wait_s)
        try:
            return self._begin(asked, address) if isinstance(asked, enrolment.Begin) else self._prove(asked)
        except _RefusedError:
            self.attempts.note(Factor.EDGE, "", address, succeeded=False)
            raise

    def _challenge(self, asked: enrolment.AskChallenge, address: str) -> Challenged:
        """To whoever asks: whether a key is known is said to who has it."""
        if len(asked.key_id) != 32:
            raise _RefusedError
        if wait_s := self.attempts.begin(Factor.EDGE, address):
            raise _WaitError(wait_s)
        with open_store(self.clerk_conninfo) as conn:
            return Challenged(self._new_challenge(conn, asked.key_id))

    def _begin(self, asked: enrolment.Begin, address: str) -> Challenged:
        code = code_hash(asked.code)
        if code is None or not _is_signing_key(asked.public_key):
            raise _RefusedError
        with open_store(self.clerk_conninfo) as conn:
            if invitations.use(conn, code, asked.public_key, address) is None:
                raise _RefusedError
            return Challenged(self._new_challenge(conn, key_id(asked.public_key)))

    def _prove(self, asked: enrolment.Prove) -> Standing:
        if len(asked.csr) > CSR_CHARS_MAX:
            raise _RefusedError
        with open_store(self.clerk_conninfo) as conn:
            if not security_keys.take_challenge(conn, asked.challenge, _bound_to(asked.key_id), self.now()):
                raise _RefusedError
            row, edge = invitations.of_key(conn, asked.key_id), invitations.edge_of_key(conn, asked.key_id)
            public = edge.public_der if edge is not None else row.public_der if row is not None else None
            message = enrolment.proof_message(asked.challenge, asked.csr)
            if public is None or not verify(public, asked.signature, message):
                raise _RefusedError
            return self._standing(conn, row, edge, asked)

    def _standing(
        self, conn: Any, row: InvitationRow | None, edge: EdgeOfKey | None, asked: enrolment.Prove
    ) -> Standing:  # fmt: skip
        """Of a box that has the key."""
        challenge = self._new_challenge(conn, asked.key_id)
        if edge is not None and edge.is_valid:
            return self._let_in(conn, edge, asked.csr, challenge)
        if edge is not None:
            return Standing("refused", challenge, why="the hospital revoked this key, or it has expired")
        if row is not None and row.agrees is None and not invitations.has_ended(row, acts.now(conn)):
            return Standing("pending", challenge)
        return Standing("refused", challenge, why="nobody agreed: ask for another invitation")

    def _let_in(self, conn: Any, edge: EdgeOfKey, csr: str, challenge: bytes) -> Standing:
        platform = invitations.newest_platform_key(conn)
        standing = Standing(
            "agreed", challenge, edge=str(edge.edge), label=edge.label, platform_key=_pem(platform) if platform else ""
        )
        if not csr:
            return standing
        if self.pki is None:
            return msgspec.structs.replace(standing, why=NO_AUTHORITY)
        try:
            certificate = self._certificate(conn, self.pki, edge, csr)
        except UserError as error:
            _log.warning("no certificate was issued", edge=str(edge.edge), why=str(error))
            why = "no certificate was issued: the gateway's log says why; `vitalwire pki issue` issues one by hand"
            return msgspec.structs.replace(standing, why=why)
        return msgspec.structs.replace(standing, certificate=certificate.pem, ca=self.pki.ca_pem)

    def _certificate(self, conn: Any, pki: Pki, edge: EdgeOfKey, csr: str) -> Issued:
        """Raises UserError, also where a person revoked the newest one that this edge had."""
        name = str(edge.edge)
        had = [each for each in issued(pki.folder) if each.name == name]
        if had and had[-1].revoked_at is not None:
            raise UserError(f"the newest certificate of {name} was revoked: only a person issues to it again")
        certificate = pki.issue(csr, name, self.now())
        author = Author(f"edge:{name}")
        invitations.note_certificate(conn, edge.edge, certificate.serial, certificate.not_after, author)
        return certificate

    def _new_challenge(self, conn: Any, key: bytes) -> bytes:
        challenge = _MAGIC + secrets.token_bytes(32)
        security_keys.put_challenge(conn, challenge, _bound_to(key), self.now())
        return challenge


def _bound_to(key: bytes) -> str:
    return f"edge-key:{key.hex()}"


def _is_signing_key(public_der: bytes) -> bool:
    """Of P-256, in its one encoding: the id of a key is the hash of these bytes."""
    try:
        key = load_der_public_key(public_der) if len(public_der) <= KEY_BYTES_MAX else None
    except (ValueError, UnsupportedAlgorithm):
        return False
    return (
        isinstance(key, ec.EllipticCurvePublicKey)
        and isinstance(key.curve, ec.SECP256R1)
        and key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public_der
    )


def _pem(public_der: bytes) -> str:
    """Raises ValueError for what is no public key."""
    key = load_der_public_key(public_der)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def enrolment_routes(clerk_conninfo: str, attempts: SignInAttempts, pki: Pki | None) -> list[Route]:
    """One, for everybody. `pki` None: a person issues certificates."""
    of = Enrolment(clerk_conninfo, attempts, pki)

    async def enrol(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return Response(REFUSED_BODY, 413, media_type=_JSON, headers=HEADERS)
        try:
            asked: enrolment.Request = msgspec.json.decode(body, type=enrolment.Request)
            found = await run_in_threadpool(of.answer, asked, address_of(request))
        except _WaitError as error:
            headers = {**HEADERS, "Retry-After": str(error.wait_s)}
            said = msgspec.json.encode({"refused": "wait", "wait_s": error.wait_s})
            return Response(said, 429, media_type=_JSON, headers=headers)
        except (msgspec.MsgspecError, ValueError, _RefusedError):
            return Response(REFUSED_BODY, 403, media_type=_JSON, headers=HEADERS)
        except StoreError:
            return Response(b"{}", 503, media_type=_JSON, headers={**HEADERS, "Retry-After": "5"})
        return Response(msgspec.json.encode(found), media_type=_JSON, headers=HEADERS)

    return [Route(PATH, enrol, methods=["POST"])]


_JSON = "application/json"
