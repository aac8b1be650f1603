"""What an IntelliVue monitor says of itself and of its patient."""

from __future__ import annotations

import pytest

from adapters.formats.intellivue_patient import BodySetting, Monitor, monitor_of, patient_of
from adapters.formats.intellivue_values import Float
from tests.adapters.intellivue_bytes import NOON, ZONELESS, real, sized, text, u16, u32


def test_the_monitor_by_its_own_words() -> None:
    found = monitor_of({
        0x0984: sized(bytes.fromhex("0009FB0102030405")), 0x0928: sized(b"Philips\0") + sized(b"M8010A\0\0"),
        0x091E: text("ICU 7"), 0x0946: u16(0x2000), 0x09A7: u16(6), 0x0987: NOON, 0x098F: u32(7),
    })  # fmt: skip
    assert found == Monitor("0009fb0102030405", "Philips M8010A", "ICU 7", "demo", True, "6", NOON, 7)


def test_what_it_does_not_say_is_not_there() -> None:
    assert monitor_of({}) == Monitor()
    assert monitor_of({0x0987: ZONELESS}).absolute is None


@pytest.mark.parametrize(("bits", "words"), [(0x4000, "monitoring"), (0x4002, "monitoring standby"), (0x0100, "0100")])
def test_modes(bits: int, words: str) -> None:
    assert monitor_of({0x0946: u16(bits)}).mode == words


def test_a_model_that_is_no_text_and_a_system_id_without_a_length_stay_hexadecimal() -> None:
    found = monitor_of({0x0928: b"\x00\x09abc", 0x0984: b"\x01\x02\x03"})
    assert (found.model, found.system_id) == ("0009616263", "010203")


@pytest.mark.parametrize(("state", "word"), [(0, "empty"), (1, "pre-admitted"), (8, "discharged"), (77, "77")])
def test_only_an_admitted_patient_counts(state: int, word: str) -> None:
    found = patient_of({0x0957: u16(state), 0x095A: text("7"), 0x09DC: real(178) + u16(0x0511)})
    assert found is not None
    assert found.claims == (("Philips", "patient state", word),)
    assert found.settings == ()


def test_an_admitted_patient() -> None:
    found = patient_of({
        0x0957: u16(2), 0x095A: text("0007"), 0x0962: u16(3), 0x0A1E: u16(1), 0xF001: u16(9),
        0x095C: text("Muster"), 0x09DF: real(32, -1) + u16(0x06C3),
    })  # fmt: skip
    assert found is not None
    assert found.claims == (
        ("Philips", "patient state", "admitted"), ("Philips", "patient id", "0007"), ("HL7", "PID-3", "0007"),
        ("Philips", "internal patient id", "0009"), ("Philips", "patient type", "neonatal"), ("Philips", "paced", "1"),
    )  # fmt: skip
    assert found.settings == (BodySetting(0x09DF, "weight", Float(32, -1), 0x06C3),)


def test_without_a_state_nobody_is_named() -> None:
    assert patient_of({0x095A: text("7")}) is None
