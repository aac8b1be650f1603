from __future__ import annotations

from simulators import scan_json
from simulators.mqtt_json import payload, topic_of
from simulators.patient import Patient
from vitalwire.doctor.port.mqtt_topics import TopicsHeard, answer_about_topics

AT_US = 1_700_000_000_000_000


def heard(payloads: list[bytes], topic: str = "ward/#", said_on: str = "ward/icu/bed/7/monitor") -> TopicsHeard:
    made = TopicsHeard("10.0.0.7:1883", topic)
    for each in payloads:
        made.take(said_on, each, AT_US, is_asked_for=True)
    return made


def monitor(count: int) -> list[bytes]:
    topic = topic_of("7")
    return [payload(Patient(7), topic, float(n), AT_US + n * 1_000_000, n, 12)[0] for n in range(count)]


def test_a_monitor_s_topic_is_read_by_one_driver_and_certain() -> None:
    found = heard(monitor(5))
    slug, text = answer_about_topics(found, 5.0, "en")
    assert (slug, found.best.driver.name) == ("read", "mqtt_json")
    assert "topic ward/#: 100% of 5 messages read" in text


def test_scans_are_not_taken_for_a_monitor_s_values() -> None:
    found = heard([scan_json.payload("501", f"471{n}", AT_US + n * 1_000_000) for n in range(5)])
    assert found.best.driver.name == "scan_json" or answer_about_topics(found, 5.0, "en").slug == "likely"


def test_few_messages_are_likely_alone() -> None:
    assert answer_about_topics(heard(monitor(2)), 5.0, "en").slug == "likely"


def test_what_nobody_reads_is_shown() -> None:
    slug, text = answer_about_topics(heard([b"temperature=20"] * 5), 5.0, "en")
    assert slug == "unknown"
    assert "The first: temperature=20" in text


def test_a_topic_that_does_not_exist_and_those_that_do() -> None:
    found = TopicsHeard("10.0.0.7:1883", "icu/#")
    for number in range(14):
        found.take(f"ward/{number}", b"{}", AT_US, is_asked_for=False)
    slug, text = answer_about_topics(found, 5.0, "en")
    assert slug == "no-such-topic"
    assert text.startswith("Connected, no such topic: nothing under icu/# in 5 s; these 14 exist: ward/0, ward/1, ")
    assert text.endswith("(+2)")
    assert answer_about_topics(found, 5.0, "zh").text.startswith("已连接，但无此主题")


def test_a_broker_on_which_nobody_speaks() -> None:
    assert answer_about_topics(TopicsHeard("10.0.0.7:1883", "#"), 5.0, "en").slug == "no-topics"
