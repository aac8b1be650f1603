"""Bad input gets a clear refusal in its own protocol, a counted reason, its bytes kept; the feed goes on."""

from __future__ import annotations

import ast
import os
import random
import re
import time
import tty
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from emr_store import conservation
from emr_store.connect import open_store
from tests.wire import MllpSender, Wire, eventually
from vitalwire.embedded import Addresses

SOURCES = """
[[source]]
name = "hospital"
driver = "hl7_oru"
time_zone = "Europe/London"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
settings.processing_ids_live = ["P", "T"]  # the simulated hospital says T everywhere
"""
INVALID = Path(__file__).parents[2].parent / "shared" / "data" / "simhospital" / "invalid_messages.yml"
FUZZ_S = float(os.environ.get("VITALWIRE_FUZZ_S", "10"))  # CI: a minute; by hand: ten
HEAD = "MSH|^~\\&|MON|ICU|||20261124101500+0000||ORU^R01|{id}|P|2.6|||AL|NE|{more}"
GOOD = HEAD + "\rPV1|1|I|ICU^^07\rOBR|1||||||20261124101500+0000\rOBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC||{value}|%\r"


def good(ident: str, value: int = 97, more: str = "") -> bytes:
    return GOOD.format(id=ident, value=value, more=more).encode()


