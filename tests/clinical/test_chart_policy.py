"""A site's chart.toml: what it says, and what is refused with its line."""

from __future__ import annotations

from datetime import time

import pytest

from clinical.chart_policy import ALWAYS, At, Choice, Each, Every, OnDemand, PolicyError, Spoiler, read_policies

HEAD = 'zone = "Asia/Shanghai"\n'


def policy(**keys: str) -> str:
    stated = {"metrics": '["MDC_TEMP"]', "when": '"hourly"', "value": '"last valid"'} | keys
    return "[[policy]]\n" + "".join(f"{key} = {value}\n" for key, value in stated.items())


def test_each_kind_of_policy_is_read() -> None:
    text = HEAD + "\n".join(
        (
            policy(metrics='["MDC_PULS_OXIM_SAT_O2"]', when='"every 5 min"', value='"median of the last minute"'),
            policy(metrics='["MDC_PRESS_CUFF_SYS", "MDC_PRESS_CUFF_DIA"]', when='"each"', value='"each"'),
            policy(when='["02:00", "06:00"]', stands_min="60", ward='"ICU"', auto_final_after_min="30"),
            policy(when='"on demand"', stands_min="5"),
        )
    )

    found = read_policies(text)

    spo2 = found.of("ICU", "MDC_PULS_OXIM_SAT_O2")
    assert spo2 is not None
    assert (spo2.when, spo2.choice, spo2.window_min) == (Every(5), Choice.MEDIAN_OF_LAST_MINUTE, 1)
    assert spo2.spoiled_by == frozenset(Spoiler)
    assert found.each_metrics() == {"MDC_PRESS_CUFF_SYS", "MDC_PRESS_CUFF_DIA"}
    of_icu, elsewhere = found.of("icu ", "MDC_TEMP"), found.of("W3", "MDC_TEMP")
    assert of_icu is not None
    assert (of_icu.when, of_icu.auto_final_after_min) == (At((time(2), time(6))), 30)
    assert elsewhere is not None
    assert elsewhere.when == OnDemand()
    assert found.of("ICU", "MDC_ECG_HEART_RATE") is None


def test_what_nobody_may_allow_stays() -> None:
    found = read_policies(HEAD + policy(spoiled_by="[]")).of("", "MDC_TEMP")
    assert found is not None
    assert found.spoiled_by == ALWAYS


def test_the_slot_is_how_long_a_value_stands() -> None:
    found = read_policies(HEAD + policy()).of("", "MDC_TEMP")
    assert found is not None
    assert found.window_min == 60
    assert found.auto_final_after_min is None
    each = read_policies(HEAD + policy(when='"each"', value='"each"')).of("", "MDC_TEMP")
    assert each is not None
    assert each.when == Each()


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (HEAD + policy(metrics='["HR"]'), 3, "no metric"),
        (HEAD + policy(metrics="[]"), 3, "no metric is named"),
        (HEAD + policy(when='"sometimes"'), 4, "not known"),
        (HEAD + policy(when='"every 7 min"'), 4, "cannot be divided"),
        (HEAD + policy(when='["06:00", "02:00"]', stands_min="5"), 4, "in order"),
        (HEAD + policy(when='["6 o\'clock"]', stands_min="5"), 4, "02:00"),
        (HEAD + policy(when='["02:00"]'), 4, "stands_min"),
        (HEAD + policy(when='"each"'), 5, "go together"),
        (HEAD + policy(value='"each"'), 5, "go together"),
        (HEAD + policy(value='"mean"'), 5, "median of the last minute"),
        (HEAD + policy(when='"each"', value='"each"', stands_min="5"), 6, "its own moment"),
        (HEAD + policy(stands_min="0"), 6, "1440"),
        (HEAD + policy(value='"median of the last minute"', stands_min="10"), 6, "leave it out"),
        (HEAD + policy(auto_final_after_min="3"), 6, "not even chosen"),
        (HEAD + policy(spoiled_by='["rain"]'), 6, "rain"),
        (HEAD + policy(stand_min="5"), 6, "stand_min"),
        (HEAD + policy(stands_min='"5"'), 6, "int"),
        (HEAD + policy() + policy(), 7, "already"),
        ('\nzone = "Mars"\n' + policy(), 2, "Mars"),
    ],
)
def test_a_contradiction_is_refused_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_policies(text)
    assert str(refused.value).startswith(f"line {line}: ")
    assert reason in str(refused.value)


def test_what_is_no_toml_is_refused_in_words() -> None:
    with pytest.raises(PolicyError, match="no TOML"):
        read_policies("[[policy]\n")
    with pytest.raises(PolicyError, match="zone"):
        read_policies(policy())
