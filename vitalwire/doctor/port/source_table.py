"""The `[[source]]` table of what was found, and a configuration file with it added."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.config import to_toml
from vitalwire.doctor.port.conclusion import Conclusion

BEYOND_LOOPBACK = "# plaintext, which others can read: only on a network of its own"


def serial_table(conclusion: Conclusion, name: str, port: str, *, insecure: bool) -> str:
    """What to paste; `insecure`: the port lies beyond loopback."""
    link: dict[str, object] = {"type": "serial", "port": port}
    if conclusion.baud:
        link |= {"baud": conclusion.baud, "data_bits": conclusion.data_bits, "parity": conclusion.parity}
    return table(name, conclusion.driver, link, insecure=insecure)


def table(
    name: str, driver: str, link: Mapping[str, object], *, insecure: bool, settings: Mapping[str, object] | None = None
) -> str:
    """A source whose other keys are its driver's and link's defaults."""
    lines = ["[[source]]", f"name = {to_toml(name)}", f"driver = {to_toml(driver)}", "[source.link]"]
    lines += [f"{key} = {to_toml(value)}" for key, value in link.items()]
    if insecure:
        lines += [BEYOND_LOOPBACK, "insecure = true"]
    if settings:
        lines += ["[source.settings]", *(f"{key} = {to_toml(value)}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"


def with_table(text: str, added: str) -> str:
    """A configuration's text, with the table at its end; nothing of what stands there is changed."""
    if not text:
        return added
    return f"{text}{'' if text.endswith(chr(10)) else chr(10)}\n{added}"
