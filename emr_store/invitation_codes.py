"""The code of an invitation: read aloud over the telephone, typed at a box, and kept as its hash alone."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

# Crockford's base 32 (www.crockford.com/base32.html): no I, L, O and U, which are mistaken for others.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARS = 12  # 60 bits, for an hour
_GROUP = 4
_CODE = re.compile(f"[{_ALPHABET}]{{{_CHARS}}}")
_TYPED = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
_TYPED_CHARS_MAX = 40


def new_code() -> str:
    """As XXXX-XXXX-XXXX."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_CHARS))
    return "-".join(code[at : at + _GROUP] for at in range(0, _CHARS, _GROUP))


def code_hash(typed: str) -> bytes | None:
    """By which a code is kept, whatever its case and groups; None: this is no code."""
    code = typed[:_TYPED_CHARS_MAX].upper().translate(_TYPED)
    return sha256(code.encode()).digest() if _CODE.fullmatch(code) else None
