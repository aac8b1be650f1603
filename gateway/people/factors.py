"""By what somebody proves who he is, as sessions and tries to sign in name it."""

from __future__ import annotations

from enum import StrEnum


class Factor(StrEnum):
    """Of people, screens and programs."""

    SECURITY_KEY = "security_key"
    PROVIDER = "provider"  # OpenID Connect
    EMERGENCY = "emergency"  # a sealed account
    DEMO_LINK = "demo_link"
    DISPLAY = "display"
    MACHINE_KEY = "machine_key"  # of a program; it has no session
    COMMAND_LINE = "command_line"  # the code that lets a program in; its session has the factor of who typed it
    EDGE = "edge"  # the code of an invitation, or the key of a box; it has no session
