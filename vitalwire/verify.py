"""`vitalwire verify`: what of the record is proved, what does not hold, and what is not proved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from emr_store import proof
from emr_store.verification import Verification
from evidence.verification import OutsideCheckpoint, Trust
from runtime.errors import EXIT_DOES_NOT_HOLD, UserError
from runtime.keys import read_public
from schemas.batch import Table
from stream_processors.mapping import remap
from stream_processors.validation import validate_table
from vitalwire.output import as_json, cell, console
from vitalwire.record import Database, Json, connect, since_moment

PLATFORM_KEYS = "platform*.pub"
CHECKPOINT_BYTES_MAX = 128 * 1024
PlatformKeys = Annotated[
    list[Path] | None, typer.Option(help="the platform's public key, from outside the database", show_default=False)
]
TrustFolder = Annotated[
    Path | None,
    typer.Option(help="a folder with platform.pub, the edges' *.pub and checkpoints/*", show_default=False),
]

# Each line with the counts of what it speaks of; a line whose counts are all 0 is left out.
SENTENCES = (
    ("log entries", "the log: its {log entries} entries give the root that was signed, {proved roots} times over: at"
     " {checkpoints} checkpoints kept here and {outside checkpoints} kept outside"),
    ("acts", "{acts} acts: each is what was signed, and in the log"),
    ("seals", "{seals} seals: the platform's key signed each, and each has its place in the log"),
    ("batches", "{batches} batches: the key of a registered edge signed each, and each stands in its seal, with"
     " {reports} reports of {values} records"),
    ("validated again", "{validated again} records: validation of their bytes, done again, gives what was signed"),
    ("validated anew", "{validated anew} batches were validated anew, by acts in the log; what was signed of them"
     " before is kept and still holds"),
    ("report", "{report} rows of reports: every column is what their batch says"),
    ("erased", "{erased} of them say that a patient's name was erased, and nothing else than their batch"),
    ("waveform", "{waveform} stretches of waves point to what their batch says"),
    ("device_alarm", "{device_alarm} alarms of devices are what their batch says"),
    ("device_setting", "{device_setting} settings of devices are what their batch says"),
    ("device_scan", "{device_scan} scans of wristbands and devices are what their batch says"),
    ("alarm_transition", "{alarm_transition} transitions of the platform's alarms are what it signed"),
    ("chart_entry", "{chart_entry} versions of chart entries: each is what a value or an act says"),
    ("look", "{look} looks: those of each minute are what its act says"),
    ("review_closed", "{review_closed} reviews were closed by whom and with the word that an act says"),
    ("channel_set", "{channel_set} lists of channels are their bytes; {channel words} channels have the words sent"),
    ("minutes", "{minutes} summaries of minutes are what their rows give"),
    ("latest", "{latest} latest values are the newest rows"),
    ("ledger", "{ledger} streams: the ledger's ranges and sums are those of their batches"),
    ("registered_device", "{registered_device} devices and {device_bed} stays at beds: each by an act in the log"),
    ("staff", "{staff} people of the staff file, {people} grants, shifts, restrictions and requests: each by an act"),
    ("credentials", "{credentials} security keys, screens, programs and invitations: let in and revoked as acts say"),
    ("edge_key", "{edge_key} keys of edges and {platform_key} of the platform stand under their own ids"),
)  # fmt: skip


def verify(
    database: Database = "",
    since: Annotated[
        str, typer.Option(help="only what was stored since an instant (2026-11-24T10:00Z) or a span")
    ] = "",
    from_checkpoint: Annotated[
        Path | None, typer.Option(help="only what came into the log after this checkpoint", show_default=False)
    ] = None,
    platform_key: PlatformKeys = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="a checkpoint kept outside (`vitalwire edge witness --write`)")
    ] = None,
    trust: TrustFolder = None,
    json: Json = False,
) -> None:
    """Hold the record against its signed bytes: what is proved, and what is not. Exit 4 on a finding."""
    if since and from_checkpoint:
        raise UserError("--since and --from-checkpoint both name a beginning: give one of them")
    moment = since_moment(since) if since else None
    after = read_note(from_checkpoint) if from_checkpoint else None
    believed = read_trust(trust, platform_key or [], checkpoint or [])
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        connect(database) as conn,
        Progress(*columns, transient=True, disable=json or not console.is_terminal) as progress,
    ):
        bar = progress.add_task("begins", total=None)

        def show(what: str, done: int, of: int | None) -> None:
            progress.update(bar, description=f"{done:,}{f' of {of:,}' if of else ''} {what}")

        result = proof.verify(conn, moment, trust=believed, after=after, revalidate=revalidate, remap=remap,
                              on_progress=show)  # fmt: skip
    if json:
        as_json({
            "holds": not result.findings,
            "counts": dict(result.counts),
            "findings": [finding._asdict() for finding in result.findings],
            "not_proved": result.not_proved,
        })  # fmt: skip
    else:
        _print(result)
    if result.findings:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def revalidate(table: Table) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.float64]]:
    """Flags, validation results and values of a table, as this program's stage gives them now."""
    found = validate_table(table, np.zeros(len(table)))
    return found.flags, found.validation_results, found.values


def _print(result: Verification) -> None:
    for finding in result.findings:
        console.print(cell(f"WRONG  {finding.where}: {finding.what}"), markup=False)
    if result.is_full:
        console.print("and more: so much is wrong that it was not looked at any further")
    if result.findings:
        console.print(f"{len(result.findings)} findings. What was looked at:")
    else:
        console.print("Proved:")
    for name, sentence in SENTENCES:
        if result.counts[name]:
            console.print(cell(f"  {sentence.format_map(result.counts)}"), markup=False)
    if not result.counts["batches"]:
        console.print("  of batches nothing: none was there to look at")
    console.print("Not proved:")
    for line in result.not_proved:
        console.print(cell(f"  {line}"), markup=False)


def read_trust(folder: Path | None, platform_keys: list[Path], checkpoints: list[Path]) -> Trust:
    """What is believed because it comes from files. Raises UserError for a file that is not what it should be."""
    platform, edges, notes = list(platform_keys), list[Path](), list(checkpoints)
    if folder is not None:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder: --trust takes one with platform.pub, *.pub and checkpoints/")
        of_platform = sorted(folder.glob(PLATFORM_KEYS))
        platform += of_platform
        edges = sorted(set(folder.glob("*.pub")) - set(of_platform))
        notes += sorted(path for path in (folder / "checkpoints").glob("*") if path.is_file())
        if not (of_platform or edges or notes):
            raise UserError(f"{folder} has no platform.pub, no *.pub and no checkpoints/*: nothing to trust in it")
    return Trust(
        tuple(read_public(path) for path in platform),
        tuple(read_public(path) for path in edges),
        tuple(read_note(path) for path in notes),
    )


def read_note(path: Path) -> OutsideCheckpoint:
    """A checkpoint's file; raises UserError where it cannot be read."""
    try:
        with path.open("rb") as file:
            note = file.read(CHECKPOINT_BYTES_MAX + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if len(note) > CHECKPOINT_BYTES_MAX:
        raise UserError(f"{path} is no checkpoint: it is longer than {CHECKPOINT_BYTES_MAX} bytes")
    return OutsideCheckpoint(path.name, note)
