"""The box's side of `/enrol`: it shows the code once, and proves by its key that it is the one that asks."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from runtime.errors import EXIT_UNREACHABLE, UserError
from runtime.keys import SigningKey
from runtime.tls import check_client, client_context
from schemas.enrolment import (
    BODY_BYTES_MAX,
    PATH,
    AskChallenge,
    Begin,
    Challenged,
    Prove,
    Request,
    Standing,
    proof_message,
)

TIMEOUT_S = 15.0
T = TypeVar("T", Challenged, Standing)


class NotBelievedError(UserError):
    """The gateway believes neither code nor key; it says no more to anybody."""


class GatewayAwayError(UserError):
    """It does not answer, or asks to wait `wait_s`: the same question may be asked later."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message, EXIT_UNREACHABLE)
        self.wait_s = wait_s


class _Answer(msgspec.Struct):
    refused: str = ""
    wait_s: float = 0.0


class Gateway:
    """At "https://host:port"; `ca` None: the system's authorities. Each question is a connection of its own.

    Raises UserError for what is no such address, and for plaintext to another machine.
    """

    def __init__(self, address: str, ca: Path | None = None) -> None:
        parts = urlsplit(address)
        try:
            self._port = parts.port
        except ValueError:
            self._port = -1
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/") or self._port == -1:
            raise UserError(f"{address!r} is no address of a gateway: write https://NAME, as browsers open its pages")
        self._host, self._address = parts.hostname, address
        check_client(self._host, tls=parts.scheme == "https", insecure=False, mend="write https://")
        self._context = client_context(ca) if parts.scheme == "https" else None

    def begin(self, code: str, key: SigningKey) -> bytes:
        """Show the code with the key; what is to be signed next."""
        return self._ask(Begin(code, key.public_der), Challenged).challenge

    def prove(self, key: SigningKey, csr: str = "", challenge: bytes = b"") -> Standing:
        """How the box stands whose key this is. `challenge` b"": it is asked for first."""
        challenge = challenge or self._ask(AskChallenge(key.key_id), Challenged).challenge
        signature = key.sign(proof_message(challenge, csr))
        return self._ask(Prove(key.key_id, challenge, signature, csr), Standing)

    def _ask(self, asked: Request, kind: type[T]) -> T:
        """Raises NotBelievedError, GatewayAwayError, and UserError where it is not the gateway that answers."""
        status, body = self._post(msgspec.json.encode(asked))
        if status == 403:
            raise NotBelievedError(
                "the gateway did not believe it: a code opens once and for an hour; ask for a new one,"
                " `vitalwire registry edge invite`"
            )
        try:
            if status == 200:
                return msgspec.json.decode(body, type=kind)
            said = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError:
            said = _Answer()
            if status == 200:
                raise UserError(
                    f"{self._address} does not answer as a gateway does: is it the right address?"
                ) from None
        if status in (404, 405):
            raise UserError(f"{self._address} takes no boxes: is it the right address, and of this version?")
        why = f"asks to wait {said.wait_s:.0f} s" if said.wait_s else f"answers {status}: try again in a minute"
        raise GatewayAwayError(f"{self._address} {why}", said.wait_s)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        connection: http.client.HTTPConnection
        if self._context is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=self._context)
        try:
            connection.request("POST", PATH, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read(BODY_BYTES_MAX)
        except ssl.SSLCertVerificationError as error:
            raise UserError(
                f"{self._address} is not believed: {error.verify_message}; --ca names the file of the authority that"
                " signed its certificate"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "no answer"
            raise GatewayAwayError(f"{self._address} is not reached: {why}") from None
        finally:
            connection.close()
