from __future__ import annotations

import re

from gateway.people.command_line import (
    INTERVAL_S,
    LASTS_S,
    PENDING_OF_ADDRESS_MAX,
    Asker,
    Begun,
    CommandLineLogins,
    Unanswered,
    shown_code,
)

HERE = Asker("ward-pc", "li", "10.0.0.7")
SESSION = b"s" * 32


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def begun(logins: CommandLineLogins, asker: Asker = HERE) -> Begun:
    found = logins.begin(asker)
    assert found is not None
    return found


def test_who_agrees_gives_the_session_once_to_who_asked() -> None:
    clock = Clock()
    logins = CommandLineLogins(clock)
    codes = begun(logins)
    assert re.fullmatch("[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}", shown_code(codes.user_code))
    assert logins.poll(codes.device_code, HERE.address) is Unanswered.PENDING
    assert logins.poll(codes.device_code, HERE.address) is Unanswered.SLOW_DOWN
    clock.now_s += INTERVAL_S
    assert logins.poll(codes.device_code, HERE.address) is Unanswered.PENDING
    typed = shown_code(codes.user_code).lower()
    assert logins.asker_of(typed) == HERE
    assert logins.answer(typed, SESSION) == HERE
    assert logins.asker_of(typed) is None
    assert logins.answer(typed, b"another") is None
    assert logins.poll(codes.device_code, "10.0.0.8") is Unanswered.EXPIRED
    assert logins.poll(codes.device_code, HERE.address) == (HERE, SESSION)
    assert logins.poll(codes.device_code, HERE.address) is Unanswered.EXPIRED


def test_who_does_not_agree_ends_it() -> None:
    logins = CommandLineLogins(Clock())
    codes = begun(logins)
    assert logins.answer(codes.user_code, None) == HERE
    assert logins.poll(codes.device_code, HERE.address) is Unanswered.DENIED
    assert logins.poll(codes.device_code, HERE.address) is Unanswered.EXPIRED


def test_a_code_is_good_for_ten_minutes_whether_or_not_it_was_answered() -> None:
    clock = Clock()
    logins = CommandLineLogins(clock)
    left, agreed = begun(logins), begun(logins)
    assert logins.answer(agreed.user_code, SESSION) is not None
    clock.now_s += LASTS_S
    assert logins.asker_of(left.user_code) is None
    assert logins.answer(left.user_code, SESSION) is None
    for codes in (left, agreed):
        assert logins.poll(codes.device_code, HERE.address) is Unanswered.EXPIRED


def test_no_address_fills_the_memory() -> None:
    clock = Clock()
    logins = CommandLineLogins(clock)
    for _ in range(PENDING_OF_ADDRESS_MAX):
        begun(logins)
    assert logins.begin(HERE) is None
    begun(logins, Asker("other", "li", "10.0.0.8"))
    clock.now_s += LASTS_S
    begun(logins)


def test_a_code_that_nobody_has_opens_nothing() -> None:
    logins = CommandLineLogins(Clock())
    begun(logins)
    for typed in ("", "----", "AAAA-AAAA", "é" * 8):
        assert logins.asker_of(typed) is None
        assert logins.answer(typed, SESSION) is None
    assert logins.poll("", HERE.address) is Unanswered.EXPIRED
