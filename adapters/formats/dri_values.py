"""From a class of an S/5 monitor's physiological data (DRI) to records: what each group's status and label make of it.

"S/5 System Interface, Datex-Ohmeda Record Specification" 8005313 (12th edition, 2020), pages 13-45; the tables are in
`dri_groups`. A group counts where its module exists (status bit 0); where it is not active (bit 1), it has no reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from adapters.formats.dri_groups import (
    AGENT_CODES,
    AGENT_CODES_OF_OTHERS,
    ARRHYTHMIA_AT,
    ARRHYTHMIAS,
    CLASSES,
    DIMLESS,
    ECG_EXTRA,
    ECG_EXTRA_AT,
    ECG_HEART_RATE,
    ECG_LEADS,
    ECG_SOURCES,
    NO_PRESSURE_CODES,
    PRESSURE_CODES,
    PULSE_RATE,
    ST_CODES,
    TEMPERATURE_CODES,
    Group,
    Value,
)
from schemas.report import AsSent, ChannelWords, Record, Validity

SYSTEM = "Datex-Ohmeda DRI"
VALUE_MIN = -32000  # below it stand words
NMT_VALUE_MIN = -31000  # of NMT's ptc alone (page 38)
RESP_RATE = 151562
CO2_ALWAYS_FROM_LEVEL = 8  # CO2's rr: from the source in the label before that
_NO_READING = {
    -32766: "not updated", -32764: "under range", -32763: "over range", -32762: "not calibrated",
}  # fmt: skip
_EXISTS, _IS_ACTIVE = 1, 2
_PTC_NONE = 31
_PCWP_GROUP = "PCWP"  # shares status and label with CO


@dataclass(frozen=True)
class GroupReading:
    """What a group says: its records, and its status and label in words ("" for nothing to say).

    `is_old` is set of a measurement that was taken more than a minute ago; None where values are continuous.
    """

    name: str
    records: tuple[Record, ...]
    words: str
    label: str = ""
    leads: tuple[str, ...] = ()
    is_old: bool | None = None


def read_class(number: int, data: bytes, level: int) -> list[GroupReading]:
    """The groups of class `number` whose modules exist, from its 270 bytes; none where the class is not read here."""
    found = []
    for group in CLASSES.get(number, ()):
        status = int.from_bytes(data[group.at : group.at + 4], "little")
        if status & _EXISTS:
            found.append(_GroupReader(group, data, status, level).read())
    return found


def channel_number(label: str) -> int:
    """Of a value that needs a word beside its code."""
    return ChannelWords(label=label).number if label else 0


def value_record(value: Value, name: str, raw: int, validity: Validity = Validity.VALID) -> Record:
    """A value under its code; without one under the group's and its own name, `name`."""
    record = Record(
        value.code,
        value.unit,
        channel_number(value.channel),
        validity=validity,
        mantissa=raw,
        exponent=value.exponent,
        as_sent=None if value.code else AsSent(SYSTEM, name, value.sent_unit),
    )
    if raw >= VALUE_MIN and validity is not Validity.NOT_AVAILABLE:
        return record
    return Record(
        record.code,
        record.unit,
        record.channel,
        validity=Validity.NOT_AVAILABLE,
        note=_NO_READING.get(raw),
        as_sent=record.as_sent,
    )


def label_word(labels: Sequence[str], label: int) -> str:
    """The label's word; its bare number where the document has none."""
    return labels[label] if label < len(labels) else str(label)


