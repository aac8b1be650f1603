r"""A bedside monitor that sends HL7 v2 ORU^R01 over MLLP and waits for each acknowledgement, in three dialects.

- `pcd01`: IHE PCD TF-2, transaction PCD-01 and appendix B: HL7 2.6, MDC codes, the containment tree in OBX-4, the
  monitor's EUI-64 in OBX-18, accept acknowledgements (MSH-15 AL, MSH-16 NE).
- `plain`: HL7 2.3.1 with the hospital's own codes, GB 18030, original mode (MSH-15 and 16 empty).
- `mindray`: Mindray Patient Data Share Protocol, Programmer's Guide: 103 with patient and bed when a connection is new,
  204 periodic values and 503 aperiodic ones, 106 "I am here"; no MSH-7, MSH-10 is the kind, -100 is no reading, times
  are local. As nothing in a 204 tells it from the one before, T1 has eight more digits here: its clock's milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple, Protocol

from simulators.acked_log import SentReport
from simulators.faults import FaultyWire
from simulators.patient import Patient

ZONE = timezone(timedelta(hours=8))  # of the devices' clocks; Mindray's times do not say so
CODECS = {"pcd01": "utf-8", "plain": "gb18030", "mindray": "utf-8"}
DIALECTS = tuple(CODECS)
ACK_LIMIT_S = 10.0
RETRY_FIRST_S, RETRY_MAX_S = 0.2, 5.0
HEARTBEAT_S = 10.0
NAMES = ("张^三", "李^四", "王^五", "赵^六", "Doe^Jane")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINDRAY_NO_READING = "-100"
_MINDRAY_CLIENT_SAYS = (b"|QRY^R02|1203|", b"|ORU^R01|106|")  # a client's query, and that it is there


class _Row(NamedTuple):
    """How each dialect calls a channel; `vmd` is its second number in PCD-01's tree, `module` Mindray's OBX-4.

    Mindray's 250 and 605 are in public readers; that their modules are 2106 and 2121 is not confirmed by any.
    """

    mdc: str
    unit: str
    vmd: int
    local: str
    ucum: str
    mindray: str
    module: int


_PER_MIN, _MMHG, _PERCENT = "264864^MDC_DIM_BEAT_PER_MIN", "266016^MDC_DIM_MMHG", "262688^MDC_DIM_PERCENT"
_ROWS = {
    "hr": _Row("147842^MDC_ECG_HEART_RATE", _PER_MIN, 5, "HR", "/min", "101^HR", 2101),
    "pr": _Row("149530^MDC_PULS_OXIM_PULS_RATE", _PER_MIN, 22, "PR", "/min", "161^PR", 2103),
    "spo2": _Row("150456^MDC_PULS_OXIM_SAT_O2", _PERCENT, 22, "SPO2", "%", "160^SpO2", 2103),
    "rr": _Row("151562^MDC_RESP_RATE", "264928^MDC_DIM_RESP_PER_MIN", 5, "RR", "/min", "151^RR", 2102),
    "temp_c": _Row("150344^MDC_TEMP", "268192^MDC_DIM_DEGC", 26, "TEMP", "Cel", "200^T1", 2104),
    "abp_sys": _Row("150033^MDC_PRESS_BLD_ART_SYS", _MMHG, 13, "ABPS", "mm[Hg]", "500^ART-Sys", 2116),
    "abp_dia": _Row("150034^MDC_PRESS_BLD_ART_DIA", _MMHG, 13, "ABPD", "mm[Hg]", "502^ART-Dia", 2116),
    "abp_mean": _Row("150035^MDC_PRESS_BLD_ART_MEAN", _MMHG, 13, "ABPM", "mm[Hg]", "501^ART-Mean", 2116),
    "etco2": _Row("151728^MDC_AWAY_CO2_ET", _MMHG, 31, "ETCO2", "mm[Hg]", "250^CO2Et", 2106),
    "pi": _Row("150448^MDC_PULS_OXIM_PERF_REL", _PERCENT, 22, "PI", "%", "162^PI", 2103),
    "pvc": _Row("148066^MDC_ECG_V_P_C_RATE", _PER_MIN, 5, "PVC", "/min", "102^PVCs", 2101),
    "cvp": _Row("150087^MDC_PRESS_BLD_VEN_CENT_MEAN", _MMHG, 13, "CVP", "mm[Hg]", "605^Mean", 2121),
    "nibp_sys": _Row("150021^MDC_PRESS_BLD_NONINV_SYS", _MMHG, 14, "NIBPS", "mm[Hg]", "170^Sys", 2105),
    "nibp_dia": _Row("150022^MDC_PRESS_BLD_NONINV_DIA", _MMHG, 14, "NIBPD", "mm[Hg]", "171^Dia", 2105),
    "nibp_mean": _Row("150023^MDC_PRESS_BLD_NONINV_MEAN", _MMHG, 14, "NIBPM", "mm[Hg]", "172^Mean", 2105),
}
# Nodes of the tree: the monitor, and its modules by number.
_MDS = "69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS"
_VMDS = {
    5: "69798^MDC_DEV_ECG_VMD", 13: "69854^MDC_DEV_METER_PRESS_BLD_VMD", 22: "69642^MDC_DEV_ANALY_SAT_O2_VMD",
    26: "69902^MDC_DEV_METER_TEMP_VMD",
}  # fmt: skip


class Message(NamedTuple):
    """`id` is its MSH-10, which MSA-2 of the answer must equal; `sent` are its reports, none of a heartbeat."""

    payload: bytes
    id: str
    sent: tuple[SentReport, ...] = ()


def dtm(at_us: int, bare: bool = False) -> str:
    """HL7's time: local, with four decimals and offset; bare, as Mindray writes it, without both."""
    at = (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZONE)
    return f"{at:%Y%m%d%H%M%S}" + ("" if bare else f".{at.microsecond // 100:04}{at:%z}")


