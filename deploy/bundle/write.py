"""From wheels and the tree to a signed bundle, the same bytes from the same commit."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from deploy.bundle.locked import ROOT, Locked
from deploy.bundle.wheels import Wheel
from edge_agent.spool import schema
from runtime import bundle, keys
from runtime.bundle import BundledFile, Manifest

HERE = Path(__file__).parent
UNITS = ("vitalwire-edge.service", "vitalwire-downtime.service")
# Of docs/, where there is one: what whoever puts up a box reads without internet.
PAGES = ("install-a-box.md", "first-device.md", "replace-a-box.md", "downtime.md")


@dataclass(frozen=True)
class Release:
    """What a bundle is called; `epoch` is the commit's moment."""

    version: str
    commit: str
    epoch: int
    spool_form: int = schema.VERSION
    spool_oldest_form: int = schema.OLDEST_VERSION

    @property
    def name(self) -> str:
        """Of the folder in it."""
        return f"vitalwire-{self.version}"


class ReleaseKey:
    """Signs bundles, always the same bytes for the same manifest (RFC 6979)."""

    def __init__(self, path: Path) -> None:
        signer = keys.load(path)  # says what is wrong with the file
        pem = path.read_text("ascii")
        key = serialization.load_pem_private_key(pem[pem.index("-----BEGIN") :].encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key, self.fingerprint = key, keys.fingerprint(signer.public_der)

    def sign(self, encoded: bytes) -> bytes:
        """In DER, as openssl reads it."""
        return self._key.sign(encoded, ec.ECDSA(SHA256(), deterministic_signing=True))


def gather(
    folder: Path, own: Wheel, by_target: Mapping[str, Sequence[Wheel]], lock: Sequence[Locked], sbom: str
) -> dict[str, list[str]]:
    """Put a bundle's files into this folder; the wheels of each target."""
    (folder / "wheels").mkdir(parents=True)
    targets: dict[str, list[str]] = {}
    for target, wheels in by_target.items():
        for wheel in (own, *wheels):
            shutil.copyfile(wheel.path, folder / "wheels" / wheel.path.name)
        targets[target] = sorted(f"wheels/{wheel.path.name}" for wheel in (own, *wheels))
    every = {wheel.path.name: wheel for wheels in by_target.values() for wheel in wheels}
    (folder / "requirements.lock").write_text(_lock_of(own, every.values(), lock), "utf-8")
    (folder / "sbom.cdx.json").write_text(sbom, "utf-8")
    (folder / "NOTES.md").write_text(_notes(), "utf-8")
    shutil.copyfile(HERE / "install", folder / "install")
    for source, names in ((ROOT / "deploy" / "systemd", UNITS), (ROOT / "docs", PAGES)):
        (folder / source.name).mkdir()
        for name in names:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / source.name / name)
    return targets


def _lock_of(own: Wheel, wheels: Iterable[Wheel], lock: Sequence[Locked]) -> str:
    """A line for each version, with the checksums of the wheels that are here, and of no others.

    pip runs out of its wheel, and is not installed.
    """
    digests: dict[tuple[str, str], set[str]] = {(own.name, own.version): {own.digest}}
    for wheel in (each for each in wheels if each.name != "pip"):
        digests.setdefault((wheel.name, wheel.version), set()).add(wheel.digest)
    markers = {(each.name, each.version): each.requirement.marker for each in lock}
    lines = []
    for (name, version), found in sorted(digests.items()):
        marker = markers.get((name, version))
        head = f"{name}=={version}" + (f" ; {marker}" if marker else "")
        lines.append(" \\\n".join([head, *(f"    --hash=sha256:{digest}" for digest in sorted(found))]))
    return "\n".join(lines) + "\n"


def _notes() -> str:
    """The changelog of this version: its first section."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    found = re.search(r"(?ms)^## .*?(?=^## |\Z)", text)
    assert found
    return found[0]


def write(folder: Path, to: Path, release: Release, targets: Mapping[str, Sequence[str]], key: ReleaseKey) -> Path:
    """Sign what is in the folder and write `NAME.bundle` there."""
    files = {each.relative_to(folder).as_posix(): each for each in folder.rglob("*") if each.is_file()}
    sizes = {name: Wheel(path).installed_bytes for name, path in files.items() if name.startswith("wheels/")}
    manifest = Manifest(
        form=bundle.FORM, name=release.name, version=release.version, commit=release.commit, epoch=release.epoch,
        spool_form=release.spool_form, spool_oldest_form=release.spool_oldest_form, signer=key.fingerprint,
        installed_bytes=max(sum(sizes[name] for name in names) for names in targets.values()),
        targets={name: sorted(wheels) for name, wheels in targets.items()},
        files={
            name: BundledFile(sha256(path.read_bytes()).hexdigest(), path.stat().st_size, executable=name == "install")
            for name, path in files.items()
        },
    )  # fmt: skip
    encoded = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"{release.name}.bundle"
    half = path.with_suffix(".half")
    with half.open("wb") as file:
        for piece in bundle.tar(manifest, encoded, key.sign(encoded), folder):
            file.write(piece)
    half.replace(path)
    return path