class _GroupReader:
    """One group of one class."""

    def __init__(self, group: Group, data: bytes, status: int, level: int) -> None:
        self._group, self._data, self._status, self._level = group, data, status, level
        self._label = int.from_bytes(data[group.at + 4 : group.at + 6], "little")
        self._word = label_word(group.labels, self._label) if group.labels else ""
        # Of channels 1 to 3.
        self._leads = tuple(label_word(ECG_LEADS, self._label >> shift & 0xF) for shift in (8, 4, 0))

    def read(self) -> GroupReading:
        """Its values, and what its bits say."""
        group = self._group
        records = list[Record]()
        for place, value in enumerate(group.values):
            raw = self._short(group.at + group.values_at + 2 * place)
            if group.name == "NMT" and value.name == "ptc":
                records += self._ptc(raw)
            else:
                known, name = self._known(value, place)
                record = value_record(known, name, raw, self._validity())
                records.append(self._with_note(record, value))
        if group.name == "ECG":
            records += self._ecg_extra()
        is_ecg = group.name == "ECG"
        return GroupReading(
            name=group.name,
            records=tuple(records),
            words=self._words(),
            label=self._word,
            leads=self._leads if is_ecg else (),
            is_old=None if group.old_bit is None else bool(self._label >> group.old_bit & 1),
        )

    def _short(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + 2], "little", signed=True)

    def _has(self, bits: Sequence[int]) -> bool:
        return any(self._status >> bit & 1 for bit in bits)

    @property
    def _is_active(self) -> bool:
        return bool(self._status & _IS_ACTIVE)

    def _validity(self) -> Validity:
        if not self._is_active:
            return Validity.NOT_AVAILABLE
        if self._has(self._group.invalid):
            return Validity.INVALID
        if self._has(self._group.calibrating):
            return Validity.CALIBRATING
        return Validity.QUESTIONABLE if self._has(self._group.doubtful) else Validity.VALID

    @property
    def _hr_source(self) -> int:
        return self._status >> 3 & 0xF

    def _known(self, value: Value, place: int) -> tuple[Value, str]:
        """The value with the code that status and label give it, and its name where it has none."""
        group, word = self._group, self._word
        name = f"{group.name} {value.name}"
        if group.name.startswith("P") and group.name != _PCWP_GROUP:
            name = f"{word or group.name} {value.name}"
            if place < 3:
                return replace(value, code=PRESSURE_CODES.get(word, NO_PRESSURE_CODES)[place]), name
        elif group.name.startswith("T"):
            return replace(value, code=TEMPERATURE_CODES.get(word, 0)), f"{word or group.name} {value.name}"
        elif group.name == "AA" and place < 2:
            return replace(value, code=AGENT_CODES.get(word, AGENT_CODES_OF_OTHERS)[place]), name
        elif group.name == "ECG" and value.name == "hr" and self._hr_source not in ECG_SOURCES:
            return replace(value, code=PULSE_RATE), name
        elif group.name == "ECG" and value.name.startswith("st"):
            lead = self._leads[place - 1]
            return replace(value, code=ST_CODES.get(lead, 0)), f"ST {lead}" if lead else name
        elif group.name == "CO2" and value.name == "rr" and self._is_rr_of_impedance:
            return replace(value, code=RESP_RATE), name
        return value, name

    @property
    def _is_rr_of_impedance(self) -> bool:
        return self._level < CO2_ALWAYS_FROM_LEVEL and self._label & 7 == 2

    def _with_note(self, record: Record, value: Value) -> Record:
        """What the code does not say: which agent, what a rate was counted on."""
        note = ""
        if self._group.name == "AA" and record.code in AGENT_CODES_OF_OTHERS:
            note = self._word
        elif record.code == PULSE_RATE and self._group.name == "ECG":
            note = self._group.status_fields[0].word(self._status)
        if not note or record.note is not None:
            return record
        return Record(
            record.code,
            record.unit,
            record.channel,
            validity=record.validity,
            mantissa=record.mantissa,
            exponent=record.exponent,
            note=note,
            as_sent=record.as_sent,
        )

    def _ecg_extra(self) -> list[Record]:
        """HR of the ECG alone, which has its code unless `hr` is that, and the extremes."""
        records = []
        for place, value in enumerate(ECG_EXTRA):
            if value.name == "hr_ecg" and self._hr_source not in ECG_SOURCES:
                value = replace(value, code=ECG_HEART_RATE)
            raw = self._short(ECG_EXTRA_AT + 2 * place)
            records.append(value_record(value, f"ECG {value.name}", raw, self._validity()))
        return records

    def _ptc(self, raw: int) -> list[Record]:
        """Post-tetanic count, train-of-four count and current, packed into one value."""
        validity = self._validity() if raw >= NMT_VALUE_MIN else Validity.NOT_AVAILABLE
        bits = raw & 0xFFFF
        ptc, count, current = bits & 0x1F, bits >> 5 & 0xF, bits >> 9
        ptc_validity = Validity.NOT_AVAILABLE if ptc == _PTC_NONE else validity
        return [
            value_record(Value("ptc", unit=DIMLESS), "NMT ptc", ptc, ptc_validity),
            value_record(Value("count", unit=DIMLESS), "NMT count", count, validity),
            value_record(Value("current", sent_unit="mA"), "NMT current", current, validity),
        ]

    def _words(self) -> str:
        """Status and label for people; of a group that is not active, that alone."""
        if not self._is_active:
            return "not active"
        group = self._group
        words = [self._word]
        words += [word for bit, word in group.status_bits if self._status >> bit & 1]
        words += [field.word(self._status) for field in group.status_fields]
        words += [word for bit, word in group.label_bits if self._label >> bit & 1]
        words += [field.word(self._label) for field in group.label_fields]
        if group.name == "ECG":
            words += [f"channel {n} {lead}" for n, lead in enumerate(self._leads, 1) if lead]
        if group.name == "arrhythmia":
            bits = int.from_bytes(self._data[ARRHYTHMIA_AT : ARRHYTHMIA_AT + 4], "little")
            words += [word for bit, word in enumerate(ARRHYTHMIAS) if bits >> bit & 1]
        return ", ".join(word for word in words if word)