@lru_cache
def _row(name: str) -> tuple[_Row, int, int]:
    """The row of `hr` or `hr_2`, which one of its kind it is, and its place in the table."""
    base, _, ordinal = name.rpartition("_")
    base, ordinal = (base, ordinal) if ordinal.isdecimal() else (name, "1")
    return _ROWS[base], int(ordinal), list(_ROWS).index(base) + 1


Person = tuple[str, str]  # the number, and the name as PID-5
Whose = Callable[[str], Person | None]  # who lies at a bed; None: nobody


class Speaker(Protocol):
    """What a `Sender` sends for."""

    def greeting(self) -> list[Message]:
        """What comes first on a new connection."""


class Monitor:
    """One monitor at one bed: from a patient and a time to messages.

    `whose` says whose number and name are entered on it; None: one that never changes.
    """

    def __init__(self, dialect: str, bed: str, patient: Patient, values: int, whose: Whose | None = None) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"no dialect {dialect!r}: one of {', '.join(DIALECTS)}")
        self.dialect, self._bed, self._patient, self._values = dialect, bed, patient, values
        self._codec = CODECS[dialect]
        self._eui64 = f"02{patient.seed // 1000 & 0xFFFF:04X}FFFE{patient.seed % 1000:06X}"  # ward and bed
        self._place = f"^^ICU&{bed}&3232237756&4601&&1" if dialect == "mindray" else f"ICU^^{bed}"
        self.device = self._eui64.lower() if dialect == "pcd01" else self._place
        entered = f"{patient.seed:06}", NAMES[patient.seed % len(NAMES)]
        self._whose: Whose = whose or (lambda _: entered)
        self._greeted = self._whose(bed)
        self._cuff_number = -1

    def greeting(self) -> list[Message]:
        """What comes first on a new connection: with Mindray who lies where, else nothing."""
        if self.dialect != "mindray":
            return []
        self._greeted = self._whose(self._bed)
        number, name = self._greeted or ("", "")
        lines = [
            f"PID|||{number}||{name}||19560214|M|",
            f"PV1||I|{self._place}|||||||||||||||A|||",
            "OBR||||Mindray Monitor|||0|",
            f"OBX||ST|2308^BedNoStr||{self._bed}||||||F",
        ]
        return [self._mindray(103, lines)]

    def heartbeat(self) -> list[Message]:
        """ "I am here", where the dialect has it."""
        return [self._mindray(106, [])] if self.dialect == "mindray" else []

    def messages(self, t_s: float, at_us: int) -> list[Message]:
        """What the monitor says at `t_s` of its patient; `at_us` is its clock in whole ms, never the same twice."""
        values, cuff = self._patient.report(t_s, self._values), self._patient.cuff(t_s)
        cuff_values: dict[str, str | None] = {}
        cuff_at_us = at_us
        if cuff and cuff.number != self._cuff_number:
            self._cuff_number = cuff.number
            cuff_values = {**cuff.values}
            # Half a millisecond off, so that no report beside it has the same time.
            cuff_at_us += -round((t_s - cuff.at_s) * 1000) * 1000 + 500
        if self.dialect == "mindray":
            ordinal = [] if self._greeted == self._whose(self._bed) else self.greeting()
            aperiodic = self._aperiodic(cuff_values, cuff_at_us) if cuff_values else []
            return [*ordinal, *self._periodic(values, at_us), *aperiodic]
        id_ = f"{self._patient.seed}.{at_us // 1000}"
        build = self._pcd01 if self.dialect == "pcd01" else self._plain
        lines = build(id_, dtm(at_us), values | cuff_values, dict.fromkeys(cuff_values, dtm(cuff_at_us)))
        sent = [SentReport(self.device, id_, at_us, values)]
        if cuff_values:
            sent.append(SentReport(self.device, id_, cuff_at_us, cuff_values))
        return [Message("".join(f"{line}\r" for line in lines).encode(self._codec), id_, tuple(sent))]

    def _pcd01(self, id_: str, at: str, values: dict[str, str | None], own_times: dict[str, str]) -> list[str]:
        person = self._whose(self._bed)
        equipment = f"{self._bed}^VWSIM^{self._eui64}^EUI-64"
        lines = [
            rf"MSH|^~\&|VWSIM^{self._eui64}^EUI-64|ICU|||{at}||ORU^R01^ORU_R01|{id_}|P|2.6|||AL|NE||UNICODE UTF-8|||"
            "IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO",
            "PID|||{}^^^SIM^MR||{}^^^^^L".format(*person) if person else "PID|||",
            f"PV1||I|{self._place}",
            f"OBR|1|{id_}^VWSIM|{id_}^VWSIM|182777000^monitoring of patient^SCT|||{at}",
            f"OBX|1||{_MDS}^MDC|1.0.0.0|||||||X|||||||{equipment}",
            *(f"OBX|{n}||{node}^MDC|1.{vmd}.0.0|||||||X" for n, (vmd, node) in enumerate(_VMDS.items(), 2)),
        ]
        for n, (name, text) in enumerate(values.items(), 2 + len(_VMDS)):
            row, ordinal, place = _row(name)
            flag, status = ("", "R") if text else ("NAV", "X")
            lines.append(
                f"OBX|{n}|NM|{row.mdc}^MDC|1.{row.vmd}.{ordinal}.{place}|{text or ''}|{row.unit}^MDC||{flag}|||{status}"
                f"|||{own_times.get(name, '')}||||{equipment}"
            )
        return lines

    def _plain(self, id_: str, at: str, values: dict[str, str | None], own_times: dict[str, str]) -> list[str]:
        lines = [
            rf"MSH|^~\&|BEDSIDE|ICU|||{at}||ORU^R01|{id_}|P|2.3.1||||||GB 18030-2000",
            "PID|1||{}||{}".format(*(self._whose(self._bed) or ("", ""))),
            f"PV1|1|I|{self._place}",
            f"OBR|1||{id_}|VITALS^Vital signs^99SIM|||{at}",
        ]
        for n, (name, text) in enumerate(values.items(), 1):
            row, ordinal, _ = _row(name)
            lines.append(
                f"OBX|{n}|NM|{row.local}^^99SIM|{ordinal}|{text or ''}|{row.ucum}|||||{'F' if text else 'X'}"
                f"|||{own_times.get(name, '')}"
            )
        return lines

    def _periodic(self, values: dict[str, str | None], at_us: int) -> list[Message]:
        temperature = values.get("temp_c") or self._patient.report(0.0)["temp_c"]
        sent = {**values, "temp_c": f"{temperature}{at_us // 1000 % 10**8:08}"}
        lines = []
        for name, text in sent.items():
            row, ordinal, _ = _row(name)
            module = row.module + 100 * (ordinal - 1)  # beyond Mindray's own: more channels, for load
            lines.append(f"OBX||NM|{row.mindray}|{module}|{text or _MINDRAY_NO_READING}||||||F")
        return [self._mindray(204, lines, SentReport(self.device, "204", None, sent))]

    def _aperiodic(self, cuff: dict[str, str | None], at_us: int) -> list[Message]:
        at_us -= at_us % 1_000_000
        lines = []
        for name, text in cuff.items():
            row, *_ = _row(name)
            lines.append(f"OBX||NM|{row.mindray}|{row.module}|{text}||||||F||APERIODIC|{dtm(at_us, bare=True)}")
        return [self._mindray(503, lines, SentReport(self.device, "503", at_us, cuff))]

    def _mindray(self, kind: int, lines: list[str], *sent: SentReport) -> Message:
        text = "".join(f"{line}\r" for line in (rf"MSH|^~\&|||||||ORU^R01|{kind}|P|2.3.1|", *lines))
        return Message(text.encode(self._codec), str(kind), sent)


