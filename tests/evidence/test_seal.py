from hashlib import sha256

import pytest

from evidence.seal import batch_id, open_body, open_sealed, signed_by
from schemas import layout
from schemas.errors import LayoutError
from tests.making import Key, report, sealed

KEY, OTHER = Key(), Key()


def test_signature_holds_for_its_key_alone() -> None:
    message = sealed([report()], KEY)
    assert signed_by(message, KEY.public_der)
    assert not signed_by(message, OTHER.public_der)
    assert batch_id(message) == sha256(message[: layout.HEADER_BYTES]).digest()


def test_every_one_byte_change_of_the_signature_is_refused() -> None:
    message = sealed([report()], KEY)
    for at in range(layout.HEADER_BYTES, layout.BODY_START):
        broken = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        assert not signed_by(broken, KEY.public_der)


def test_every_one_byte_change_of_the_header_is_refused() -> None:
    message = sealed([report()], KEY)
    for at in range(layout.HEADER_BYTES):
        broken = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        assert not signed_by(broken, KEY.public_der)


def test_every_one_byte_change_of_the_body_is_refused() -> None:
    message = sealed([report()], KEY)
    for at in range(layout.BODY_START, len(message)):
        with pytest.raises(LayoutError, match="body-hash"):
            open_body(message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :])


def test_a_root_over_other_reports_is_refused() -> None:
    message, other = sealed([report()], KEY), sealed([report("other")], KEY)
    root = slice(168, 200)  # docs/batch.md
    broken = message[: root.start] + other[root] + message[root.stop :]
    open_body(broken)
    with pytest.raises(LayoutError, match="root"):
        open_sealed(broken)
