import pytest

from emr_store.signed_block import SignedBlock
from schemas.report import COMPARATORS, ClockQuality, Lane, Mark, Record, RecordKind, Report, Validity
from schemas.transition import Condition, ConditionKind, Episode, Side, Transition, TransitionKind
from stream_processors import alarm_limits
from stream_processors.alarm_limits import Limit, NewestCompared, OpenEpisodes, StoredEpisode, apply, reconcile
from stream_processors.signed_message import open_message
from stream_processors.signed_validation import RawMessage, validate_and_sign
from stream_processors.validation import EdgeKey, Memory
from tests.making import PERCENT, SPO2, T0_US, Key, report, sealed

KEY, PLATFORM = Key(), Key()
LIMITS = [Limit(SPO2, low=90.0, priority="high")]
SECOND = 1_000_000


def block(*reports: Report, appended_at_us: int | None = None) -> SignedBlock:
    """Appended when the newest of these was measured, unless another moment is said."""
    if appended_at_us is None:
        appended_at_us = max(T0_US, *(r.observed_at_us for r in reports))
    memory = Memory({KEY.key_id: EdgeKey(b"E" * 16, KEY.public_der, 0, 2**62, False)})
    raw = [RawMessage(sealed(reports, KEY), appended_at_us)]
    (message,) = validate_and_sign(
        "live.raw", raw, memory, key_id=PLATFORM.key_id, sign=PLATFORM.sign, now_us=appended_at_us
    )
    found = open_message(message.value, PLATFORM.public_der)
    assert isinstance(found, SignedBlock)
    return found


def evaluate(blocks: list[SignedBlock], limits: list[Limit], episodes: OpenEpisodes) -> list[Transition]:
    return alarm_limits.evaluate(blocks, limits, episodes, T0_US)


def spo2(value: int, second: int, claim: str = "bed 1", validity: Validity = Validity.VALID) -> Report:
    return report(claim, T0_US + second * SECOND, [Record(SPO2, PERCENT, mantissa=value, validity=validity)])


def emitted(transitions: list[Transition]) -> list[tuple[str, str]]:
    return [(t.kind, t.message) for t in transitions]


OPENED, CONFIRMED, RESOLVED = TransitionKind


def test_one_episode_opens_and_resolves() -> None:
    episodes: OpenEpisodes = {}
    blocks = [block(spo2(95, 0)), block(spo2(89, 1)), block(spo2(85, 2)), block(spo2(90, 3)), block(spo2(95, 4))]
    found = [t for b in blocks for t in evaluate([b], LIMITS, episodes)]
    assert emitted(found) == [(OPENED, "SpO2 89 < 90"), (RESOLVED, "SpO2 back in limits")]
    assert found[0].episode == found[1].episode
    assert not episodes


def test_several_turns_in_one_block_are_all_seen_in_order_of_time() -> None:
    found = evaluate([block(spo2(89, 3), spo2(95, 2), spo2(80, 1), spo2(99, 4))], LIMITS, {})
    assert [t.kind for t in found] == [OPENED, RESOLVED, OPENED, RESOLVED]
    assert [t.at_us for t in found] == [T0_US + s * SECOND for s in (1, 2, 3, 4)]


def test_emitted_twice_it_is_the_same_transition() -> None:
    first = evaluate([block(spo2(80, 1))], LIMITS, {})
    assert first == evaluate([block(spo2(80, 1))], LIMITS, {})
    assert len({t.id for t in first}) == 1


def test_devices_are_separate() -> None:
    found = evaluate([block(spo2(80, 1, "bed 1"), spo2(80, 1, "bed 2"), spo2(99, 1, "bed 3"))], LIMITS, {})
    assert len({t.device for t in found}) == 2


def test_missing_doubted_and_late_values_ring_nobody_up() -> None:
    late = Report(**{**_fields(spo2(80, 0)), "received_at_us": T0_US + 3600 * SECOND})
    reports = [spo2(0, 1, validity=Validity.NOT_AVAILABLE), spo2(80, 1, validity=Validity.QUESTIONABLE), late]
    assert evaluate([block(*reports)], LIMITS, {}) == []


T1, T2, TEMP, DEGC = 11, 2**32 - 1, 150344, 268192


