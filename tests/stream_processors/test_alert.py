import pytest

from schemas.block import Block
from schemas.report import COMPARATORS, ClockQuality, Mark, Record, RecordKind, Report, Validity
from schemas.transition import Transition
from stream_processors.alert import Episode, Key, Limit, evaluate, replay
from stream_processors.validate import EdgeKey, Memory, validate
from tests.making import PERCENT, SPO2, T0_US, report, sealed
from tests.making import Key as SigningKey

KEY = SigningKey()
LIMITS = [Limit(SPO2, low=90.0, priority="high")]
SECOND = 1_000_000


def block(*reports: Report) -> Block:
    memory = Memory({KEY.key_id: EdgeKey(b"E" * 16, KEY.public_der, 0, 2**62, False)})
    (found,) = validate("live.raw", [sealed(reports, KEY)], memory, T0_US)
    assert isinstance(found, Block)
    return found


def spo2(value: int, second: int, claim: str = "bed 1", validity: Validity = Validity.VALID) -> Report:
    return report(claim, T0_US + second * SECOND, [Record(SPO2, PERCENT, mantissa=value, validity=validity)])


def said(transitions: list[Transition]) -> list[tuple[bool, str]]:
    return [(t.opened, t.message) for t in transitions]


def test_one_episode_opens_and_resolves() -> None:
    episodes: dict[Key, Episode] = {}
    blocks = [block(spo2(95, 0)), block(spo2(89, 1)), block(spo2(85, 2)), block(spo2(90, 3)), block(spo2(95, 4))]
    found = [t for b in blocks for t in evaluate([b], LIMITS, episodes)]
    assert said(found) == [(True, "SpO2 89 < 90"), (False, "SpO2 back in limits")]
    assert found[0].episode == found[1].episode
    assert not episodes


def test_several_turns_in_one_block_are_all_seen_in_order_of_time() -> None:
    found = evaluate([block(spo2(89, 3), spo2(95, 2), spo2(80, 1), spo2(99, 4))], LIMITS, {})
    assert [t.opened for t in found] == [True, False, True, False]
    assert [t.at_us for t in found] == [T0_US + s * SECOND for s in (1, 2, 3, 4)]


def test_said_twice_it_is_the_same_transition() -> None:
    first = evaluate([block(spo2(80, 1))], LIMITS, {})
    assert first == evaluate([block(spo2(80, 1))], LIMITS, {})
    assert len({t.id for t in first}) == 1


def test_devices_are_apart() -> None:
    found = evaluate([block(spo2(80, 1, "bed 1"), spo2(80, 1, "bed 2"), spo2(99, 1, "bed 3"))], LIMITS, {})
    assert len({t.device for t in found}) == 2


def test_missing_doubted_and_late_values_ring_nobody_up() -> None:
    late = Report(**{**_fields(spo2(80, 0)), "received_at_us": T0_US + 3600 * SECOND})
    reports = [spo2(0, 1, validity=Validity.NOT_AVAILABLE), spo2(80, 1, validity=Validity.QUESTIONABLE), late]
    assert evaluate([block(*reports)], LIMITS, {}) == []


T1, T2, TEMP, DEGC = 11, 2**32 - 1, 150344, 268192


def test_like_channels_are_apart() -> None:
    def both(second: int, t1: int, t2: int) -> Report:
        records = [Record(TEMP, DEGC, channel, mantissa=value) for channel, value in ((T1, t1), (T2, t2))]
        return report("monitor", T0_US + second * SECOND, records)

    episodes: dict[Key, Episode] = {}
    limit = [Limit(TEMP, high=39.0)]
    found = [evaluate([block(both(*said))], limit, episodes) for said in ((1, 40, 36), (2, 40, 41), (3, 37, 41))]
    assert [[(t.condition, t.opened) for t in turn] for turn in found] == [
        [("150344-11-high", True)], [("150344-4294967295-high", True)], [("150344-11-high", False)]
    ]  # fmt: skip
    assert [condition for _, condition in episodes] == ["150344-4294967295-high"]


