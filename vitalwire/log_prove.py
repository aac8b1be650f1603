"""`vitalwire log prove` and `log check-proof`: one act or batch in a file that a stranger checks without the store."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import numpy as np
import typer

from emr_store import log_prove
from emr_store.connect import one_moment
from evidence.log_proof import PROOF_BYTES_MAX, LogProof, ProofResult, check_proof, read_proof
from evidence.verification import KeyRing, stream_words
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from schemas.batch import Table
from schemas.block import ValidationResult, validation_arrays
from schemas.errors import LayoutError
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE
from schemas.report import RecordKind
from vitalwire.output import as_json, cell, console, table
from vitalwire.record import Database, Json, connect
from vitalwire.verify import PlatformKeys, TrustFolder, read_trust

_ID = re.compile("[0-9a-f]{64}")
NUMBER_DIGITS_MAX = 40  # of a number as it was sent: beyond, its exponent is written


def prove(
    ident: Annotated[str, typer.Argument(metavar="ID", help="of a batch or an act: 64 hexadecimal digits")],
    file: Annotated[Path, typer.Argument(help="a new file, by custom *.tlog-proof")],
    database: Database = "",
) -> None:
    """One batch or act as a file that proves it to a stranger: vitalwire log prove ID FILE.

    A batch's proof holds all that its edge sent in it, other patients' values included. The id of a value's batch is in
    `vitalwire latest --json` and in the page's detail, with the number of its leaf.
    """
    if not _ID.fullmatch(ident):
        raise UserError(f"{ident!r} is no id: 64 hexadecimal digits, as `vitalwire acts list --json` writes them")
    if file.exists():
        raise UserError(f"{file} is there already: name a new file")
    with connect(database) as conn, one_moment(conn):
        proof = log_prove.prove(conn, bytes.fromhex(ident))
    file.write_bytes(proof.encode())
    what = "act" if proof.batch is None else "batch"
    console.print(cell(f"{file}: the {what} {ident}, entry {proof.index} of the log"), markup=False, soft_wrap=True)


def check_proof_file(
    file: Annotated[Path, typer.Argument(help="from `vitalwire log prove`")],
    platform_key: PlatformKeys = None,
    trust: TrustFolder = None,
    leaf: Annotated[int | None, typer.Option(min=0, help="show this report of the batch", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Hold such a file against keys alone, without a store: vitalwire log check-proof FILE --platform-key KEY.

    Exit 4 where it does not hold.
    """
    believed = read_trust(trust, platform_key or [], [])
    if not believed.platform_keys:
        raise UserError("nothing to check it by: give the platform's public key, --platform-key FILE or --trust DIR")
    proof = _read(file)
    try:
        result = check_proof(proof, KeyRing(believed.platform_keys), KeyRing(believed.edge_keys))
    except LayoutError as error:
        raise UserError(f"{file} proves nothing: {error}", EXIT_DOES_NOT_HOLD) from None
    values = _values(proof, result, leaf) if leaf is not None else []
    if json:
        as_json({"holds": not result.findings, "findings": result.findings, **_facts(proof, result),
                 "values": [value._asdict() for value in values]})  # fmt: skip
    else:
        _print(proof, result, values)
    if result.findings:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def _read(file: Path) -> LogProof:
    with file.open("rb") as opened:
        data = opened.read(PROOF_BYTES_MAX + 1)
    try:
        return read_proof(data)
    except LayoutError as error:
        raise UserError(f"{file} is no proof that can be read: {error.detail or error.reason}") from None


def _facts(proof: LogProof, result: ProofResult) -> dict[str, Any]:
    """What the file says, for scripts; of a proof that does not hold it is only what it says."""
    facts: dict[str, Any] = {
        "log": result.checkpoint.origin, "size": result.checkpoint.size, "entry": proof.index, "act": result.act,
    }  # fmt: skip
    if result.seal is not None:
        facts["signed_at_us"] = result.seal.signed_at_us
    if result.header is not None:
        header = result.header
        facts |= {
            "batch_id": result.batch_id, "edge": UUID(bytes=header.edge), "lane": header.lane.name.lower(),
            "batch_no": header.batch_no, "reports": header.report_count, "values": header.record_count,
            "edge_signed": result.edge_signed,
        }  # fmt: skip
    return facts


