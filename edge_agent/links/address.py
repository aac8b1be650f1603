"""The address of a link: "host:port"."""

from __future__ import annotations


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" ("[::1]:2575" too); raises ValueError."""
    host, _, port = address.rpartition(":")
    if not 0 <= int(port) <= 65535:
        raise ValueError(f"{port} is no port")
    return host.strip("[]"), int(port)
