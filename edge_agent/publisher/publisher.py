"""The publisher as the agent sees it: three threads, what they count, and whom they reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from confluent_kafka import KafkaException

from edge_agent.publisher.broker_watch import ANSWER_LIMIT_S, Broker, BrokerWatch
from edge_agent.publisher.receipts import ReceiptReader
from edge_agent.publisher.security import client_settings, problem
from edge_agent.publisher.sender import FLUSH_LIMIT_S, Sender
from edge_agent.publisher.witness import Witness
from edge_agent.spool import Spool
from evidence.receipt import ReceiptOutcome
from schemas.errors import VitalwireError
from schemas.identity import EdgeId


class Publisher:
    """Sends what `spool` holds as `edge` to the brokers `kafka` ("host:port,host:port"), over TLS where `ca` is set.

    `seal` is `evidence.seal.seal` with what is the edge's own; None: only what was cut before is sent. Receipts are
    believed with `platform_key_der` alone.
    `counts` has sent, resent, rebuilt, failed deliveries by the client's name for the error; receipts by outcome, those
    not believed by reason; batches by what receipts say of them, released and unmatched; checkpoints that were kept and
    those not believed by reason. Raises VitalwireError for settings that cannot be used, plaintext beyond this machine
    without `insecure` among them, and UserError for a key that others can read.
    """

    def __init__(
        self, spool: Spool, seal: Callable[..., bytes] | None, platform_key_der: bytes, *, edge: EdgeId,
        kafka: str, ca: Path | None, on_event: Callable[[str, str], object],
        cert: Path | None = None, key: Path | None = None, insecure: bool = False,
    ) -> None:  # fmt: skip
        if wrong := problem(kafka, ca, cert, key, insecure=insecure):
            raise VitalwireError(wrong)
        client = client_settings(kafka, ca, cert, key)
        self.counts: Counter[str] = Counter()
        self._watch = BrokerWatch(client, on_event)
        try:
            self._sender = Sender(
                spool, seal, edge=edge, client=client, watch=self._watch, counts=self.counts, on_event=on_event
            )
        except KafkaException as error:
            what = f"kafka: a certificate, key or address cannot be used: {error.args[0].str()}"
            raise VitalwireError(f"{what}: run `vitalwire edge check`") from None
        self._witness = Witness(spool, platform_key_der, self.counts, on_event)
        self._reader = ReceiptReader(
            spool, platform_key_der, edge=edge, client=client, watch=self._watch, counts=self.counts,
            on_event=on_event, receipted=self._sender.receipts, witness=self._witness,
        )  # fmt: skip
        self._ending = Event()
        work = {"watch": self._watch.run, "publish": self._sender.run, "receive": self._reader.run}
        self._threads = [Thread(target=run, args=(self._ending,), name=name, daemon=True) for name, run in work.items()]

    @property
    def broker(self) -> Broker | None:
        """Whom we reach; None while nobody answers."""
        return self._watch.broker

    @property
    def trouble(self) -> str:
        """While nobody answers, what the client says of its connection: a certificate that is refused, a host."""
        return self._watch.trouble

    @property
    def clock_offset_ms(self) -> float | None:
        """How far the edge's clock is ahead of the broker's; None where the broker does not stamp what it appends."""
        return self._sender.clock_offset.ms

    @property
    def refusal(self) -> str:
        """Why the hospital refuses what is signed with the key that we have; "" where it does not."""
        return self._sender.refusal

    @property
    def refused_batches(self) -> int:
        """How many batches the hospital has refused since the start and not taken after all."""
        return self._sender.refused_batches

    @property
    def receipts_believed(self) -> int:
        """How many receipts of the store came since the start that say stored."""
        return self.counts[f"receipt {ReceiptOutcome.STORED.name.lower()}"]

    @property
    def answers(self) -> int:
        """How many receipts of the store came since the start, whatever they say."""
        return sum(self.counts[f"receipt {outcome.name.lower()}"] for outcome in ReceiptOutcome)

    @property
    def contradiction(self) -> str:
        """What two checkpoints of the hospital's log said against each other since the start; "" where nothing."""
        return self._witness.contradiction

    @property
    def alive(self) -> bool:
        """False once a thread has ended, for whatever reason."""
        return all(t.is_alive() for t in self._threads)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def reconnect(self) -> None:
        """Speak to the broker by the certificate that is in its file now; nothing is lost. On any thread."""
        self._watch.reconnect()

    def stop(self) -> None:
        """End in bounded time; what has no receipt is sent again after the next start."""
        self._ending.set()
        for thread in self._threads:
            thread.join(ANSWER_LIMIT_S + FLUSH_LIMIT_S)
