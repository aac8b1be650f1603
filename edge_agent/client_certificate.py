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
        raise UserError("the gateway gave what is no certificate") from None
    if found.public_der != keys.load(key_file).public_der:
        raise UserError(f"the gateway gave a certificate of another key than {key_file}")
    if found.name != edge:
        raise UserError(f"the gateway gave a certificate of {found.name}, and this box is {edge}")
    if not found.is_valid(at):
        times = f"{found.not_before:%Y-%m-%d %H:%M} to {found.not_after:%Y-%m-%d %H:%M} UTC"
        raise UserError(f"the gateway gave a certificate for {times}, which is not now: is this box's clock right?")
    replace_file(path, pem.encode("ascii"))
    return found
