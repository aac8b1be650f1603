"""What is concluded of all that came: one slug for scripts, and what it rests on."""

from __future__ import annotations

import msgspec

from vitalwire.doctor.port.examination import USUAL, Examination
from vitalwire.doctor.port.line_settings import LineSettings, Sample, of_driver, views
from vitalwire.doctor.port.reading import Reading

HEAD_BYTES = 64
PARITY_BYTES_MIN, PARITY_SHARE = 32, 0.95  # that bit 7 is a parity bit, of bytes that nobody reads


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """`slug`: certain, likely, asks, parity, unknown or silent; the sentences of each stand in words.py.

    `why` says what an answer lacks to be certain (`Examination.shortcomings`). `settings` is "" where the port knows
    no rate. `alternatives` are settings that read as well. `head` are the first bytes, as that setting gives them.
    """

    slug: str
    place: str
    seconds: float
    bytes_heard: int
    driver: str = ""
    title: str = ""
    settings: str = ""
    baud: int | None = None
    data_bits: int | None = None
    parity: str | None = None
    frames: int = 0
    frames_invalid: int = 0
    score: float = 0.0
    rival: str = ""
    rival_score: float = 0.0
    why: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    head: bytes = b""
    asked: tuple[str, ...] = ()  # titles of the drivers whose queries were sent

    @property
    def share(self) -> float:
        """Of the frames, those that are valid."""
        return self.frames / (self.frames + self.frames_invalid) if self.frames else 0.0


def conclude(examination: Examination, place: str) -> Conclusion:
    """The answer as far as it goes now."""
    found: dict[str, object]
    best = next(iter(examination.candidates()), None)
    if best is not None:
        found = _of_reading(examination, best)
    elif (asking := examination.asking()) is not None:
        found = {"slug": "asks", **_named(asking, asking.settings)}
    elif examination.bytes:
        found = _of_unknown(examination)
    else:
        found = {"slug": "silent"}
    made = {
        "place": place,
        "seconds": examination.seconds,
        "bytes_heard": examination.bytes,
        "asked": tuple(examination.asked_titles),
        **found,
    }
    return msgspec.convert(made, Conclusion)


def _named(reading: Reading, settings: LineSettings) -> dict[str, object]:
    return {"driver": reading.driver.name, "title": reading.driver.title, **_set(settings)}


def _set(settings: LineSettings) -> dict[str, object]:
    parts: dict[str, object] = {"data_bits": settings.data_bits, "parity": settings.parity}
    return parts | ({"settings": str(settings), "baud": settings.baud} if settings.baud else {})


def _of_reading(examination: Examination, best: Reading) -> dict[str, object]:
    why = examination.shortcomings(best)
    rival = examination.rival(best)
    settings, others = _stated(examination, best, why)
    found = _named(best, settings) | {
        "slug": "likely" if why else "certain",
        "frames": best.valid, "frames_invalid": best.invalid, "score": round(best.score, 3), "why": tuple(why),
        "rival": rival.driver.title if rival else "", "rival_score": round(rival.score, 3) if rival else 0.0,
        "alternatives": tuple(map(str, others)),
    }  # fmt: skip
    if not examination.knows_rate and best.settings.parity != "N":
        found["slug"] = "parity"
    return found


def _stated(examination: Examination, best: Reading, why: list[str]) -> tuple[LineSettings, list[LineSettings]]:
    """The setting that is named, and those that read as well; among these the family's own is named."""
    equal = [best.settings, *(other.settings for other in examination.alternatives(best))]
    if "framing" in why and any(each.data_bits == 8 and each.parity != "N" for each in equal):
        equal += [LineSettings(best.settings.baud, parity=parity) for parity in "EO"]  # without errors they are one
    equal = list(dict.fromkeys(equal))
    own = of_driver(best.driver.serial) if best.driver.serial is not None else None
    named = own if own is not None and own in equal else best.settings
    return named, [settings for settings in equal if settings != named]


def _of_unknown(examination: Examination) -> dict[str, object]:
    """At the setting that fits what came best."""
    sample = _best_fitting(examination)
    for view in views(sample):
        is_parity = view.settings.data_bits == 7 and view.data != sample.data
        if is_parity and len(view.data) >= PARITY_BYTES_MIN and view.error_share <= 1 - PARITY_SHARE:
            sample = view
    return {"slug": "unknown", "head": sample.data[:HEAD_BYTES], **_set(sample.settings)}


def _best_fitting(examination: Examination) -> Sample:
    """What was heard at the likely rate where that is known, with the fewest errors."""
    rate = examination.likely_rate()
    heard = [sample for sample in examination.samples if sample.data]
    at_rate = [sample for sample in heard if sample.settings.baud == rate]
    return min(at_rate or heard, key=lambda s: (round(s.error_share, 1), s.settings != USUAL, -len(s.data)))
