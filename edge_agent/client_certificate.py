"""The box's certificate for Kafka: its files, and that a new one takes their place only where it is the box's own.

The key stays: a new certificate is of the same key, so that one file is replaced and at no moment two do not fit.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from runtime import keys
from runtime.errors import UserError
from runtime.pki import Issued, read_certificate
from runtime.whole_file import replace_file


def renewal_due(certificate: Issued, at: datetime) -> bool:
    """Whether a third of its lifetime, or less, is left."""
    return certificate.not_after - at <= (certificate.not_after - certificate.not_before) / 3


def read_file(path: Path) -> Issued:
    """The certificate in a file; raises UserError."""
    try:
        return read_certificate(path.read_text("ascii"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path} holds no client certificate in PEM: `vitalwire edge enrol` gets one") from None


def put(path: Path, pem: str, *, key_file: Path, edge: str, at: datetime) -> Issued:
    """Put a new one in its place; raises UserError, and leaves what is there, where it is not this box's."""
    try:
        found = read_certificate(pem)
    except ValueError:
        raise UserError("the gateway gave what is no certificate: tell who keeps it") from None
    problem = problem_of(found, key_file=key_file, at=at)
    if found.name != edge:
        problem = f"of {found.name}, and this box is {edge}"
    if problem:
        raise UserError(f"the gateway gave a certificate {problem}")
    replace_file(path, pem.encode("ascii"))
    return found


def problem_of(certificate: Issued, *, key_file: Path, at: datetime) -> str:
    """Why this box cannot use it, as it stands after "a certificate"; "" where it can."""
    if certificate.public_der != keys.load(key_file).public_der:
        return f"of another key than {key_file}: let it be issued to this box's kafka.csr"
    if not certificate.is_valid(at):
        times = f"{certificate.not_before:%Y-%m-%d %H:%M} to {certificate.not_after:%Y-%m-%d %H:%M} UTC"
        return f"for {times}, which is not now: is this box's clock right?"
    return ""