def test_like_channels_are_separate() -> None:
    def both(second: int, t1: int, t2: int) -> Report:
        records = [Record(TEMP, DEGC, channel, mantissa=value) for channel, value in ((T1, t1), (T2, t2))]
        return report("monitor", T0_US + second * SECOND, records)

    episodes: OpenEpisodes = {}
    limit = [Limit(TEMP, high=39.0)]
    found = [evaluate([block(both(*values))], limit, episodes) for values in ((1, 40, 36), (2, 40, 41), (3, 37, 41))]
    first, second = (Condition(ConditionKind.LIMIT, TEMP, channel, Side.HIGH) for channel in (T1, T2))
    assert [[(t.condition, t.kind) for t in turn] for turn in found] == [
        [(first, OPENED)], [(second, OPENED)], [(first, RESOLVED)]
    ]  # fmt: skip
    assert [[*of_device] for of_device in episodes.values()] == [[second]]


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
    for limit, outside, expected in ((Limit(SPO2, low=90.0), 80, low), (Limit(SPO2, high=98.0), 100, high)):
        opened = evaluate([block(report("bed", T0_US, [bound]))], [limit], {})
        assert [t.kind for t in opened] == ([OPENED] if expected else [])
        episodes: OpenEpisodes = {}
        evaluate([block(spo2(outside, -1, "bed"))], [limit], episodes)
        resolved = evaluate([block(report("bed", T0_US, [bound]))], [limit], episodes)
        assert [t.kind for t in resolved] == ([RESOLVED] if expected is False else [])


def test_a_bound_is_said_with_its_sign() -> None:
    bound = Record(SPO2, PERCENT, kind=RecordKind.BOUND, mantissa=70, marks=Mark.LESS)
    assert emitted(evaluate([block(report(records=[bound]))], LIMITS, {})) == [(OPENED, "SpO2 <70 < 90")]


def test_what_is_of_a_training_or_withdrawn_or_of_a_doubtful_moment_rings_nobody_up() -> None:
    low = [Record(SPO2, PERCENT, mantissa=70, marks=marks) for marks in (Mark.TRAINING, Mark.WITHDRAWAL)]
    doubtful = Report(**{**_fields(spo2(70, 2)), "clock_quality": ClockQuality.DOUBTFUL})
    assert evaluate([block(report(records=low[:1]), report(records=low[1:]), doubtful)], LIMITS, {}) == []
    ambiguous = Record(SPO2, PERCENT, 5, mantissa=70, marks=Mark.AMBIGUOUS)
    assert emitted(evaluate([block(report(records=[ambiguous]))], LIMITS, {})) == [(OPENED, "SpO2 70 < 90")]


def test_a_limit_is_not_compared_with_a_value_in_another_canonical_unit() -> None:
    etco2, mmhg, kpa = 151708, 266016, 265987
    limit = [Limit(etco2, low=15.0)]

    def of(unit: int, value: int) -> SignedBlock:
        return block(report("capnograph", T0_US, [Record(etco2, unit, mantissa=value)]))

    assert evaluate([of(PERCENT, 5)], limit, {}) == []
    assert emitted(evaluate([of(mmhg, 14)], limit, {})) == [(OPENED, "EtCO2 14 < 15")]
    assert emitted(evaluate([of(kpa, 1)], limit, {})) == [(OPENED, "EtCO2 7.50062 < 15")]


def test_zero_is_a_value_and_rings() -> None:
    assert emitted(evaluate([block(spo2(0, 1))], LIMITS, {})) == [(OPENED, "SpO2 0 < 90")]


MINUTE = 60 * SECOND


def at_age(value: int, second: int, edge_s: int, hospital_s: int) -> SignedBlock:
    """A value that lay so long at its edge, and so long at the broker and after it."""
    at = spo2(value, second)
    lay = Report(**{**_fields(at), "received_at_us": T0_US - edge_s * SECOND})  # `sealed` makes the batch at T0_US
    lay = Report(**{**_fields(lay), "observed_at_us": lay.received_at_us, "device_at_us": lay.received_at_us})
    return block(lay, appended_at_us=T0_US - hospital_s * SECOND)


