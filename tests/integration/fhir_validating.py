"""HAPI's R4 validator over many resources at once: its jars by Maven, once; one Java process a call."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

SOURCE = Path(__file__).parent / "fhir_validator"


@dataclass(frozen=True)
class Issue:
    """What the validator says of a resource; `id` is the validator's own name of it, "" of some."""

    severity: str
    location: str
    id: str
    message: str


def jars() -> Path:
    """The folder that they lie in, beside the downloads of deploy/services/services."""
    pom = SOURCE / "pom.xml"
    folder = Path.home() / ".cache" / "vitalwire" / f"fhir-validator-{zlib.crc32(pom.read_bytes()):08x}"
    if folder.is_dir():
        return folder
    assert shutil.which("mvn"), "the validator's jars come by Maven: sudo apt install maven"
    incomplete = folder.with_suffix(".new")
    shutil.rmtree(incomplete, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    fetched = subprocess.run(
        [*command, f"-DoutputDirectory={incomplete}"], capture_output=True, text=True, timeout=500, check=False
    )
    assert fetched.returncode == 0, f"{fetched.stdout}(check that Maven reaches its repository)"
    incomplete.rename(folder)
    return folder


def validate(resources: Mapping[str, bytes], folder: Path) -> dict[str, list[Issue]]:
    """What is said of each resource, by its name; `folder` is empty and is used."""
    assert shutil.which("javac"), "the validator is a source file: sudo apt install default-jdk-headless"
    for name, resource in resources.items():
        (folder / f"{name}.json").write_bytes(resource)
    command = ["java", "-Xmx1g", "-cp", f"{jars()}/*", str(SOURCE / "FhirValidate.java"), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert ran.returncode == 0, ran.stderr
    *lines, last = ran.stdout.splitlines()
    assert msgspec.json.decode(last) == {"validated": len(resources)}
    found: dict[str, list[Issue]] = {name: [] for name in resources}
    for line in lines:
        said = msgspec.json.decode(line, type=dict[str, str | None])
        name = (said.pop("file") or "").removesuffix(".json")
        found[name].append(msgspec.convert({key: text or "" for key, text in said.items()}, Issue))
    return found
