"""What a Philips IntelliVue monitor says of itself and of its patient ("Programming Guide" rev G.0, chapter 5).

MDS: 091E bed label, 0928 model, 0984 system id, 0946 operating mode u16, 09A7 status u16, 0987 absolute time, 098F
relative time. Patient demographics: 0957 state u16 (what else is said counts where it is 2, admitted), 0962 type u16,
0A1E paced u16, 0961 sex u16, 095A id, F001 internal id, 09D8 age, 09DC height, 09DF weight, 0956 body surface: FLOAT,
unit u16. Names (095C, 095D, 095F), the date of birth and notes are not taken: a sealed name cannot be erased.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.formats.intellivue import NO_TIME, Attributes, Bytes
from adapters.formats.intellivue_values import Float, float_of, text_of
from adapters.formats.values import printable

_BED, _MODEL, _SYSTEM_ID, _MODE, _STATUS, _ABSOLUTE, _TICKS = 0x091E, 0x0928, 0x0984, 0x0946, 0x09A7, 0x0987, 0x098F
_MODES = {
    0x8000: "unspecified", 0x4000: "monitoring", 0x2000: "demo", 0x1000: "service", 0x0002: "standby", 0x0001: "config",
}  # fmt: skip
_DEMO = 0x2000
_STATE, _TYPE, _PACED, _ID, _INTERNAL_ID = 0x0957, 0x0962, 0x0A1E, 0x095A, 0xF001
_STATES = {0: "empty", 1: "pre-admitted", 2: "admitted", 8: "discharged"}
_ADMITTED = 2
_TYPES = {0: "unspecified", 1: "adult", 2: "pediatric", 3: "neonatal"}
_BODY = {0x09D8: "age", 0x09DC: "height", 0x09DF: "weight", 0x0956: "body surface"}
_DELIMITERS = frozenset("^~&\\|")
_CLAIM_CHARS_MAX = 100


@dataclass(frozen=True)
class Monitor:
    """The monitor by its own words; None and "" are what it does not say."""

    system_id: str = ""
    model: str = ""
    bed: str | None = None
    mode: str = ""
    is_demo: bool | None = None
    status: str = ""
    absolute: bytes | None = None
    ticks: int | None = None

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """For people."""
        return ("model", self.model), ("system id", self.system_id)


@dataclass(frozen=True)
class BodySetting:
    """A number that somebody entered of the patient."""

    attribute: int
    name: str
    value: Float
    unit: int


@dataclass(frozen=True)
class Patient:
    """Who lies there as the monitor claims it: code system, name and text; and what was entered of the body."""

    claims: tuple[tuple[str, str, str], ...]
    settings: tuple[BodySetting, ...]


def monitor_of(found: Attributes) -> Monitor:
    """What these attributes say of the monitor."""
    mode = _u16(found, _MODE)
    absolute = Bytes(found[_ABSOLUTE]).take(8) if _ABSOLUTE in found else NO_TIME
    status = _u16(found, _STATUS)
    return Monitor(
        system_id=_system_id(found.get(_SYSTEM_ID, b"")),
        model=_model(found.get(_MODEL, b"")),
        bed=printable(text_of(found[_BED])) if _BED in found else None,
        mode="" if mode is None else _mode(mode),
        is_demo=None if mode is None else bool(mode & _DEMO),
        status="" if status is None else str(status),
        absolute=None if absolute == NO_TIME else absolute,
        ticks=Bytes(found[_TICKS]).u32() if _TICKS in found else None,
    )


def patient_of(found: Attributes) -> Patient | None:
    """What these attributes say of the patient; None where they do not say in which state it is."""
    state = _u16(found, _STATE)
    if state is None:
        return None
    claims = [("Philips", "patient state", _STATES.get(state, str(state)))]
    if state != _ADMITTED:
        return Patient(tuple(claims), ())
    number = printable(text_of(found[_ID]))[:_CLAIM_CHARS_MAX] if _ID in found else ""
    if number:
        # Under HL7's name for a patient's numbers too, by which claims are compared, where it has none of its signs.
        claims += [("Philips", "patient id", number)]
        claims += [] if _DELIMITERS & set(number) else [("HL7", "PID-3", number)]
    if _INTERNAL_ID in found:
        claims.append(("Philips", "internal patient id", found[_INTERNAL_ID].hex()))
    kind, paced = _u16(found, _TYPE), _u16(found, _PACED)
    if kind is not None:
        claims.append(("Philips", "patient type", _TYPES.get(kind, str(kind))))
    if paced is not None:
        claims.append(("Philips", "paced", str(paced)))
    return Patient(tuple(claims), tuple(_body(found)))


def _body(found: Attributes) -> list[BodySetting]:
    settings = []
    for attribute, name in _BODY.items():
        if attribute in found:
            data = Bytes(found[attribute])
            settings.append(BodySetting(attribute, name, float_of(data), data.u16()))
    return settings


def _u16(found: Attributes, attribute: int) -> int | None:
    return Bytes(found[attribute]).u16() if attribute in found else None


def _mode(bits: int) -> str:
    words = [word for bit, word in _MODES.items() if bits & bit]
    return " ".join(words) or f"{bits:04X}"


def _system_id(value: bytes) -> str:
    """The bytes of a system id in hexadecimal, without the length before them where there is one."""
    if len(value) > 2 and int.from_bytes(value[:2], "big") == len(value) - 2:
        value = value[2:]
    return value[:64].hex()


def _model(value: bytes) -> str:
    """Manufacturer and number of the model: two texts; in hexadecimal where they are none."""
    data = Bytes(value)
    words = []
    while data.left >= 2:
        length = int.from_bytes(value[len(value) - data.left :][:2], "big")
        if length > data.left - 2:
            return value[:64].hex()
        words.append(text_of(data.take(length + 2)))
    return printable(" ".join(filter(None, words)))