@pytest.mark.parametrize(
    ("edge_s", "hospital_s", "late"), [(0, 0, False), (30, 30, False), (61, 0, True), (0, 61, True), (31, 31, True)]
)
def test_what_is_old_opens_as_late(edge_s: int, hospital_s: int, late: bool) -> None:
    (opened,) = evaluate([at_age(80, 0, edge_s, hospital_s)], LIMITS, {})
    assert (opened.kind, opened.late) == (OPENED, late)
    assert opened.message == ("SpO2 80 < 90, 1 min old" if late else "SpO2 80 < 90")


def test_an_edge_whose_clock_is_behind_is_not_silenced() -> None:
    """Its batch is made at T0_US by its clock; the broker and we are a day ahead of it."""
    day_us = 24 * 3600 * SECOND
    fresh = block(spo2(80, 0), appended_at_us=T0_US + day_us)
    (opened,) = alarm_limits.evaluate([fresh], LIMITS, {}, T0_US + day_us + SECOND)
    assert not opened.late


def test_a_fresh_value_confirms_what_opened_late() -> None:
    episodes: OpenEpisodes = {}
    late = evaluate([at_age(80, 0, 120, 0)], LIMITS, episodes)
    assert [episode.late for of_device in episodes.values() for episode in of_device.values()] == [True]
    still_late = evaluate([at_age(81, 0, 90, 0)], LIMITS, episodes)
    confirmed = evaluate([block(spo2(82, 1))], LIMITS, episodes)
    assert [t.kind for t in (*late, *still_late, *confirmed)] == [OPENED, CONFIRMED]
    assert (confirmed[0].episode, confirmed[0].late) == (late[0].episode, False)
    assert [episode.late for of_device in episodes.values() for episode in of_device.values()] == [False]
    assert evaluate([block(spo2(83, 2))], LIMITS, episodes) == []
    assert [t.kind for t in evaluate([block(spo2(95, 3))], LIMITS, episodes)] == [RESOLVED]
    assert episodes == {}


def resent(value: int, second: int, *, after_s: int = 3600, lane: Lane = Lane.LIVE) -> SignedBlock:
    """A value measured and cut at this second, which the broker appended again so long after."""
    at = spo2(value, second)
    memory = Memory({KEY.key_id: EdgeKey(b"E" * 16, KEY.public_der, 0, 2**62, False)})
    appended_at_us = at.received_at_us + after_s * SECOND
    raw = [RawMessage(sealed([at], KEY, lane=lane, created_at_us=at.received_at_us), appended_at_us)]
    (message,) = validate_and_sign(
        "backfill.raw", raw, memory, key_id=PLATFORM.key_id, sign=PLATFORM.sign, now_us=appended_at_us
    )
    found = open_message(message.value, PLATFORM.public_der)
    assert isinstance(found, SignedBlock)
    return found


def evaluate_resent(
    blocks: list[SignedBlock], episodes: OpenEpisodes, newest: NewestCompared, now_s: int = 3600
) -> list[Transition]:
    return alarm_limits.evaluate(
        blocks, LIMITS, episodes, T0_US + now_s * SECOND, newest=newest, resent=True
    )  # fmt: skip


@pytest.mark.parametrize(("after_s", "late"), [(5, False), (59, False), (61, True), (3600, True), (-3600, True)])
def test_what_was_live_and_is_sent_again_opens_by_its_age(after_s: int, late: bool) -> None:
    """An edge whose clock is ahead is not believed to be fresh: its batch was appended before it was made."""
    (opened,) = evaluate_resent([resent(80, 0, after_s=after_s)], {}, {}, now_s=after_s)
    assert (opened.kind, opened.late) == (OPENED, late)


def test_what_was_cut_as_backfill_opens_nothing() -> None:
    episodes: OpenEpisodes = {}
    assert evaluate_resent([resent(80, 0, lane=Lane.BACKFILL)], episodes, {}) == []
    (opened,) = evaluate_resent([resent(80, 0, lane=Lane.BACKFILL), resent(80, 1)], episodes, {})
    assert opened.at_us == T0_US + SECOND


def fresh(value: int, second: int, episodes: OpenEpisodes, newest: NewestCompared) -> list[Transition]:
    signed = block(spo2(value, second), appended_at_us=T0_US + second * SECOND)
    return alarm_limits.evaluate([signed], LIMITS, episodes, T0_US + second * SECOND, newest=newest)


