"""What each driver carries of its devices and what it sends: `vitalwire devices --quality`, and docs/quality.md.

`python -m vitalwire.device_quality > docs/quality.md` writes the page anew.
"""

from __future__ import annotations

import sys
from typing import Any

from adapters.devices.registry import DRIVERS
from adapters.driver import DeviceDriver
from adapters.quality import Finding, Quality, todo
from vitalwire.output import as_json, console, table

_NOT_STATED = "the driver does not say"
ASPECTS = {
    "numerics": "numerics",
    "waves": "waves",
    "alarms": "alarms",
    "settings": "settings",
    "clock": "clock",
    "no_reading": "no reading",
    "disconnect": "disconnect",
}
_HEAD = """# What each driver carries

Seven aspects of every driver: `done`, `todo` (the device has it, the driver does not carry it yet) or `exempt` (the
device or its protocol has none). `vitalwire devices --quality` prints the same, `--json` for scripts; a test holds this
page against the drivers (`python -m vitalwire.device_quality > docs/quality.md`).

A session sends acknowledgements, and beside them what stands under *sends*, and nothing else: identifications and
requests for data. What documents name as commands that control or set a device stands nowhere in the code
(`tests/test_no_control_commands.py`; how a driver is written: [driver.md](driver.md)).
"""


def aspects_of(driver: DeviceDriver[Any]) -> dict[str, Finding]:
    """The state of each aspect; of a driver that states none, all are to do."""
    quality = driver.quality or Quality(**dict.fromkeys(ASPECTS, todo(_NOT_STATED)))
    return quality.aspects()


def show(*, json: bool) -> None:
    """Print drivers by aspects, and why where it is not done."""
    if json:
        as_json([_plain(driver) for driver in DRIVERS])
        return
    rows = [(driver.name, *(finding.state.value for finding in aspects_of(driver).values())) for driver in DRIVERS]
    table("What drivers carry", ("driver", *ASPECTS.values()), rows)
    reasons = [
        (driver.name, ASPECTS[name], finding.state.value, finding.reason)
        for driver in DRIVERS
        for name, finding in aspects_of(driver).items()
        if finding.reason
    ]
    console.print()
    table("Why, and how far", ("driver", "aspect", "state", "reason"), reasons)
    console.print()
    sent = [(driver.name, each.name, _shown(each.code), each.source) for driver in DRIVERS for each in driver.requests]
    table("What sessions send beside acknowledgements", ("driver", "request", "bytes", "source"), sent, "nothing")


def _plain(driver: DeviceDriver[Any]) -> dict[str, Any]:
    found = aspects_of(driver)
    return {
        "driver": driver.name,
        "title": driver.title,
        "aspects": {name: {"state": each.state.value, "reason": each.reason} for name, each in found.items()},
        "sends": [{"name": each.name, "code": each.code.hex(), "source": each.source} for each in driver.requests],
    }


def _shown(code: bytes) -> str:
    """Printable text as it is, else hexadecimal."""
    text = code.decode("latin-1")
    return text if text.isascii() and text.isprintable() else code.hex(" ")


def page() -> str:
    """The text of docs/quality.md."""
    lines = [_HEAD, f"| driver | {' | '.join(ASPECTS.values())} |", "|---" * (1 + len(ASPECTS)) + "|"]
    for driver in DRIVERS:
        states = " | ".join(finding.state.value for finding in aspects_of(driver).values())
        lines.append(f"| `{driver.name}` | {states} |")
    for driver in DRIVERS:
        lines += [
            "",
            f"## {driver.name}",
            "",
            f"{driver.title}. {driver.manual}.",
            "",
            "| aspect | state | |",
            "|---|---|---|",
        ]
        for name, finding in aspects_of(driver).items():
            lines.append(f"| {ASPECTS[name]} | {finding.state.value} | {_cell(finding.reason)} |")
        for number, request in enumerate(driver.requests):
            title = "sends" if number == 0 else ""
            lines.append(
                f"| {title} | `{_cell(_shown(request.code))}` | {_cell(request.name)}: {_cell(request.source)} |"
            )
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
