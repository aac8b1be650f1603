from __future__ import annotations

from uuid import UUID

from emr_store.signed_block import SignedBlock
from schemas.report import Record, Report, device_id, heard_as
from schemas.transition import TransitionKind
from stream_processors import alarm_limits
from stream_processors.alarm_limits import Limit, OpenEpisodes, reconcile
from stream_processors.device_edges import separately_believed
from stream_processors.signed_message import open_message
from stream_processors.signed_validation import RawMessage, validate_and_sign
from stream_processors.validation import EdgeKey, Memory
from tests.making import PERCENT, SPO2, T0_US, Key, report, sealed

OWN, OTHER = b"E" * 16, b"O" * 16
KEYS, PLATFORM = {OWN: Key(), OTHER: Key()}, Key()
LIMITS = [Limit(SPO2, low=90.0, priority="high")]
DEVICE = device_id("monitor")
SEPARATE = heard_as(DEVICE, UUID(bytes=OTHER))
BELIEVED = {DEVICE.bytes: frozenset({OWN})}


def spo2(value: int, second: int) -> Report:
    return report("monitor", T0_US + second * 1_000_000, [Record(SPO2, PERCENT, mantissa=value)])


def block(*of_edges: tuple[bytes, Report]) -> SignedBlock:
    memory = Memory({key.key_id: EdgeKey(edge, key.public_der, 0, 2**62, False) for edge, key in KEYS.items()})
    raw = [RawMessage(sealed([emitted], KEYS[edge], edge=edge, spool=edge), T0_US) for edge, emitted in of_edges]
    (message,) = validate_and_sign(
        "live.raw", raw, memory, key_id=PLATFORM.key_id, sign=PLATFORM.sign, now_us=T0_US
    )  # fmt: skip
    found = open_message(message.value, PLATFORM.public_der)
    assert isinstance(found, SignedBlock)
    return found


def test_another_edge_rings_but_ends_no_alarm_of_the_monitor() -> None:
    episodes: OpenEpisodes = {}
    (opened,) = alarm_limits.evaluate([block((OWN, spo2(80, 1)))], LIMITS, episodes, T0_US, BELIEVED)
    assert UUID(opened.device) == DEVICE
    assert alarm_limits.evaluate([block((OTHER, spo2(97, 2)))], LIMITS, episodes, T0_US, BELIEVED) == []
    (rings,) = alarm_limits.evaluate(
        [block((OTHER, spo2(70, 3)), (OWN, spo2(81, 3)))], LIMITS, episodes, T0_US, BELIEVED
    )
    assert (UUID(rings.device), rings.kind) == (SEPARATE, TransitionKind.OPENED)
    (ended,) = alarm_limits.evaluate(
        [block((OWN, spo2(97, 4)), (OTHER, spo2(71, 4)))], LIMITS, episodes, T0_US, BELIEVED
    )
    assert (ended.episode, ended.kind) == (opened.episode, TransitionKind.RESOLVED)
    assert list(episodes) == [SEPARATE.bytes]


def test_of_a_device_that_nobody_registered_every_edge_speaks() -> None:
    episodes: OpenEpisodes = {}
    for believed in ({}, {device_id("another").bytes: frozenset({OWN})}):
        alarm_limits.evaluate([block((OWN, spo2(80, 1)))], LIMITS, episodes, T0_US, believed)
        assert list(episodes) == [DEVICE.bytes]
        alarm_limits.evaluate([block((OTHER, spo2(97, 2)))], LIMITS, episodes, T0_US, believed)
        assert not episodes


def test_what_rang_separately_ends_when_a_person_agrees() -> None:
    episodes: OpenEpisodes = {}
    (rings,) = alarm_limits.evaluate([block((OTHER, spo2(70, 1)))], LIMITS, episodes, T0_US, BELIEVED)
    assert reconcile(episodes, [], set(), LIMITS, {}, T0_US, separately_believed(BELIEVED)) == []
    agreed = {DEVICE.bytes: frozenset({OWN, OTHER})}
    (ended,) = reconcile(episodes, [], set(), LIMITS, {}, T0_US, separately_believed(agreed))
    assert (ended.episode, ended.kind, ended.by) == (rings.episode, TransitionKind.RESOLVED, "platform")
    assert not episodes
    (again,) = alarm_limits.evaluate([block((OTHER, spo2(70, 2)))], LIMITS, episodes, T0_US, agreed)
    assert UUID(again.device) == DEVICE