@pytest.mark.parametrize(
    ("sign", "number", "low", "high"),
    [  # what a low limit of 90 and a high limit of 98 make of it: True opens, False resolves, None says nothing
        ("<", 70, True, False), ("<", 90, True, False), ("<", 91, None, False), ("<", 98, None, False),
        ("<", 99, None, None), ("<=", 89, True, False), ("<=", 90, None, False), ("<=", 98, None, False),
        (">", 70, None, None), (">", 89, None, None), (">", 90, False, None), (">", 97, False, None),
        (">", 98, False, True), (">=", 89, None, None), (">=", 90, False, None), (">=", 98, False, None),
        (">=", 99, False, True),
    ],
)  # fmt: skip
def test_a_bound_rings_where_it_is_sure(sign: str, number: int, low: bool | None, high: bool | None) -> None:
    bound = Record(SPO2, PERCENT, kind=RecordKind.BOUND, mantissa=number, marks=COMPARATORS[sign])
    for limit, outside, wanted in ((Limit(SPO2, low=90.0), 80, low), (Limit(SPO2, high=98.0), 100, high)):
        opened = evaluate([block(report("bed", T0_US, [bound]))], [limit], {})
        assert [t.opened for t in opened] == ([True] if wanted else [])
        episodes: dict[Key, Episode] = {}
        evaluate([block(spo2(outside, -1, "bed"))], [limit], episodes)
        resolved = evaluate([block(report("bed", T0_US, [bound]))], [limit], episodes)
        assert [t.opened for t in resolved] == ([False] if wanted is False else [])


def test_a_bound_is_said_with_its_sign() -> None:
    bound = Record(SPO2, PERCENT, kind=RecordKind.BOUND, mantissa=70, marks=Mark.LESS)
    assert said(evaluate([block(report(records=[bound]))], LIMITS, {})) == [(True, "SpO2 <70 < 90")]


def test_what_is_of_a_training_or_withdrawn_or_of_a_doubtful_moment_rings_nobody_up() -> None:
    low = [Record(SPO2, PERCENT, mantissa=70, marks=marks) for marks in (Mark.TRAINING, Mark.WITHDRAWAL)]
    doubtful = Report(**{**_fields(spo2(70, 2)), "clock_quality": ClockQuality.DOUBTFUL})
    assert evaluate([block(report(records=low[:1]), report(records=low[1:]), doubtful)], LIMITS, {}) == []
    ambiguous = Record(SPO2, PERCENT, 5, mantissa=70, marks=Mark.AMBIGUOUS)
    assert said(evaluate([block(report(records=[ambiguous]))], LIMITS, {})) == [(True, "SpO2 70 < 90")]


def test_a_limit_is_not_compared_with_a_value_in_another_canonical_unit() -> None:
    etco2, mmhg, kpa = 151708, 266016, 265987
    limit = [Limit(etco2, low=15.0)]

    def of(unit: int, value: int) -> Block:
        return block(report("capnograph", T0_US, [Record(etco2, unit, mantissa=value)]))

    assert evaluate([of(PERCENT, 5)], limit, {}) == []
    assert said(evaluate([of(mmhg, 14)], limit, {})) == [(True, "EtCO2 14 < 15")]
    assert said(evaluate([of(kpa, 1)], limit, {})) == [(True, "EtCO2 7.50062 < 15")]


def test_zero_is_a_value_and_rings() -> None:
    assert said(evaluate([block(spo2(0, 1))], LIMITS, {})) == [(True, "SpO2 0 < 90")]


def test_after_a_restart_the_topic_says_what_is_open() -> None:
    before: dict[Key, Episode] = {}
    transitions = [
        *evaluate([block(spo2(80, 1), spo2(80, 1, "bed 2"))], LIMITS, before),
        *evaluate([block(spo2(99, 2))], LIMITS, before),
    ]
    after: dict[Key, Episode] = {}
    replay(transitions, after)
    assert after == before
    assert len(after) == 1


def _fields(r: Report) -> dict[str, object]:
    return {name: getattr(r, name) for name in r.__struct_fields__}
