"""Reports and batches for tests, made as an edge makes them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evidence import signature
from evidence.seal import FIRST_PREVIOUS, seal
from schemas import layout
from schemas.batch import encode_report, set_sequence
from schemas.report import ClockQuality, Kind, Lane, Record, Report

T0_US = 1_790_000_000_000_000  # some moment of 2026
SPO2, PULSE, PERCENT, PER_MIN = 150456, 149530, 262688, 264864


class Key:
    """A P-256 key of a test."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.public_der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.key_id = signature.key_id(self.public_der)

    def sign(self, message: bytes) -> bytes:
        r, s = utils.decode_dss_signature(self._key.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + min(s, signature.ORDER - s).to_bytes(32)


def report(
    claim: str = "demo:nonin:1", at_us: int = T0_US, records: Sequence[Record] = (), kind: Kind = Kind.METRIC
) -> Report:
    records = tuple(records) or (
        Record(SPO2, PERCENT, mantissa=97),
        Record(PULSE, PER_MIN, mantissa=720, exponent=-1),
    )
    return Report(kind, claim, at_us, at_us + 5_000, ClockQuality.DEVICE, records, device_at_us=at_us, own_time=True)


def encoded_reports(reports: Sequence[Report], first_sequence: int = 1) -> list[bytes]:
    out = []
    for i, r in enumerate(reports):
        salt = i.to_bytes(16)
        leaf = encode_report(r, salt, sha256(salt + b"frame").digest())
        set_sequence(leaf, first_sequence + i)
        out.append(bytes(leaf))
    return out


def sealed(
    reports: Sequence[Report],
    key: Key,
    *,
    edge: bytes = b"E" * 16,
    spool: bytes = b"S" * 16,
    batch_no: int = 1,
    lane: Lane = Lane.LIVE,
    first_sequence: int = 1,
    previous: bytes = FIRST_PREVIOUS,
    created_at_us: int = T0_US,
) -> bytes:
    return seal(
        encoded_reports(reports, first_sequence), lane=lane, edge=edge, spool=spool, batch_no=batch_no,
        previous=previous, created_at_us=created_at_us, config_hash=bytes(32), key_id=key.key_id, sign=key.sign,
    )  # fmt: skip


def of_newer_layout(message: bytes, key: Key) -> bytes:
    """A sealed batch as an edge may cut it one day: the next layout, what this one has no word for in its zeros."""
    header = bytearray(message[: layout.HEADER_BYTES])
    header[len(layout.MAGIC_HEAD)] = layout.LAYOUT + 1
    header[-4:] = b"next"
    return bytes(header) + key.sign(bytes(header)) + message[layout.BODY_START :][::-1]