def test_what_is_sent_again_does_not_end_an_episode_that_goes_on() -> None:
    episodes: OpenEpisodes = {}
    newest: NewestCompared = {}
    (opened,) = fresh(80, 10, episodes, newest)
    assert fresh(81, 100, episodes, newest) == []
    assert evaluate_resent([resent(95, 50)], episodes, newest) == []  # it was well for a moment
    assert evaluate_resent([resent(95, 5)], episodes, newest) == []  # before it opened
    (resolved,) = fresh(95, 101, episodes, newest)
    assert (resolved.kind, resolved.episode) == (RESOLVED, opened.episode)


def test_what_was_looked_at_already_opens_nothing_when_it_is_sent_again() -> None:
    episodes: OpenEpisodes = {}
    newest: NewestCompared = {}
    assert [t.kind for s, v in ((10, 80), (20, 81), (30, 95)) for t in fresh(v, s, episodes, newest)] == [
        OPENED, RESOLVED
    ]  # fmt: skip
    assert evaluate_resent([resent(80, 10), resent(81, 20)], episodes, newest) == []
    soon = [resent(80, 10, after_s=25), resent(81, 20, after_s=15)]  # no receipt came for it in time
    assert evaluate_resent(soon, episodes, newest, now_s=36) == []
    (opened,) = evaluate_resent([resent(79, 40)], episodes, newest)  # what nobody has looked at
    assert (opened.kind, opened.late) == (OPENED, True)


def test_what_was_lost_with_the_broker_opens_and_ends_though_later_values_were_well() -> None:
    episodes: OpenEpisodes = {}
    newest: NewestCompared = {}
    assert fresh(97, 100, episodes, newest) == []
    assert [t.kind for t in evaluate_resent([resent(80, 50)], episodes, newest)] == [OPENED]
    assert [t.kind for t in fresh(97, 101, episodes, newest)] == [RESOLVED]


def ahead_of_us(
    value: int, second: int, appended_s: int, episodes: OpenEpisodes, newest: NewestCompared
) -> list[Transition]:
    """Of an edge whose clock is ahead: all its moments are, and the broker appends the batch before they come."""
    at = spo2(value, second)
    signed = block(
        Report(**{**_fields(at), "received_at_us": at.observed_at_us}), appended_at_us=T0_US + appended_s * SECOND
    )
    return alarm_limits.evaluate([signed], LIMITS, episodes, T0_US + appended_s * SECOND, newest=newest)


def test_an_episode_that_a_clock_ahead_opened_ends_when_the_clock_was_put_right() -> None:
    episodes: OpenEpisodes = {}
    newest: NewestCompared = {}
    (opened,) = ahead_of_us(80, 3600, 1, episodes, newest)
    assert (opened.at_us, opened.opened_at_us) == (T0_US + SECOND, T0_US + SECOND)  # nothing opens in the future
    (resolved,) = fresh(95, 2, episodes, newest)
    assert (resolved.episode, resolved.at_us) == (opened.episode, T0_US + 2 * SECOND)
    assert episodes == {}


def test_turns_within_a_batch_of_a_clock_ahead_are_told_apart_and_in_their_order() -> None:
    signed = block(spo2(80, 3603), spo2(95, 3602), spo2(80, 3601), appended_at_us=T0_US)
    found = alarm_limits.evaluate([signed], LIMITS, {}, T0_US)
    assert [t.kind for t in found] == [OPENED, RESOLVED, OPENED]
    assert len({t.id for t in found}) == 3
    assert found[0].episode == found[1].episode != found[2].episode
    assert {t.at_us for t in found} == {T0_US}


def test_what_a_clock_ahead_said_and_is_sent_again_was_looked_at_already() -> None:
    episodes: OpenEpisodes = {}
    newest: NewestCompared = {}
    for value, second, appended_s in ((80, 3600, 0), (95, 3601, 1)):
        ahead_of_us(value, second, appended_s, episodes, newest)
    assert episodes == {}
    assert evaluate_resent([resent(80, 3600, after_s=-3000)], episodes, newest, now_s=600) == []