class ProvedValue(NamedTuple):
    """A record: `sent` as its digits came, None for what is no number; `value` as validated, in the canonical unit."""

    device: UUID
    observed_at_us: int
    code: int
    metric: str | None
    channel: int
    sent: str | None
    unit: str | None
    validation_result: str
    value: float | None


def _values(proof: LogProof, result: ProofResult, leaf: int) -> list[ProvedValue]:
    """The records of one report of the batch: as sent, and what validation made of each."""
    if result.table is None or proof.batch is None or leaf >= len(result.table):
        reports = 0 if result.table is None else len(result.table)
        raise UserError(f"there is no report {leaf} in this file: it has {reports}, numbered from 0")
    sent = result.table
    _, validation_results, values = validation_arrays(proof.batch.validation, len(sent), len(sent.records))
    found = []
    for record in range(int(sent.record_start[leaf]), int(sent.record_start[leaf + 1])):
        code, unit = int(sent.code[record]), int(sent.unit[record])
        metric, unit_sent = METRIC_BY_CODE.get(code), UNIT_BY_CODE.get(unit)
        value = float(values[record])
        found.append(
            ProvedValue(
                device=UUID(bytes=sent.device[leaf].tobytes()),
                observed_at_us=int(sent.observed_at_us[leaf]),
                code=code,
                metric=metric and metric.short,
                channel=int(sent.channel[record]),
                sent=_as_sent(sent, record),
                unit=unit_sent and unit_sent.ucum,
                validation_result=ValidationResult(int(validation_results[record])).slug,
                value=None if np.isnan(value) else value,
            )
        )
    return found


def _as_sent(sent: Table, record: int) -> str | None:
    """A number as its digits were sent; None: it is none."""
    if sent.record_kind[record] > RecordKind.BOUND:
        return None
    mantissa, exponent = int(sent.mantissa[record]), int(sent.exponent[record])
    if exponent > 0 or -exponent > NUMBER_DIGITS_MAX:
        return f"{mantissa}e{exponent}"
    digits = str(abs(mantissa)).rjust(1 - exponent, "0")
    whole, fraction = digits[: len(digits) + exponent], digits[len(digits) + exponent :]
    return f"{'-' if mantissa < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


def _instant(at_us: int) -> str:
    """In the local zone; a clock may say what no calendar has."""
    try:
        return cell(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us))
    except (OverflowError, ValueError):
        return f"{at_us} microseconds since 1970"


def _print(proof: LogProof, result: ProofResult, values: list[ProvedValue]) -> None:
    for finding in result.findings:
        console.print(cell(f"WRONG  {finding}"), markup=False)
    lines = [
        f"entry {proof.index} of the log {result.checkpoint.origin}, whose first {result.checkpoint.size} entries the"
        " platform signed",
    ]
    if result.act is not None:
        act = result.act
        lines.append(f"the act {act.kind} by {act.by} at {_instant(act.at_us)}: {act.details}; why: {act.why}")
    if result.seal is not None:
        lines.append(f"a seal over {result.seal.batches} batches, of {_instant(result.seal.signed_at_us)}")
    if result.header is not None and result.batch_id is not None:
        header = result.header
        words = stream_words(header.edge, int(header.lane), header.batch_no)
        lines.append(
            f"in it the batch {result.batch_id.hex()} ({words}): {header.report_count} reports of"
            f" {header.record_count} records, and what validation found of each"
        )
        if result.edge_signed:
            lines.append("the key of an edge that was given signed the batch")
    console.print("What the file says; it does not hold:" if result.findings else "Proved:")
    for line in lines:
        console.print(cell(f"  {line}"), markup=False, soft_wrap=True)
    if result.header is not None and result.edge_signed is None:
        console.print("Not proved:")
        key = result.header.key_id.hex()[:16]
        console.print(f"  that key {key} is its edge's: no key of an edge was given (--trust DIR)", soft_wrap=True)
    if values:
        console.print(f"device {values[0].device} at {_instant(values[0].observed_at_us)}", markup=False)
        table("Values", ("code", "channel", "sent", "unit", "validation", "value"), [
            (f"{v.metric or ''} {v.code}".strip(), v.channel, v.sent, v.unit, v.validation_result,
             None if v.value is None else f"{v.value:g}") for v in values
        ])  # fmt: skip
