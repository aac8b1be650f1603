"""The destinations of a configuration, each in its own protocol; one that cannot be served stops nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from emr_store import deliver_status
from runtime.config import decode
from runtime.errors import UserError
from simulators.emr import EmrPlan, running_emr
from stream_processors import deliver, stage
from stream_processors.config import DestinationConfig, ProcessorsConfig
from stream_processors.deliver_fhir import FhirReceiver
from stream_processors.deliver_mllp import MllpReceiver
from stream_processors.destinations import background_tasks, receiver
from tests.delivering import Said, admit, say
from tests.runtime.conftest import Certified
from tests.storing import Store

WAIT_S = 20


def configured(text: str, folder: Path = Path()) -> list[DestinationConfig]:
    return list(decode(text, ProcessorsConfig, "processors.toml", folder).destination)


def destination(name: str, protocol: str, address: str, more: str = "") -> str:
    return (
        f'[[destination]]\nname = "{name}"\nprotocol = "{protocol}"\naddress = "{address}"\n'
        f'begins = "2020-01-01T00:00Z"\n{more}\n'
    )


def test_each_protocol_has_its_receiver(ours: Certified) -> None:
    tls = f'tls_ca = "{ours.cert}"'
    fhir, mllp, within_tls = configured(
        destination("a", "fhir", "https://emr.example/fhir", tls)
        + destination("b", "hl7v2", "127.0.0.1:2575") + destination("c", "hl7v2", "emr.example:2575", tls)
    )  # fmt: skip
    assert isinstance(receiver(fhir)(), FhirReceiver)
    assert [isinstance(each, MllpReceiver) and each._tls is not None for each in (
        receiver(mllp)(), receiver(within_tls)()
    )] == [False, True]  # fmt: skip


@pytest.mark.parametrize(
    ("secret", "mode", "words"),
    [
        (None, 0, "cannot be read"), ("abc", 0o644, "can be read by others"),
        ("a\nb", 0o600, "holds no secret of one line"), ("", 0o600, "holds no secret"),
    ],
)  # fmt: skip
def test_a_secret_that_cannot_be_used_is_said(tmp_path: Path, secret: str | None, mode: int, words: str) -> None:
    if secret is not None:
        (tmp_path / "token").write_text(secret)
        (tmp_path / "token").chmod(mode)
    (config,) = configured(destination("a", "fhir", "https://emr.example", 'secret_file = "token"'), tmp_path)
    with pytest.raises(UserError, match=words):
        receiver(config)


def test_both_protocols_deliver_beside_one_that_cannot_be_served(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "LOOK_EVERY_S", 0.02)
    store = Store(database)
    admit(store, "V1")

    async def both() -> list[tuple[str, str, str]]:
        async with running_emr(EmrPlan()) as emr:
            configs = configured(
                destination("broken", "fhir", "https://emr.example", 'secret_file = "none"')
                + destination("fhir", "fhir", emr.fhir_url)
                + destination("hl7", "hl7v2", "{}:{}".format(*emr.mllp_address)), tmp_path,
            )  # fmt: skip
            tasks = [asyncio.ensure_future(each) for each in background_tasks(database, configs)]
            assert len(tasks) == 3  # the order of COMMIT is kept without any destination, too
            await asyncio.to_thread(_write, store)
            async with asyncio.timeout(WAIT_S):
                while len(emr.table.rows()) < 2:
                    await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return sorted((row.way, row.value, row.status) for row in emr.table.rows())

    assert asyncio.run(both()) == [("fhir", "97", "final"), ("hl7", "97", "F")]
    assert "token" not in stage.waits["delivery to broken"]
    assert "cannot be read" in stage.waits.pop("delivery to broken")
    with store.open() as conn:
        assert [row.name for row in deliver_status.destinations(conn)] == ["fhir", "hl7"]


def _write(store: Store) -> None:
    with store.open() as conn:
        say(conn, Said(1, value=97))