def test_after_a_clock_that_was_ahead_live_values_still_end_an_episode_of_then() -> None:
    episodes: OpenEpisodes = {}
    newest: NewestCompared = {}
    (opened,) = fresh(80, 0, episodes, newest)
    assert ahead_of_us(81, 3600, 2, episodes, newest) == []
    (resolved,) = fresh(95, 3, episodes, newest)
    assert resolved.episode == opened.episode


def test_the_transitions_say_what_is_open() -> None:
    before: OpenEpisodes = {}
    transitions = [
        *evaluate([block(spo2(80, 1), spo2(80, 1, "bed 2"))], LIMITS, before),
        *evaluate([block(spo2(99, 2))], LIMITS, before),
    ]
    after: OpenEpisodes = {}
    for transition in transitions:
        apply(transition, after)
    assert after == before
    assert len(after) == 1


def test_a_device_opens_no_more_episodes_than_its_set_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_limits, "EPISODES_PER_DEVICE_MAX", 3)
    monkeypatch.setattr(alarm_limits, "DEVICES_MAX", 2)
    refused = alarm_limits._not_opened._value.get()
    episodes: OpenEpisodes = {}
    channels = [Record(SPO2, PERCENT, channel, mantissa=70) for channel in range(5)]
    reports = [report(claim, T0_US, channels) for claim in ("bed 1", "bed 2", "bed 3")]
    assert len(evaluate([block(*reports)], LIMITS, episodes)) == 6
    assert [len(of_device) for of_device in episodes.values()] == [3, 3]
    assert alarm_limits._not_opened._value.get() - refused == 2 + 2 + 5


DEVICE = b"D" * 16
LOW = Condition(ConditionKind.LIMIT, SPO2, 0, Side.LOW)


def episode(name: str, condition: Condition = LOW) -> Episode:
    return Episode(name, condition, "high", T0_US, "SpO2 80 < 90")


def compared(
    episodes: OpenEpisodes,
    *stored: Episode,
    resolved: set[str] | None = None,
    resolved_here: dict[str, None] | None = None,
    limits: list[Limit] = LIMITS,
) -> list[tuple[str, str, str]]:
    in_store = [StoredEpisode(DEVICE, each) for each in stored]
    found = reconcile(episodes, in_store, resolved or set(), limits, resolved_here or {}, T0_US)
    return [(t.kind, t.episode, t.by) for t in found]


def test_an_episode_that_the_topic_forgot_is_resumed_and_can_be_ended() -> None:
    episodes: OpenEpisodes = {}
    low = spo2(80, 0)
    stored = Episode("kept", LOW, "high", T0_US, "SpO2 80 < 90")
    assert reconcile(episodes, [StoredEpisode(low.device.bytes, stored)], set(), LIMITS, {}, T0_US) == []
    assert evaluate([block(spo2(70, 1))], LIMITS, episodes) == []  # it is open already
    (resolved,) = evaluate([block(spo2(95, 2))], LIMITS, episodes)
    assert (resolved.kind, resolved.episode) == (RESOLVED, "kept")


def test_what_is_resolved_in_the_record_is_dropped() -> None:
    episodes = {DEVICE: {LOW: episode("old")}}
    assert compared(episodes, resolved={"old"}) == []
    assert episodes == {}


def test_what_is_not_filed_yet_stays() -> None:
    episodes = {DEVICE: {LOW: episode("new")}}
    assert compared(episodes) == []
    assert episodes == {DEVICE: {LOW: episode("new")}}
    ended: OpenEpisodes = {}
    assert compared(ended, episode("ended"), resolved_here={"ended": None}) == []
    assert ended == {}


def test_of_two_episodes_of_one_condition_one_is_ended() -> None:
    episodes = {DEVICE: {LOW: episode("here")}}
    assert compared(episodes, episode("there")) == [(RESOLVED, "there", "platform")]
    assert episodes == {DEVICE: {LOW: episode("here")}}


def test_an_episode_whose_limit_is_gone_is_ended() -> None:
    episodes = {DEVICE: {LOW: episode("here")}}
    assert compared(episodes, limits=[Limit(SPO2, high=100.0)]) == [(RESOLVED, "here", "configuration")]
    assert episodes == {}


def _fields(r: Report) -> dict[str, object]:
    return {name: getattr(r, name) for name in r.__struct_fields__}
