"""Checkpoints: those of public logs are read, ours survive a round trip, everything else is refused."""

from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from evidence import signature
from evidence.checkpoint import (
    NOTE_BYTES_MAX,
    Checkpoint,
    log_origin,
    parse_checkpoint,
    read_checkpoint,
    sign_checkpoint,
)
from schemas.errors import LayoutError
from tests.making import Key

KEY, OTHER = Key(), Key()
CHECKPOINT = Checkpoint("vitalwire/site/" + "49" * 16, 20852163, bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, KEY.public_der, KEY.sign)

# Signature type 0x02 as two public logs used it: key name, public key, note (Sigstore's Rekor, Pixel's log).
PUBLIC_NOTES = [
    (
        "rekor.sigstore.dev",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2Lh"
        "C30M9+RYtw==",
        "Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n\n"
        "— rekor.sigstore.dev "
        "wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoTURUCRdxw"
        "WBHHufk=\n",
    ),
    (
        "pixel6_transparency_log",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE37jHQmTXJPC8sUj0Dg0N0ZlxfRqJZV1YzlclXLQzhVYPcC/JblDoez0DSZwOSlShiCf4oo83MULQ"
        "fec3erolDw==",
        "DEFAULT\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n\n"
        "— pixel6_transparency_log "
        "kcFuMDBFAiEAhqMAP8P6qf6QxtUJhzMhbN+MbZ9dwfUHzGQJmffJHtoCIGD0cNe47dHWBoPwYdgBCepB06/+g5O1"
        "FmYjXl06owL4\n",
    ),
]


def signed(text: str, name: str = CHECKPOINT.origin, key: Key = KEY) -> bytes:
    """A note over any text."""
    raw = key.sign(text.encode())
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    return f"{text}\n— {name} {b64encode(key.key_id[:4] + der).decode()}\n".encode()


@pytest.mark.parametrize(("name", "public", "note"), PUBLIC_NOTES)
def test_a_public_logs_checkpoint_is_read(name: str, public: str, note: str) -> None:
    public_der = b64decode(public)
    origin, size, root = note.split("\n")[:3]
    read = read_checkpoint(note.encode(), public_der, name)
    assert read == Checkpoint(origin, int(size), b64decode(root))
    with pytest.raises(LayoutError, match="signature"):
        read_checkpoint(note.replace(size, size + "0", 1).encode(), public_der, name)


def test_round_trip() -> None:
    assert read_checkpoint(NOTE, KEY.public_der) == CHECKPOINT == parse_checkpoint(NOTE)
    assert NOTE.startswith(CHECKPOINT.text + b"\n" + f"— {CHECKPOINT.origin} ".encode())
    named = sign_checkpoint(CHECKPOINT, KEY.public_der, KEY.sign, "key-1")
    assert read_checkpoint(named, KEY.public_der, "key-1") == CHECKPOINT
    with pytest.raises(LayoutError, match="signature"):
        read_checkpoint(named, KEY.public_der)


def test_another_key_is_refused() -> None:
    with pytest.raises(LayoutError, match="signature"):
        read_checkpoint(NOTE, OTHER.public_der)
    claimed = signed(CHECKPOINT.text.decode(), key=OTHER).decode()
    line = claimed.splitlines()[-1]
    der = b64decode(line.split(" ")[2])[4:]
    forged = claimed.replace(line, f"— {CHECKPOINT.origin} {b64encode(KEY.key_id[:4] + der).decode()}")
    with pytest.raises(LayoutError, match="signature"):
        read_checkpoint(forged.encode(), KEY.public_der)


def test_every_one_byte_change_is_refused() -> None:
    for at in range(len(NOTE)):
        for bit in range(8):
            broken = NOTE[:at] + bytes([NOTE[at] ^ 1 << bit]) + NOTE[at + 1 :]
            with pytest.raises(LayoutError):
                read_checkpoint(broken, KEY.public_der)


def test_every_cut_is_refused() -> None:
    for end in range(len(NOTE)):
        with pytest.raises(LayoutError):
            read_checkpoint(NOTE[:end], KEY.public_der)
    with pytest.raises(LayoutError):
        read_checkpoint(NOTE + b"\n", KEY.public_der)


