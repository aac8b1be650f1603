"""The simulated OpenID provider, served in a thread; and a browser that goes from page to page."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from aiohttp import web

from gateway.people.oidc import Provider
from simulators.oidc import Person, Simulator
from vitalwire.embedded.services import free_port

CLIENT, SECRET = "vitalwire", "a secret of the test"


@contextmanager
def running_provider(staff: str) -> Iterator[Simulator]:
    """It signs in whoever comes as this member of staff."""
    port = free_port()
    simulator = Simulator(f"http://127.0.0.1:{port}", CLIENT, SECRET, Person(staff))
    loop, started, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def run() -> None:
        runner = web.AppRunner(simulator.application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        started.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(20)
    yield simulator
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


def client_of(simulator: Simulator) -> Provider:
    """As the site's file names it."""
    return Provider(simulator.issuer, CLIENT, SECRET)


def go_through(browser: httpx.Client, address: str) -> httpx.Response:
    """By each redirect, until the browser would show a page of ours: the answer that sends it there."""
    answer = browser.get(address)
    while answer.is_redirect and "/sign-in/callback" not in str(answer.request.url):
        answer = browser.get(answer.headers["location"])
    return answer
