from __future__ import annotations

from uuid import UUID

from emr_store.signed_block import SignedBlock
from schemas.report import Record, Report, device_id, heard_as
from schemas.transition import TransitionKind
from stream_processors import alert
from stream_processors.alert import Limit, OpenEpisodes, reconcile
from stream_processors.device_edges import believed_apart
from stream_processors.signed_message import open_message
from stream_processors.validate import EdgeKey, Memory
from stream_processors.validating import RawMessage, validate_and_sign
from tests.making import PERCENT, SPO2, T0_US, Key, report, sealed

OWN, OTHER = b"E" * 16, b"O" * 16
KEYS, PLATFORM = {OWN: Key(), OTHER: Key()}, Key()
LIMITS = [Limit(SPO2, low=90.0, priority="high")]
DEVICE = device_id("monitor")
APART = heard_as(DEVICE, UUID(bytes=OTHER))
BELIEVED = {DEVICE.bytes: frozenset({OWN})}


def spo2(value: int, second: int) -> Report:
    return report("monitor", T0_US + second * 1_000_000, [Record(SPO2, PERCENT, mantissa=value)])


def block(*of_edges: tuple[bytes, Report]) -> SignedBlock:
    memory = Memory({key.key_id: EdgeKey(edge, key.public_der, 0, 2**62, False) for edge, key in KEYS.items()})
    raw = [RawMessage(sealed([said], KEYS[edge], edge=edge, spool=edge), T0_US) for edge, said in of_edges]
    (message,) = validate_and_sign(
        "live.raw", raw, memory, key_id=PLATFORM.key_id, sign=PLATFORM.sign, now_us=T0_US
    )  # fmt: skip
    found = open_message(message.value, PLATFORM.public_der)
    assert isinstance(found, SignedBlock)
    return found


def test_another_edge_rings_but_ends_no_alarm_of_the_monitor() -> None:
    episodes: OpenEpisodes = {}
    (opened,) = alert.evaluate([block((OWN, spo2(80, 1)))], LIMITS, episodes, T0_US, BELIEVED)
    assert UUID(opened.device) == DEVICE
    assert alert.evaluate([block((OTHER, spo2(97, 2)))], LIMITS, episodes, T0_US, BELIEVED) == []
    (rings,) = alert.evaluate([block((OTHER, spo2(70, 3)), (OWN, spo2(81, 3)))], LIMITS, episodes, T0_US, BELIEVED)
    assert (UUID(rings.device), rings.kind) == (APART, TransitionKind.OPENED)
    (ended,) = alert.evaluate([block((OWN, spo2(97, 4)), (OTHER, spo2(71, 4)))], LIMITS, episodes, T0_US, BELIEVED)
    assert (ended.episode, ended.kind) == (opened.episode, TransitionKind.RESOLVED)
    assert list(episodes) == [APART.bytes]


def test_of_a_device_that_nobody_registered_every_edge_speaks() -> None:
    episodes: OpenEpisodes = {}
    for believed in ({}, {device_id("another").bytes: frozenset({OWN})}):
        alert.evaluate([block((OWN, spo2(80, 1)))], LIMITS, episodes, T0_US, believed)
        assert list(episodes) == [DEVICE.bytes]
        alert.evaluate([block((OTHER, spo2(97, 2)))], LIMITS, episodes, T0_US, believed)
        assert not episodes


def test_what_rang_apart_ends_when_a_person_agrees() -> None:
    episodes: OpenEpisodes = {}
    (rings,) = alert.evaluate([block((OTHER, spo2(70, 1)))], LIMITS, episodes, T0_US, BELIEVED)
    assert reconcile(episodes, [], set(), LIMITS, {}, T0_US, believed_apart(BELIEVED)) == []
    agreed = {DEVICE.bytes: frozenset({OWN, OTHER})}
    (ended,) = reconcile(episodes, [], set(), LIMITS, {}, T0_US, believed_apart(agreed))
    assert (ended.episode, ended.kind, ended.by) == (rings.episode, TransitionKind.RESOLVED, "platform")
    assert not episodes
    (again,) = alert.evaluate([block((OTHER, spo2(70, 2)))], LIMITS, episodes, T0_US, agreed)
    assert UUID(again.device) == DEVICE
