"""The broker over TLS with a client certificate, and plaintext on this machine alone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from edge_agent.config import EdgeConfig
from edge_agent.publisher import kafka_problem
from runtime.errors import UserError
from runtime.tls import server_context
from schemas.errors import VitalwireError
from tests.edge_agent.publisher.bench import Bench, put_batches, until
from tests.runtime.conftest import Certified, certify
from vitalwire.embedded.services import free_port

CA, CERT, KEY = Path("ca.pem"), Path("edge.crt"), Path("edge.key")


@pytest.mark.parametrize(
    ("kafka", "more", "says"),
    [
        ("127.0.0.1:9092", {}, ""),
        ("localhost:9092, 127.0.0.2:9093", {}, ""),
        ("[::1]:9092", {}, ""),
        ("kafka.hospital:9093", {"kafka_ca": CA}, ""),
        ("kafka.hospital:9093", {"kafka_ca": CA, "kafka_cert": CERT, "kafka_key": KEY}, ""),
        ("kafka.hospital:9092", {"insecure": True}, ""),
        ("kafka.hospital:9092", {}, "kafka: plaintext to kafka.hospital:9092 leaves this machine: set kafka_ca"),
        ("127.0.0.1:9092,10.0.0.5:9092", {}, "kafka: plaintext to 10.0.0.5:9092 leaves this machine: set kafka_ca"),
        ("k:1", {"kafka_ca": CA, "kafka_cert": CERT}, "kafka: edge.crt stands alone: set kafka_key too"),
        ("k:1", {"kafka_ca": CA, "kafka_key": KEY}, "kafka: edge.key stands alone: set kafka_cert too"),
        ("k:1", {"kafka_cert": CERT, "kafka_key": KEY}, "kafka: edge.crt is used over TLS alone: set kafka_ca"),
        ("kafka.hospital", {"insecure": True}, "kafka: 'kafka.hospital' is no address: write host:port"),
        ("k:1,", {"insecure": True}, "kafka: '' is no address"),
        ("k:70000", {"insecure": True}, "kafka: 'k:70000' is no address"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(kafka: str, more: dict[str, object], says: str) -> None:
    found = kafka_problem(EdgeConfig(edge="e", kafka=kafka, **more))  # type: ignore[arg-type]
    assert found.startswith(says)
    assert bool(found) == bool(says)


@contextmanager
def tls_in_front_of(port: int, broker: str, context: ssl.SSLContext) -> Iterator[None]:
    """A TLS listener that passes on to the broker what comes from whoever it lets in."""
    host, _, broker_port = broker.rpartition(":")
    loop = asyncio.new_event_loop()

    async def passes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection(host, int(broker_port))
        await asyncio.gather(passes(reader, broker_writer), passes(broker_reader, writer))

    listener = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", port, ssl=context))
    thread = Thread(target=loop.run_forever)
    thread.start()
    yield

    async def end() -> None:
        listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_batch_goes_over_tls_to_a_broker_that_knows_the_edges_certificate(
    bench: Bench, tmp_path: Path, ours: Certified
) -> None:
    edge = certify(tmp_path, "edge")
    tls_port = free_port()
    bench.broker.advertised = f"127.0.0.1:{tls_port}"
    with tls_in_front_of(tls_port, bench.broker.address, server_context(*ours, client_ca=edge.cert)):
        bench.broker.start(with_topics=False)
        security = {"security.protocol": "ssl", "ssl.ca.location": str(ours.cert)}
        security |= {"ssl.certificate.location": str(edge.cert), "ssl.key.location": str(edge.key)}
        bench.broker.create_topics(security)
        hospital = bench.hospital(security=security)
        spool, publisher = bench.edge(ca=ours.cert, cert=edge.cert, key=edge.key)
        put_batches(spool, 2)
        until(lambda: publisher.counts["released"] == 2, "receipts")
        assert hospital.numbers() == [1, 2]
        publisher.stop()
        hospital.stop()


@pytest.mark.parametrize("wrong", ["no certificate", "another's certificate", "another CA"])
def test_who_cannot_show_what_is_asked_for_reaches_nothing_and_cuts_nothing(
    bench: Bench, tmp_path: Path, ours: Certified, theirs: Certified, wrong: str
) -> None:
    edge = certify(tmp_path, "edge")
    tls_port = free_port()
    bench.broker.advertised = f"127.0.0.1:{tls_port}"
    shown = {"no certificate": {}, "another's certificate": dict(zip(("cert", "key"), theirs, strict=True))}
    more = shown.get(wrong, {"cert": edge.cert, "key": edge.key})
    ca = theirs.cert if wrong == "another CA" else ours.cert
    with tls_in_front_of(tls_port, bench.broker.address, server_context(*ours, client_ca=edge.cert)):
        bench.broker.start(with_topics=False)
        spool, publisher = bench.edge(ca=ca, **more)
        until(lambda: publisher.trouble, "something is said")
        if wrong == "another CA":  # of a listener that refuses us the client says no more than that it is down
            until(lambda: "broker-refused" in bench.events, "it is said that we refuse it")
            assert "certificate verify failed" in publisher.trouble
        assert publisher.broker is None
        publisher.stop()
        assert spool.figures.open_batches == 0


def test_plaintext_that_leaves_the_machine_and_a_key_for_all_to_read_are_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(VitalwireError, match=r"plaintext to kafka\.hospital:9092 leaves this machine: set kafka_ca"):
        bench.edge(kafka="kafka.hospital:9092")
    edge = certify(tmp_path, "edge")
    edge.key.chmod(0o644)
    with pytest.raises(UserError, match="can be read by others: chmod 600"):
        bench.edge("second", ca=edge.cert, cert=edge.cert, key=edge.key)
