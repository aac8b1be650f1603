"""docs/statements.md says what the code does."""

import re
from base64 import b64decode
from pathlib import Path

import pytest

from evidence import act, alarm, block_seal, checkpoint, dead_letter, receipt, statement, tiles
from schemas import block, layout

PAGE = (Path(__file__).parents[2] / "docs/statements.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
BODY_BYTES = {
    "Form": statement.HEAD.size,
    "Block seal": block_seal.SEAL_BYTES - statement.size(0),
    "Block": block.BLOCK_HEAD_BYTES,
    "Receipt": receipt.RECEIPT_HEAD_BYTES,
    "Dead letter": dead_letter.DEAD_LETTER_BODY_BYTES,
}


@pytest.mark.parametrize("section", BODY_BYTES)
def test_the_table_of_a_statement_adds_up_to_its_size(section: str) -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \|", SECTIONS[section], re.MULTILINE)
    at = 0
    for start, size in rows:
        assert int(start) == at
        at += int(size)
    assert at == BODY_BYTES[section]


def test_every_magic_is_there() -> None:
    written = re.findall(r"^\| `(VW[^`]*)` \|", PAGE, re.MULTILINE)
    assert {text.encode().decode("unicode_escape").encode("latin-1") for text in written} == {
        layout.BATCH_MAGIC,
        block.BLOCK_MAGIC,
        block_seal.SEAL_MAGIC,
        dead_letter.DEAD_LETTER_MAGIC,
        receipt.RECEIPT_MAGIC,
        act.ACT_MAGIC,
        alarm.TRANSITION_MAGIC,
        alarm.OPEN_SET_MAGIC,
    }


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("Block seal", f"{block_seal.SEAL_BYTES} bytes in all"),
        ("Block seal", f"What it says, {BODY_BYTES['Block seal']} bytes"),
        ("Block", f"The head, {BODY_BYTES['Block']} bytes"),
        ("Block", f"batches, at most {block.BLOCK_BATCHES_MAX}"),
        ("Receipt", f"begins with {BODY_BYTES['Receipt']} bytes"),
        ("Receipt", f"batches, 1 to {receipt.RECEIPT_BATCHES_MAX}"),
        ("Receipt", f"length of the checkpoint, at most {receipt.CHECKPOINT_BYTES_MAX}"),
        *(("Receipt", f"{int(outcome)} {outcome.name.lower()}") for outcome in receipt.ReceiptOutcome),
        ("Dead letter", f"What it says, {BODY_BYTES['Dead letter']} bytes"),
        ("Act", f"at most {act.ACT_BYTES_MAX:,} bytes".replace(",", " ")),
        ("The log as files", tiles.Tile(0, 1234067).path.removeprefix("tile/0/")),
    ],
)
def test_its_numbers_are_the_codes(section: str, words: str) -> None:
    assert words in SECTIONS[section]


def test_the_act_shown_is_one() -> None:
    body = re.search(r"```json\n(.*)\n```", SECTIONS["Act"])
    assert body is not None
    shown = act.parse_act(body[1].encode())
    assert act.predecessor_of(shown) is None
    assert f"`{shown.act_id.hex()}`" in SECTIONS["Act"]


def test_the_members_of_an_act_are_those() -> None:
    assert re.findall(r"^\| `(\w+)` \|", SECTIONS["Act"], re.MULTILINE) == sorted(act.Act.__struct_fields__)


def test_the_checkpoint_shown_is_signed_by_the_key_shown() -> None:
    note, public = re.findall(r"```text\n(.*?)```", SECTIONS["Checkpoint"], re.DOTALL)
    read = checkpoint.read_checkpoint(note.encode(), b64decode(public))
    assert read.size == 3
    assert read.origin == checkpoint.log_origin("example-hospital", bytes.fromhex(read.origin.rpartition("/")[2]))