def test_the_other_signature_of_the_same_thing_is_refused() -> None:
    text, line = CHECKPOINT.text.decode(), NOTE.decode().splitlines()[-1]
    r, s = decode_dss_signature(b64decode(line.split(" ")[2])[4:])
    high = encode_dss_signature(r, signature.ORDER - s)
    note = f"{text}\n— {CHECKPOINT.origin} {b64encode(KEY.key_id[:4] + high).decode()}\n".encode()
    with pytest.raises(LayoutError, match="signature"):
        read_checkpoint(note, KEY.public_der)


def test_signatures_of_others_are_passed_over() -> None:
    witness = signed(CHECKPOINT.text.decode(), "witness.example/w1", OTHER).decode().splitlines()[-1]
    same_id = f"— witness.example/w2 {b64encode(KEY.key_id[:4] + b'anything').decode()}"
    text, own = CHECKPOINT.text.decode(), NOTE.decode().splitlines()[-1]
    for lines in ([witness, same_id, own], [own, same_id, witness]):
        note = "\n".join([text, *lines, ""]).encode()
        assert read_checkpoint(note, KEY.public_der) == CHECKPOINT
    with pytest.raises(LayoutError, match="signature"):
        read_checkpoint("\n".join([text, witness, ""]).encode(), KEY.public_der)


def test_a_broken_signature_beside_a_good_one_refuses_the_note() -> None:
    text, own = CHECKPOINT.text.decode(), NOTE.decode().splitlines()[-1]
    broken = f"— {CHECKPOINT.origin} {b64encode(KEY.key_id[:4] + b'no signature').decode()}"
    with pytest.raises(LayoutError, match="signature"):
        read_checkpoint("\n".join([text, own, broken, ""]).encode(), KEY.public_der)


ROOT = b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{CHECKPOINT.origin}\n05\n{ROOT}\n",
        f"{CHECKPOINT.origin}\n-5\n{ROOT}\n",
        f"{CHECKPOINT.origin}\n5 \n{ROOT}\n",
        f"{CHECKPOINT.origin}\n٥\n{ROOT}\n",
        f"{CHECKPOINT.origin}\n{2**63}\n{ROOT}\n",
        f"{CHECKPOINT.origin}\n5\n{ROOT}\nan extension\n",
        f"{CHECKPOINT.origin}\n5\n{ROOT[:-1]}\n",
        f"{CHECKPOINT.origin}\n5\n{ROOT[:-2]}B=\n",
        f"{CHECKPOINT.origin}\n5\n{b64encode(bytes(31)).decode()}\n",
        f"{CHECKPOINT.origin}\n5\n",
        f"{CHECKPOINT.origin}\t\n5\n{ROOT}\n",
        f"\n5\n{ROOT}\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(LayoutError):
        read_checkpoint(signed(text), KEY.public_der, CHECKPOINT.origin)


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), st.text(min_size=1, max_size=20))
def test_every_site_and_size_survives(size: int, root: bytes, site: str) -> None:
    try:
        site.encode()
    except UnicodeEncodeError:
        return
    checkpoint = Checkpoint(log_origin(site, b"I" * 16), size, root)
    assert read_checkpoint(sign_checkpoint(checkpoint, KEY.public_der, KEY.sign), KEY.public_der) == checkpoint


def test_the_name_of_a_site_is_encoded() -> None:
    assert log_origin("Ward 3+é", bytes(2)) == "vitalwire/Ward%203%2B%C3%A9/0000"


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("", 1, bytes(32)),
        Checkpoint("a b", 1, bytes(32)),
        Checkpoint("a+b", 1, bytes(32)),
        Checkpoint("a\nb", 1, bytes(32)),
        Checkpoint("a", -1, bytes(32)),
        Checkpoint("a", 2**63, bytes(32)),
        Checkpoint("a", 1, bytes(31)),
    ],
)
def test_what_nobody_could_read_is_not_signed(checkpoint: Checkpoint) -> None:
    with pytest.raises(LayoutError):
        sign_checkpoint(checkpoint, KEY.public_der, KEY.sign)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_bytes_are_refused(note: bytes) -> None:
    with pytest.raises(LayoutError):
        read_checkpoint(note, KEY.public_der)


def test_a_note_without_end_is_refused() -> None:
    with pytest.raises(LayoutError, match="size"):
        read_checkpoint(NOTE + b"\xe2\x80\x94 a AAAA\n" * (NOTE_BYTES_MAX // 8), KEY.public_der)
