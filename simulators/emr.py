"""A receiver for FHIR over HTTP and HL7 v2 over MLLP, with a table of its own, a page for people, and faults.

Three addresses on loopback: FHIR's base, MLLP, and the page: `GET /` and `/table.txt` for people, `/table` as JSON,
`GET /faults` and `PUT /faults` with words such as `slow=0.02 ae=3` (simulators/emr_faults.py). While it is `down` the
page is still there.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from simulators.emr_faults import Faults
from simulators.emr_fhir import FhirStore
from simulators.emr_hl7 import Receiver
from simulators.emr_http import fhir_app
from simulators.emr_mllp import MllpServer
from simulators.emr_table import Table

Address = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class EmrPlan:
    """Port 0: a free one. `table`: a file that outlives the process; None: in memory. `faults`: those at the start."""

    fhir: Address = ("127.0.0.1", 0)
    mllp: Address = ("127.0.0.1", 0)
    page: Address = ("127.0.0.1", 0)
    table: Path | None = None
    faults: str = ""
    seed: int = 1

    def __post_init__(self) -> None:
        for host, port in (self.fhir, self.mllp, self.page):
            try:
                is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
            except ValueError:
                is_loopback = False
            if not is_loopback:
                raise ValueError(f"{host}:{port} is not on loopback: nobody signs in here, write 127.0.0.1:{port}")


class _HttpServer:
    """An application at an address; can be taken down, and comes up again at the same port."""

    def __init__(self, app: web.Application, address: Address) -> None:
        self._runner, self._address = web.AppRunner(app, handle_signals=False), address
        self._site: web.TCPSite | None = None

    @property
    def address(self) -> Address:
        return self._address

    async def up(self) -> None:
        if self._site is not None:
            return
        if self._runner.server is None:
            await self._runner.setup()
        site = web.TCPSite(self._runner, *self._address, reuse_address=True)
        await site.start()
        self._site = site
        host, port, *_ = self._runner.addresses[0]
        self._address = (host, port)

    async def down(self) -> None:
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()
            if self._runner.server is not None:
                await self._runner.server.shutdown(0.1)  # what is connected already

    async def close(self) -> None:
        await self._runner.cleanup()


class Emr:
    """One that runs: its addresses, its table and its faults."""

    def __init__(self, plan: EmrPlan) -> None:
        self.faults = Faults(plan.faults, plan.seed)
        self.table = Table(plan.table)
        self._mllp = MllpServer(Receiver(self.table, self.faults), self.faults, plan.mllp)
        self._fhir = _HttpServer(fhir_app(FhirStore(self.table, self.faults), self.faults), plan.fhir)
        self._page = _HttpServer(self._page_app(), plan.page)

    @property
    def fhir_url(self) -> str:
        """The base, without a slash at its end."""
        return "http://{}:{}".format(*self._fhir.address)

    @property
    def mllp_address(self) -> Address:
        """Host and port."""
        return self._mllp.address

    @property
    def page_url(self) -> str:
        """Of the table, for a browser."""
        return "http://{}:{}".format(*self._page.address)

    async def set_faults(self, words: str) -> None:
        """These and no others. Raises ValueError, with what is possible, for what is none."""
        self.faults.set(words)
        await self._listen()

    async def start(self) -> None:
        """Raises OSError where a port is taken."""
        await self._fhir.up()
        await self._mllp.up()  # so that both have their ports, also where they go down again at once
        await self._page.up()
        await self._listen()

    async def close(self) -> None:
        """Ends all three, and the table."""
        await self._mllp.down()
        await self._fhir.close()
        await self._page.close()
        self.table.close()

    async def _listen(self) -> None:
        for server in (self._fhir, self._mllp):
            await (server.down() if self.faults.is_on("down") else server.up())

    def _page_app(self) -> web.Application:
        app = web.Application()
        app.add_routes([
            web.get("/", self._html), web.get("/table", self._json), web.get("/table.txt", self._text),
            web.get("/faults", self._show_faults), web.put("/faults", self._put_faults),
        ])  # fmt: skip
        return app

    async def _html(self, request: web.Request) -> web.Response:
        return web.Response(text=self.table.as_html(self.faults.words), content_type="text/html")

    async def _json(self, request: web.Request) -> web.Response:
        return web.json_response(self.table.as_json())

    async def _text(self, request: web.Request) -> web.Response:
        return web.Response(text=self.table.as_text())

    async def _show_faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": self.faults.words, "happened": dict(self.faults.happened)})

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            await self.set_faults(await request.text())
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        return await self._show_faults(request)


@asynccontextmanager
async def running_emr(plan: EmrPlan) -> AsyncIterator[Emr]:
    """One, until the block ends. Raises OSError where a port is taken."""
    emr = Emr(plan)
    try:
        await emr.start()
        yield emr
    finally:
        with suppress(OSError):
            await emr.close()


async def run_emr(
    plan: EmrPlan, stop: asyncio.Event, announce: Callable[[Emr], None], duration_s: float | None = None
) -> None:
    """Until `stop` is set, or for so long; `announce` is given it once it listens. Raises OSError as `running_emr`."""
    async with running_emr(plan) as emr:
        announce(emr)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), duration_s)
