from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.people.security_keys import (
    ENROL_MAGIC,
    SIGN_IN_MAGIC,
    SIGNATURE_MAGIC,
    Enrolled,
    KeyRefusedError,
    KeySite,
    Refusal,
    enrol_options,
    new_challenge,
    read_answer,
    sign_in_options,
    user_handle,
    verify_enrolment,
    verify_sign_in,
)
from tests.gateway.authenticator import BE, BS, HONEST, ORIGIN, UP, UV, Lie, SoftKey

SITE = KeySite(ORIGIN)
ONE_PERSON = KeySite(ORIGIN, platform_keys=True)


def made(key: SoftKey, lie: Lie = HONEST, site: KeySite = SITE) -> Enrolled:
    options = enrol_options(site, new_challenge(ENROL_MAGIC), "N1", "Zhang", [])
    return verify_enrolment(site, read_answer(key.create(options, lie)))


def opened(key: SoftKey, public_key: bytes, lie: Lie = HONEST, site: KeySite = SITE) -> int:
    options = sign_in_options(site, new_challenge(SIGN_IN_MAGIC))
    return verify_sign_in(site, read_answer(key.get(options, lie)), "N1", public_key)


WRONG = {
    "origin of a sibling": (Lie(origin="https://evil.hospital.example"), Refusal.ORIGIN),
    "origin with a port": (Lie(origin=f"{ORIGIN}:8443"), Refusal.ORIGIN),
    "origin without TLS": (Lie(origin=ORIGIN.replace("https", "http")), Refusal.ORIGIN),
    "frame of another site": (Lie(client={"crossOrigin": True}), Refusal.CROSS_ORIGIN),
    "frame that says so in text": (Lie(client={"crossOrigin": "true"}), Refusal.UNREADABLE),
    "top of another site": (Lie(client={"topOrigin": "https://evil.example"}), Refusal.CROSS_ORIGIN),
    "rpIdHash": (Lie(rp_id="hospital.example"), Refusal.SITE),
    "nobody touched it": (Lie(flags=UV), Refusal.PRESENCE),
    "no PIN": (Lie(flags=UP), Refusal.VERIFICATION),
    "may be backed up": (Lie(flags=UP | UV | BE), Refusal.BACKED_UP),
    "is backed up": (Lie(flags=UP | UV | BE | BS), Refusal.BACKED_UP),
    "unknown ceremony": (Lie(type="payment.get"), Refusal.TYPE),
    "challenge without random bytes": (Lie(challenge=SIGN_IN_MAGIC), Refusal.CHALLENGE),
    "challenge without magic": (Lie(challenge=bytes(40)), Refusal.CHALLENGE),
    "challenge of a signature": (Lie(challenge=new_challenge(SIGNATURE_MAGIC)), Refusal.CHALLENGE),
}


@pytest.mark.parametrize(("lie", "refusal"), WRONG.values(), ids=WRONG)
def test_each_field_that_is_wrong_is_refused(lie: Lie, refusal: Refusal) -> None:
    key = SoftKey()
    with pytest.raises(KeyRefusedError) as enrolment:
        made(key, lie)
    assert enrolment.value.refusal is refusal
    honest = made(key)
    with pytest.raises(KeyRefusedError) as sign_in:
        opened(key, honest.public_key, lie)
    assert sign_in.value.refusal is refusal
    assert opened(key, honest.public_key) == key.count  # the same key, where nothing is wrong


def test_one_ceremony_does_not_stand_for_the_other() -> None:
    key = SoftKey()
    honest = made(key)
    for lie, refusal in (
        (Lie(type="webauthn.create"), Refusal.TYPE),
        (Lie(challenge=new_challenge(ENROL_MAGIC)), Refusal.CHALLENGE),
    ):
        with pytest.raises(KeyRefusedError) as sign_in:
            opened(key, honest.public_key, lie)
        assert sign_in.value.refusal is refusal
    for lie, refusal in (
        (Lie(type="webauthn.get"), Refusal.TYPE),
        (Lie(challenge=new_challenge(SIGN_IN_MAGIC)), Refusal.CHALLENGE),
    ):
        with pytest.raises(KeyRefusedError) as enrolment:
            made(key, lie)
        assert enrolment.value.refusal is refusal


def test_a_signature_is_of_this_key_and_of_its_owner() -> None:
    key, other = SoftKey(), SoftKey()
    honest, others = made(key), made(other)
    for public_key, lie, refusal in (
        (others.public_key, HONEST, Refusal.SIGNATURE),
        (honest.public_key, Lie(signature=b"0"), Refusal.SIGNATURE),
        (honest.public_key, Lie(handle=user_handle("N2")), Refusal.OWNER),
    ):
        with pytest.raises(KeyRefusedError) as sign_in:
            opened(key, public_key, lie)
        assert sign_in.value.refusal is refusal


def test_es256_alone() -> None:
    with pytest.raises(KeyRefusedError) as enrolment:
        made(SoftKey(ec.SECP384R1()))
    assert enrolment.value.refusal is Refusal.ALGORITHM
    key = SoftKey()
    made(key)
    with pytest.raises(KeyRefusedError) as sign_in:
        opened(key, SoftKey(ec.SECP384R1()).public_key)
    assert sign_in.value.refusal is Refusal.ALGORITHM


def test_platform_keys_are_for_machines_of_one_person() -> None:
    copied = Lie(flags=UP | UV | BE | BS, attachment="platform")
    with pytest.raises(KeyRefusedError) as enrolment:
        made(SoftKey(), Lie(attachment="platform"))
    assert enrolment.value.refusal is Refusal.PLATFORM
    key = SoftKey()
    public_key = made(key, copied, ONE_PERSON).public_key
    assert opened(key, public_key, copied, ONE_PERSON) == key.count


@pytest.mark.parametrize("answer", [
    None, [], {}, {"id": "x"}, {"id": "AA", "response": {"clientDataJSON": "AA"}},
    {"id": "AA", "response": {"clientDataJSON": "e30"}}, {"id": 1, "response": {}},
])  # fmt: skip
def test_what_is_no_answer_of_a_key_is_unreadable(answer: object) -> None:
    with pytest.raises(KeyRefusedError) as refused:
        read_answer(answer)
    assert refused.value.refusal is Refusal.UNREADABLE


def test_bytes_of_no_authenticator_are_unreadable() -> None:
    key = SoftKey()
    public_key = made(key).public_key
    answer = key.get(sign_in_options(SITE, new_challenge(SIGN_IN_MAGIC)))
    answer["response"]["authenticatorData"] = "AAAA"
    with pytest.raises(KeyRefusedError) as refused:
        verify_sign_in(SITE, read_answer(answer), "N1", public_key)
    assert refused.value.refusal is Refusal.UNREADABLE


@pytest.mark.parametrize(
    "origin",
    ["https://10.0.0.5", "https://[::1]:8420", "http://127.0.0.1:8420", "http://ward.example", "ward.example",
     "https://ward.example/", "https://a@ward.example", "https://"],
)  # fmt: skip
def test_what_can_be_no_origin_of_keys(origin: str) -> None:
    with pytest.raises(ValueError, match=r"origin|address|https"):
        KeySite(origin)


def test_localhost_is_for_demos() -> None:
    assert KeySite("http://localhost:8420").rp_id == "localhost"
    assert KeySite("https://ward.example:8443").rp_id == "ward.example"
