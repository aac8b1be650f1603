from __future__ import annotations

import pytest

from vitalwire.doctor.port.conclusion import Conclusion
from vitalwire.doctor.port.words import Language, sentences

FOUND = Conclusion(
    slug="certain", place="/dev/ttyUSB0", seconds=9.7, bytes_heard=900, driver="nonin_df2", title="Nonin DF2",
    settings="9600 8N1", baud=9600, data_bits=8, parity="N", frames=49, frames_invalid=1, rival="Masimo",
    alternatives=("9600 8E1", "9600 8O1"),
)  # fmt: skip


def answer(slug: str, language: Language = "en", **more: object) -> list[str]:
    fields = {name: getattr(FOUND, name) for name in FOUND.__struct_fields__} | {"slug": slug} | more
    return sentences(Conclusion(**fields), language)


def test_a_certain_answer_is_one_sentence() -> None:
    assert answer("certain") == ["Nonin DF2 at 9600 8N1, 98 % of frames valid."]
    assert answer("certain", "zh") == ["Nonin DF2，9600 8N1，98%的帧有效。"]


def test_a_likely_one_says_what_it_lacks() -> None:
    first, *reasons = answer("likely", why=("few", "rival", "unchecked", "damaged", "framing", "rate"))
    assert first == "Likely, not certain: Nonin DF2 at 9600 8N1, 98 % of 50 frames valid."
    assert reasons == [
        "too few frames came: put the sensor on, or listen longer (--seconds)",
        "Masimo reads nearly as much of it",
        "damage to its frames would mostly not be noticed",
        "much of what comes is damaged: look at cable, plug and ground",
        "9600 8E1, 9600 8O1 would read the same, and this port reports no parity errors: "
        "see the device's menu or manual",
        "it reads the same at 9600 8E1, 9600 8O1: this port seems to know no rate",
    ]


def test_a_wrong_parity_is_answered_with_the_right_one() -> None:
    assert answer("parity", data_bits=7, parity="E")[0].startswith("Bytes arrive, parity is wrong: try 7E1. ")


def test_silence_is_answered_with_what_to_look_at_and_what_was_asked() -> None:
    assert answer("silent")[0].startswith("Nothing is sent in 10 s at any rate: null-modem, or the wrong port? ")
    assert "--probe" in answer("silent")[0]
    assert answer("silent", asked=("Datex", "MEDIBUS"))[0].endswith(
        " Nor is anything answered that was asked: Datex, MEDIBUS."
    )


@pytest.mark.parametrize("slug", ["certain", "likely", "parity", "asks", "unknown", "silent"])
def test_each_has_its_chinese(slug: str) -> None:
    assert answer(slug, "zh", why=("few",) if slug == "likely" else ())[0] != answer(slug)[0]
