"""What senders of HL7 v2 do otherwise than the standard, as data: one row a dialect, which a source names.

Nothing is taken for a dialect by its looks: a message without MSH-7 is one without a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.formats.hl7_dialect_codes import (
    MDIL,
    MDIL_ALERTS,
    MINDRAY_PDS,
    NIHON_KOHDEN,
    DialectAlarm,
    DialectCode,
)

# IEEE 11073-20101 FLOAT (24 bits) and SFLOAT (12 bits): NaN, NRes, +INFINITY, -INFINITY and the reserved value, as the
# mantissa's bits or with its sign; 32767 is the largest int16, which monitors write beside them.
_SPECIALS_OF_11073 = (
    "8388607", "8388608", "-8388608", "8388606", "8388610", "-8388606", "8388609", "-8388607",
    "2047", "2048", "-2048", "2046", "2050", "-2046", "2049", "-2047",
    "32767", "-32768",
)  # fmt: skip
_MDIL_SYSTEMS = ("MDIL", "MDILL")  # the second is how some sites spell it


@dataclass(frozen=True)
class Dialect:
    """One way to write HL7 v2.

    `clockless`: MSH-7 and OBR-7 are no times; OBX-14 alone is one. `remembers`: segments of an earlier message of the
    connection that hold until the next PID. `heartbeats`: values of MSH-10 of messages that may say nothing.
    `unread_waves`: segments of waves that nobody can read; a message of these alone is counted, and no error.
    `sentinels`: numbers that mean "no reading", in any notation, everywhere or only beside the results status (OBX-11)
    `sentinels_beside`. `stable_ordinals`: the numbers in OBX-4 always mean the same channel, so that they are among a
    channel's words. `codes`: the sender's own, by OBX-3.1, which a site's row outranks. `hexadecimal`: systems
    (OBX-3.3, 6.3) in which an identifier is an MDC code as "0002-4bb8", partition and term. `alarms`: by OBX-3.1 what
    an OBX of the system `alarm_system` says of an alarm, whose words are its value. `restates_alarms`: a message with
    values that are measured all the time names all alarms, so that one which it does not name any more is over.
    `states_limits`: OBX-7 of a value are the limits of its alarms.
    """

    name: str
    source: str
    clockless: bool = False
    remembers: tuple[str, ...] = ()
    heartbeats: tuple[str, ...] = ()
    unread_waves: tuple[str, ...] = ()
    sentinels: tuple[str, ...] = ()
    sentinels_beside: str = ""
    stable_ordinals: bool = False
    codes: Mapping[str, DialectCode] = field(default_factory=dict)
    hexadecimal: tuple[str, ...] = ()
    alarm_system: str = ""
    alarms: Mapping[str, DialectAlarm] = field(default_factory=dict)
    restates_alarms: bool = False
    states_limits: bool = False


DIALECTS: dict[str, Dialect] = {
    row.name: row
    for row in (
        Dialect(
            name="plain",
            source="HL7 2.1 to 2.8; IEEE 11073-20101 for the sentinels",
            sentinels=_SPECIALS_OF_11073,
            sentinels_beside="X",
        ),
        Dialect(
            name="pcd-01",
            source="IHE PCD TF-2 appendix B: ordinals of OBX-4 may change from one message to the next",
            sentinels=_SPECIALS_OF_11073,
            sentinels_beside="X",
        ),
        Dialect(
            name="ge-b40",
            source="GE B40/B20 HL7 Reference Manual 2062665-001 G: module and channel numbers of OBX-4 are fixed",
            sentinels=_SPECIALS_OF_11073,
            sentinels_beside="X",
            stable_ordinals=True,
        ),
        Dialect(
            name="mindray-pds",
            source="Mindray Patient Data Share Protocol, Programmer's Guide; 54 and 56 come empty in an idle stream",
            clockless=True,
            remembers=("PID", "PV1"),
            heartbeats=("106", "54", "56"),
            unread_waves=("ZMW",),
            sentinels=("-100",),
            stable_ordinals=True,
            codes=MINDRAY_PDS,
        ),
        Dialect(
            name="mindray-egateway",
            source="Mindray eGateway, HL7 2.6, as public readers have it: MDC codes, one of them in OBX-4; waves in NA",
            sentinels=_SPECIALS_OF_11073,
            sentinels_beside="X",
        ),
        Dialect(
            name="nihon-kohden",
            source="Nihon Kohden CNS-6201, BSM and PVM, protocol 0614-905894, as messages in public code have it",
            codes=NIHON_KOHDEN,
        ),
        Dialect(
            name="philips-efficia",
            source="Philips Efficia CM Data Export Guide p. 2-1 to 3-20: alarms come as they begin, none says its end",
            codes=MDIL,
            hexadecimal=_MDIL_SYSTEMS,
            alarm_system="MDIL-ALERT",
            alarms=MDIL_ALERTS,
        ),
        Dialect(
            name="philips-pic",
            source="Philips IntelliVue Information Center HL7 guides 4535 641 03281, 642 64661, as messages in public"
            " code have it: alarms stand among the vital signs for as long as they last",
            codes=MDIL,
            hexadecimal=_MDIL_SYSTEMS,
            alarm_system="MDIL-ALERT",
            alarms=MDIL_ALERTS,
            restates_alarms=True,
            states_limits=True,
        ),
    )
}