class RefusedError(Exception):
    """The answer was AE, AR, CE, CR, or none that can be read."""


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Sender:
    """One connection at a time, one message at a time; what is not acknowledged is sent again, the same bytes.

    `connect` dials, or waits until somebody has dialled us. Nothing is ever skipped.
    """

    def __init__(
        self, monitor: Speaker, connect: Callable[[], Awaitable[Streams]], wire: FaultyWire | None = None
    ) -> None:
        self._monitor, self._connect, self._wire = monitor, connect, wire
        self._streams: Streams | None = None

    async def send(self, message: Message) -> None:
        """Return when it is acknowledged."""
        delay_s = RETRY_FIRST_S
        while True:
            try:
                if self._streams is None:
                    self._streams = await self._connect()
                    for first in self._monitor.greeting():
                        await self._exchange(first, self._streams)
                return await self._exchange(message, self._streams)
            except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError, RefusedError):
                self.close()
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_MAX_S)

    def close(self) -> None:
        """Drop the connection; the next message makes a new one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, message: Message, streams: Streams) -> None:
        reader, writer = streams
        framed = b"\x0b" + message.payload + b"\x1c\r"
        spoilt = self._wire.spoilt(framed) if self._wire else None
        writer.write((spoilt or b"") + framed)
        async with asyncio.timeout(ACK_LIMIT_S):
            await writer.drain()
            while True:
                frame = await reader.readuntil(b"\x1c\r")
                if any(word in frame for word in _MINDRAY_CLIENT_SAYS):
                    continue  # no answer to anything
                code, id_ = _acknowledgement(frame)
                if id_ not in ("", message.id):
                    continue  # of something else: late, or of what the wire spoilt
                if code not in ("AA", "CA") or not id_:
                    raise RefusedError(code)
                return


def _acknowledgement(frame: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2 of an answer; two empty texts where it has none."""
    for line in frame.decode("latin-1").split("\r"):
        if line.startswith("MSA|"):
            fields = [*line.split("|"), "", ""]
            return fields[1], fields[2]
    return "", ""


def dialler(host: str, port: int) -> Callable[[], Awaitable[Streams]]:
    """Connects to a listening interface."""

    async def connect() -> Streams:
        return await asyncio.open_connection(host, port)

    return connect


@asynccontextmanager
async def listener(host: str, port: int) -> AsyncIterator[tuple[Callable[[], Awaitable[Streams]], tuple[str, int]]]:
    """Waits for whoever dials, as Mindray's gateway does; gives that wait, and the address (`port` 0: a free one)."""
    dialled: asyncio.Queue[Streams] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await dialled.put((reader, writer))

    async def connect() -> Streams:
        streams = await dialled.get()
        while not dialled.empty():  # who dialled again has given up the connection before
            streams[1].close()
            streams = dialled.get_nowait()
        return streams

    async with await asyncio.start_server(accept, host, port) as server:
        yield connect, server.sockets[0].getsockname()[:2]
