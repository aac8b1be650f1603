"""A hospital that lets boxes in: the real gateway over TLS, on a database, with an authority of its own."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx

from emr_store import invitations, registry
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.invitation_codes import code_hash, new_code
from gateway.people.public_origin import PublicOrigin
from gateway.people.sign_in_settings import SignInSettings
from runtime.pki import Pki
from runtime.tls import server_context
from tests.making import Key
from tests.runtime.conftest import Certified
from tests.wire import eventually
from vitalwire.embedded.services import free_port
from vitalwire.page import serve

ENGINEER = Author("staff:B1", "")
START_S = 20


class EnrollingHospital:
    """`certified`: of the gateway, and the authority that boxes believe it by."""

    def __init__(self, database: str, folder: Path, certified: Certified, pki: Pki | None = None) -> None:
        """`pki`: the authority that a broker trusts already; the processors that run there have noted their key."""
        self.database, self.certified, self.platform = database, certified, Key()
        passphrase = folder / "pki.passphrase"
        passphrase.touch(0o600)
        passphrase.write_text("correct horse battery")
        self.pki = pki or Pki.create(folder / "pki", "Hospital X boxes", passphrase)
        if pki is None:
            with open_store(database) as conn:
                registry.note_platform_key(conn, self.platform.public_der)
        self.start()

    def start(self) -> None:
        port = free_port()
        self.address = f"https://localhost:{port}"
        settings = SignInSettings(public_origin=PublicOrigin(self.address), pki=self.pki)
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        tls = server_context(self.certified.cert, self.certified.key)
        work = serve(self.database, port, self._stop, settings=settings, tls=tls)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(work,), daemon=True)
        self._thread.start()
        eventually(self._answers, START_S, "the gateway answers")

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)
        self._loop.close()

    def invite(self, label: str = "ICU box 2") -> str:
        """The code."""
        code = new_code()
        hashed = code_hash(code)
        assert hashed is not None
        with open_store(self.database) as conn:
            invitations.invite(conn, label, hashed, ENGINEER)
        return code

    def agree(self, key_id: bytes) -> str:
        """To the box that waits with this key; its edge."""
        with open_store(self.database) as conn:
            row = invitations.of_key(conn, key_id)
            assert row is not None
            return str(invitations.agree(conn, row.invitation, key_id, ENGINEER))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/sign-in", verify=False, trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False
