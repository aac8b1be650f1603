"""The analyser against the worked messages of the makers' manuals, and its conversation with a host by hand."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from random import Random

import pytest

from simulators import poct1a
from simulators.patient import Patient
from simulators.poct1a import FAULTS, MODELS, Analyser, Spoiler, acknowledgement, element, message
from simulators.ward import run_device

AT = datetime(2026, 3, 9, 14, 5, 9, tzinfo=UTC)


class Host:
    """A data manager that acknowledges all and asks for results once."""

    def __init__(self, analyser: Analyser, *, start_continuous: bool = False) -> None:
        self.analyser, self.start_continuous = analyser, start_continuous
        self.seen: list[ElementTree.Element] = []
        self.now_s = 0.0
        self._number = 100
        analyser.opened(0.0)

    def send(self, root: str, body: str = "") -> str:
        self._number += 1
        self._put(message(root, self._number, AT, body))
        return f"{self._number}"

    def _put(self, text: str) -> None:
        is_mllp = self.analyser.model.is_mllp
        self.analyser.hear(b"\x0b" + text.encode() + b"\x1c\r" if is_mllp else text.encode(), self.now_s)

    def listen(self) -> list[ElementTree.Element]:
        """What came, each message acknowledged, until nothing more does."""
        found = []
        while data := self.analyser.speak(self.now_s):
            for text in split(data, is_mllp=self.analyser.model.is_mllp):
                root = ElementTree.fromstring(text)
                found.append(root)
                if root.tag not in ("ACK.R01", "ESC.R01"):
                    self._put(acknowledgement(self._number, AT, of(root, "HDR.control_id")))
        self.seen += found
        return found


def split(data: bytes, *, is_mllp: bool) -> list[bytes]:
    if is_mllp:
        assert data[:1] == b"\x0b"
        assert data[-2:] == b"\x1c\r"
        return [each.lstrip(b"\x0b") for each in data.split(b"\x1c\r")[:-1]]
    return [b"<?xml" + each for each in data.split(b"<?xml")[1:]]


def of(root: ElementTree.Element, name: str) -> str:
    return next(each.get("V", "") for each in root.iter(name))


def tags(messages: list[ElementTree.Element]) -> list[str]:
    return [each.tag for each in messages]


def request(topic: str = "ROBS") -> str:
    return f"<REQ>{element('REQ.request_cd', topic)}</REQ>"


def test_an_acknowledgement_is_the_worked_one() -> None:
    assert acknowledgement(77, AT, "5521") == (
        '<ACK.R01><HDR><HDR.control_id V="77"/><HDR.version_id V="POCT1"/>'
        '<HDR.creation_dttm V="2026-03-09T14:05:09+00:00"/></HDR>'
        '<ACK><ACK.type_cd V="AA"/><ACK.ack_control_id V="5521"/></ACK></ACK.R01>'
    )


def test_an_attribute_is_escaped() -> None:
    root = ElementTree.fromstring(element("X.y", 'a<"b"&', U="µg"))
    assert (root.get("V"), root.get("U")) == ('a<"b"&', "µg")


@pytest.mark.parametrize("name", MODELS)
def test_a_conversation(name: str) -> None:
    analyser = Analyser(Patient(5), MODELS[name])
    host = Host(analyser)
    hello, status = host.listen()
    assert (hello.tag, status.tag) == ("HEL.R01", "DST.R01")
    assert of(hello, "DEV.vendor_id") == MODELS[name].vendor
    assert of(hello, "DCP.application_timeout") == "60"
    assert of(status, "DST.new_observations_qty") == "1"
    host.now_s = 85.0
    assert analyser.speak(85.0) == b""  # silent for longer than the time-out of the application
    assert analyser.has_closed

    host = Host(analyser)
    host.now_s = 85.0
    analyser.opened(85.0)
    host.listen()
    asked = host.send("REQ.R01", request())
    found = host.listen()
    assert tags(found) == ["OBS.R01"] * 4 + ["OBS.R02", "EOT.R01"]
    assert of(found[-1], "EOT.eot_control_id") == asked
    assert [of(each, "SVC.sequence_nbr") for each in found[:-1]] == ["1", "2", "3", "4", "5"]
    assert not analyser.waiting
    host.send("END.R01", "<TRM><TRM.reason_cd V='NRM'/></TRM>")
    assert tags(host.listen()) == ["ACK.R01"]
    assert analyser.has_closed


def test_a_result_has_its_value_unit_limits_and_moment() -> None:
    host = Host(Analyser(Patient(5), MODELS["nova"]))
    host.listen()
    host.send("REQ.R01", request())
    result = host.listen()[0]
    assert of(result, "SVC.role_cd") == "OBS"
    assert of(result, "SVC.observation_dttm") == "2026-09-21T14:13:20+08:00"
    assert of(result, "PT.patient_id") == "000005"
    potassium = next(each for each in result.iter("OBS") if of(each, "OBS.observation_id") == "6298-4")
    value = next(potassium.iter("OBS.value"))
    assert value.get("U") == "mmol/L"
    assert len(str(value.get("V")).partition(".")[2]) == 2
    assert of(potassium, "OBS.normal_lo-hi_limit") == "[3.5;5.1]"
    assert [of(each, "OBS.method_cd") for each in result.iter("OBS")] == ["M"] * 6 + ["C"]


def test_each_model_has_its_own_ways() -> None:
    dca = Analyser(Patient(5), MODELS["dca"])._result(poct1a.Sample(1, 0.0, None))
    assert 'SVC.observation_dttm V="2026-09-21T14:13:20"/>' in dca
    assert 'NTE.text V="Operator comment^fasting"' in dca
    assert 'SN="SIEM"' in dca
    counts = Analyser(Patient(5), MODELS["hemoscreen"])._result(poct1a.Sample(1, 0.0, None))
    for each in ElementTree.fromstring(counts).iter("OBS"):
        assert len(list(each.iter("NTE.text"))) == (of(each, "OBS.interpretation_cd") != "N")


def test_a_control_is_no_patient() -> None:
    control = Analyser(Patient(5), MODELS["nova"])._result(poct1a.Sample(5, 80.0, "2"))
    assert '<SVC.role_cd V="LQC"/>' in control
    assert "CTC.lot_number" in control
    assert "<PT>" not in control


def test_what_is_not_acknowledged_is_told_again_on_the_next_connection() -> None:
    analyser = Analyser(Patient(5), MODELS["nova"])
    for _ in range(2):
        host = Host(analyser)
        host.listen()
        host.send("REQ.R01", request())
        assert b'SVC.sequence_nbr V="1"' in analyser.speak(0.0)
    assert analyser.taken == []


def test_a_result_that_is_refused_ends_the_conversation() -> None:
    analyser = Analyser(Patient(5), MODELS["nova"])
    host = Host(analyser)
    host.listen()
    host.send("REQ.R01", request())
    (text,) = split(analyser.speak(0.0), is_mllp=False)
    control_id = of(ElementTree.fromstring(text), "HDR.control_id")
    analyser.hear(acknowledgement(9, AT, control_id, "AE").encode(), 0.0)
    assert analyser.has_closed
    assert len(analyser.waiting) == 1


def test_continuous_mode_tells_results_as_they_come_and_keeps_the_link() -> None:
    analyser = Analyser(Patient(5), MODELS["nova"])
    host = Host(analyser)
    host.listen()
    host.send("DTV.R01", '<DTV><DTV.command_cd V="START_CONTINUOUS"/></DTV>')
    assert tags(host.listen()) == ["ACK.R01", "OBS.R01"]
    analyser.sample_every_s = 1000.0
    host.now_s = 20.0
    assert tags(host.listen()) == ["KPA.R01"]
    host.now_s = 40.0
    assert tags(host.listen()) == ["KPA.R01"]
    assert analyser.directives == []


def test_a_host_that_would_change_the_device_is_noted() -> None:
    analyser = Analyser(Patient(5), MODELS["nova"])
    host = Host(analyser)
    host.listen()
    host.send("DTV.R02", '<DTV><DTV.command_cd V="SET_TIME"/></DTV>')
    (answer,) = host.listen()
    assert of(answer, "ACK.type_cd") == "AE"
    assert analyser.directives == ["DTV.R02"]


def test_a_device_that_acknowledges_requests_first_and_has_no_events() -> None:
    host = Host(Analyser(Patient(5), MODELS["nova"], acks_requests=True))
    host.listen()
    host.send("REQ.R01", request("RDEV"))
    acked, ended = host.listen()
    assert (acked.tag, ended.tag) == ("ACK.R01", "EOT.R01")


def test_a_host_that_asks_for_nothing_is_left() -> None:
    analyser = Analyser(Patient(5), MODELS["nova"])
    host = Host(analyser)
    host.listen()
    host.now_s = 6.0
    assert tags(host.listen()) == ["END.R01"]
    assert analyser.has_closed


def test_messages_in_pieces_and_none_at_all() -> None:
    analyser = Analyser(Patient(5), MODELS["nova"])
    host = Host(analyser)
    host.listen()
    analyser.hear(b"rubbish <REQ.R01><HDR></REQ.R01>", 0.0)
    for byte in message("REQ.R01", 9, AT, request()).encode():
        analyser.hear(bytes([byte]), 0.0)
    assert tags(host.listen()) == ["OBS.R01", "EOT.R01"]


def test_clock_and_silence_are_the_patient_s() -> None:
    jumped = Analyser(Patient(5, "clock_jump"), MODELS["nova"])._result(poct1a.Sample(3, 40.0, None))
    assert "2026-09-21T14:19:00+08:00" in jumped
    silent = Analyser(Patient(5, "silence"), MODELS["nova"])
    silent.opened(25.0)
    assert silent.speak(25.0) == b""


def test_faults_are_those_of_their_seed() -> None:
    good = message("KPA.R01", 1, AT, "").encode()
    assert FAULTS["cut"](good, Random(1)) == good[: Random(1).randrange(len(good))]
    assert Spoiler(("silent",), 1.0).sent(good) == b""
    assert Spoiler(tuple(FAULTS), 1.0, 3).sent(good) == Spoiler(tuple(FAULTS), 1.0, 3).sent(good)
    assert Spoiler().sent(good) == good


def test_it_dials_and_waits_until_somebody_listens() -> None:
    asyncio.run(_dialled())


async def _dialled() -> None:
    stop, first = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readuntil(b"</HEL.R01>")
        if not first.done():
            first.set_result(data)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    running = asyncio.create_task(run_device("poct1a-nova", f"127.0.0.1:{port}", "healthy", 5, 1.0, stop))
    async with asyncio.timeout(5):
        assert b'DEV.vendor_id V="NOVA"' in await first
    stop.set()
    await running
    server.close()
