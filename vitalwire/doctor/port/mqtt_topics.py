"""What an MQTT broker's topics say, and which driver reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from adapters.devices.registry import DRIVERS
from adapters.driver import DeviceDriver, Source
from schemas.errors import FrameError
from schemas.report import Kind
from vitalwire.doctor.port.hl7_words import Answer
from vitalwire.doctor.port.words import Language

TOPICS_MAX, SHOWN_MAX, PAYLOAD_SHOWN = 2000, 12, 120
SHARE_CERTAIN, MESSAGES_CERTAIN, MARGIN = 0.5, 3, 0.3
MESSAGE_DRIVERS = tuple(driver for driver in DRIVERS if driver.session is None)


@dataclass
class DriverReading:
    """What a driver makes of the messages under the topic that was asked for."""

    driver: DeviceDriver[Any]
    read: int = 0
    values: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    sources: dict[str, Source[Any]] = field(default_factory=dict)


@dataclass
class TopicsHeard:
    """All topics that spoke, and what the drivers made of the messages under the one that was asked for."""

    place: str
    topic: str
    topics: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    first: bytes = b""
    readings: list[DriverReading] = field(default_factory=lambda: [DriverReading(d) for d in MESSAGE_DRIVERS])

    def take(self, topic: str, payload: bytes, at_us: int, *, is_asked_for: bool) -> None:
        """A message came."""
        if topic in self.topics or len(self.topics) < TOPICS_MAX:
            self.topics[topic] += 1
        if not is_asked_for:
            return
        self.messages += 1
        self.first = self.first or payload
        for reading in self.readings:
            _read(reading, topic, payload, at_us)

    @property
    def best(self) -> DriverReading:
        """Who reads most, and most values of it."""
        return max(self.readings, key=lambda reading: (reading.read, reading.values))

    @property
    def is_certain(self) -> bool:
        """Whether one driver reads enough, and clearly more than any other."""
        best, rest = self.best, [reading for reading in self.readings if reading is not self.best]
        share = best.read / max(1, self.messages)
        rival = max((reading.read for reading in rest), default=0) / max(1, self.messages)
        return best.read >= MESSAGES_CERTAIN and share >= SHARE_CERTAIN and share - rival >= MARGIN and best.values > 0


def _read(reading: DriverReading, topic: str, payload: bytes, at_us: int) -> None:
    """A message that says nothing that is kept is not read by this driver, as far as anybody can tell."""
    driver = reading.driver
    if topic not in reading.sources:
        reading.sources[topic] = Source("doctor", driver.settings(), time_zone=ZoneInfo("UTC"), peer=topic)
    source = reading.sources[topic]
    source.received_at_us = at_us
    try:
        reports = driver.read(payload, source)
    except FrameError as error:
        reading.reasons[error.reason] += 1
        return
    source.take_emitted()
    reading.read += bool(reports)
    reading.values += sum(len(report.records) for report in reports if report.kind is not Kind.EVENT)


_SENTENCES: Mapping[str, dict[Language, str]] = {
    "read": {
        "en": "{title} at {place}, topic {topic}: {share} of {messages} messages read, {values} values.",
        "zh": "{title}，{place}，主题{topic}：{messages}条消息中{share}可读，{values}个数值。",
    },
    "likely": {
        "en": "Likely, not certain: {title} at {place}, topic {topic}: {read} of {messages} messages read.",
        "zh": "可能是（尚不确定）：{title}，{place}，主题{topic}：{messages}条消息中{read}条可读。",
    },
    "unknown": {
        "en": "Messages come under {topic}, and no driver reads them ({reasons}). The first: {first}",
        "zh": "{topic}下有消息，但没有驱动能读取（{reasons}）。第一条：{first}",
    },
    "no-such-topic": {
        "en": "Connected, no such topic: nothing under {topic} in {seconds} s; these {count} exist: {topics}",
        "zh": "已连接，但无此主题：{seconds}秒内{topic}下没有消息；现有{count}个主题：{topics}",
    },
    "no-topics": {
        "en": "Connected, and no topic says anything in {seconds} s: does anybody publish there, and may this user read"
        " it?",
        "zh": "已连接，但{seconds}秒内没有任何主题有消息：是否有人发布，此用户是否有读取权限？",
    },
}  # fmt: skip


def answer_about_topics(heard: TopicsHeard, seconds: float, language: Language) -> Answer:
    """The answer, for a broker that let us in."""
    best = heard.best
    if not heard.topics:
        slug = "no-topics"
    elif not heard.messages:
        slug = "no-such-topic"
    elif not best.read:
        slug = "unknown"
    else:
        slug = "read" if heard.is_certain else "likely"
    names = [name for name, _ in heard.topics.most_common(SHOWN_MAX)]
    more = len(heard.topics) - len(names)
    words = {
        "title": best.driver.title, "place": heard.place, "topic": heard.topic, "messages": heard.messages,
        "share": f"{best.read / max(1, heard.messages):.0%}", "read": best.read, "values": best.values,
        "reasons": ", ".join(f"{each.driver.name}: {reason}" for each in heard.readings for reason in each.reasons),
        "first": heard.first[:PAYLOAD_SHOWN].decode("utf-8", "replace"),
        "seconds": f"{seconds:.0f}", "count": len(heard.topics),
        "topics": ", ".join(names) + (f" (+{more})" if more > 0 else ""),
    }  # fmt: skip
    return Answer(slug, _SENTENCES[slug][language].format(**words))