def outcome(answer: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2."""
    msa = next(s for s in answer.decode("utf-8", "replace").split("\r") if s.startswith("MSA")).split("|")
    return msa[1], (*msa, "")[2]


def rejected(wire: Wire) -> list[str]:
    rows = wire.rows(
        "SELECT t ->> 'code' FROM report, jsonb_array_elements(texts) AS t"
        " WHERE kind = 8 AND t ->> 'system' = 'vitalwire' ORDER BY sequence"
    )
    return [str(r[0]) for r in rows]


def test_broken_messages_are_answered_kept_and_counted(tmp_path: Path, kafka: str, database: str) -> None:
    repetitions = GOOD.format(id="R", value="~".join(["1"] * 10_000), more="").encode()
    # In GB 18030 a trail byte can be a delimiter: what cannot be decoded cannot be split.
    cut_off = good("G", more="|GB 18030-2000").replace(b"ICU^^07", b"ICU^^\xff|")
    broken = [
        (good("N") + b"OBX|2|NM|x||\x00|\r", "N", "nul"),
        (repetitions, "R", "too-many-repetitions"),
        (cut_off, "G", "charset"),
        (good(""), "", "no-msh-10"),
        (good("L") + b"OBX||ST|ABCDEFG||HIJKL\r" * 9_900, "L", "report-too-large"),
        (good("T").replace(b"ORU^R01", b"QRY^A19"), "T", "unsupported-type"),
        (good("V").replace(b"|2.6|", b"|9.9|"), "V", "unsupported-version"),
    ]
    with Wire(tmp_path, kafka, database, SOURCES) as wire:
        sender = MllpSender(wire.mllp)
        for payload, ident, reason in broken:
            code, echoed = outcome(sender.ask(payload))
            assert code == ("CR" if reason.startswith("unsupported") else "CE"), reason
            assert echoed == ident, reason
            assert outcome(sender.ask(good(f"after {reason}"))) == ("CA", f"after {reason}")  # usable as before
        # Framing: nested start, end block without CR, no start block.
        sender.raw(b"\x0bMSH|half" + b"\x0b" + good("nested") + b"\x1c\r")
        assert {outcome(sender.answer()) for _ in range(2)} == {("AE", ""), ("CA", "nested")}
        sender.raw(b"noise" + b"\x0b" + good("after noise") + b"\x1c\r")
        assert outcome(sender.answer()) == ("CA", "after noise")  # noise is nobody's message: kept, not answered
        sender.close()
        cut = MllpSender(wire.mllp)  # no end block at all
        cut.raw(b"\x0b" + good("cut"))
        cut.close()
        eventually(lambda: "no-end-block" in rejected(wire), 30, "the cut message is kept")
        eventually(wire.released, 30, "receipts")
        reasons = rejected(wire)
        assert {r for _, _, r in broken} | {"nested-start-block", "no-start-block", "no-end-block"} <= set(reasons)
        values = wire.rows("SELECT count(*), min(value), max(value) FROM observation")
        assert values == [(len(broken) + 2, 97.0, 97.0)]  # never a wrong value
        kept = wire.rows("SELECT count(*) FROM report, jsonb_array_elements(texts) AS t WHERE kind = 8 AND t ? 'frame'")
        assert kept == [(len(reasons),)]
        _balances(wire)


@pytest.mark.skipif(not INVALID.exists(), reason="../shared/data is not beside this checkout")
def test_well_formed_but_wrong_messages_are_accepted(tmp_path: Path, kafka: str, database: str) -> None:
    text = INVALID.read_text("utf-8")
    found = {}
    for name, block in re.findall(r"^(\w+):\n  segments:\n((?:  - .*\n?)+)", text, re.M):
        segments = [ast.literal_eval(line.strip()[2:]) for line in block.strip().splitlines()]
        filled = ["PID|1||7^^^H^MRN||FAMILY^GIVEN" if "PLACEHOLDER" in s else s for s in segments]
        filled[0] = filled[0] % ("20180709162444", f"{name}-1")
        found[name] = "\r".join(filled) + "\r"
    assert set(found) == {"InvalidNhsNum", "InvalidOru_MissingPlacerAndFiller"}
    with Wire(tmp_path, kafka, database, SOURCES) as wire:
        sender = MllpSender(wire.mllp)
        for name, message in found.items():
            assert outcome(sender.ask(message.encode())) == ("CA", f"{name}-1")
        eventually(wire.released, 30, "receipts")
        assert rejected(wire) == []
        assert wire.rows("SELECT validation_result, count(*) FROM observation GROUP BY 1 ORDER BY 1") == [
            (10, 1),
            (20, 4),
        ]
        flags = wire.rows(
            "SELECT DISTINCT t ->> 'code' FROM report, jsonb_array_elements(texts) AS t"
            " WHERE kind = 7 AND t ->> 'system' = 'vitalwire' ORDER BY 1"
        )
        assert flags == [("invalid-nhs-number",), ("no-order-number",)]
        late = wire.rows("SELECT count(*) FROM report WHERE kind = 1 AND flags & 1 = 0")
        assert late == [(0,)]
        _balances(wire)


EVERY_PORT = (
    SOURCES
    + """
[[source]]
name = "oximeter"
driver = "nonin_df2"
settings.device = "t:nonin:1"
link.type = "serial"
link.port = "{folder}/port"
[[source]]
name = "sensors"
driver = "mqtt_json"
time_zone = "UTC"
link.type = "mqtt"
link.broker = "BROKER"
link.topics = ["fuzz/#"]
"""
)


@pytest.mark.timeout(1200)
def test_random_bytes_on_every_port_end_as_rejected_reports_and_nothing_else(
    tmp_path: Path, kafka: str, database: str, embedded: Addresses
) -> None:
    chance = random.Random(20261124)
    marks = [
        b"\x0b",
        b"\x1c\r",
        b"\x1c",
        b"MSH|^~\\&|",
        b"\r",
        b"|",
        b"ORU^R01",
        b"OBX|1|NM|",
        b"\x00",
        b"\xff",
        b"\x01",
    ]
    parts = [*marks, good("x"), b'{"hr": ', b"}", b"1e999"]
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    (tmp_path / "port").symlink_to(os.ttyname(theirs))
    sources = EVERY_PORT.replace("BROKER", "{}:{}".format(*embedded.mqtt5))
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect(*embedded.mqtt5)
    client.loop_start()

    def noise() -> bytes:
        return b"".join(chance.choice([*parts, chance.randbytes(20)]) for _ in range(50))

    with Wire(tmp_path, kafka, database, sources) as wire:
        honest = MllpSender(wire.mllp)
        end, sent = time.monotonic() + FUZZ_S, 0
        while time.monotonic() < end:
            noisy = MllpSender(wire.mllp)
            for _ in range(20):
                noisy.raw(noise())
            noisy.close()
            with suppress(BlockingIOError):
                os.write(ours, noise())
            client.publish("fuzz/x", noise(), qos=1)
            assert outcome(honest.ask(good(f"h{sent}"))) == ("CA", f"h{sent}")
            sent += 1
        eventually(wire.released, 120, "receipts")
        assert wire.running["edge"].poll() is None
        assert "Traceback" not in (tmp_path / "edge.log").read_text()
        assert "Traceback" not in (tmp_path / "processors.log").read_text()
        assert wire.rows("SELECT DISTINCT value FROM observation WHERE validation_result = 0") == [(97.0,)]
        counted = dict(
            wire.rows("SELECT split_part(claim, '/', 1), count(*) FROM report JOIN device USING (device)"
                      " WHERE report.kind = 8 GROUP BY 1")
        )  # fmt: skip
        assert set(counted) == {"hospital", "oximeter", "sensors"}
        assert min(counted.values()) > sent // 3
        _balances(wire)
    client.loop_stop()
    os.close(ours)
    os.close(theirs)


def _balances(wire: Wire) -> None:
    with open_store(wire.database) as conn:
        assert [s.last - s.stored for s in conservation.sequences(conn) if s.last != s.stored] == []
